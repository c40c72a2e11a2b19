/**
 * A request of HTTP/2 as the bytes of one of HTTP/1.1, so that there is one strict reader of heads, one gate and one
 * way through. What could become a second request or another field on the way is refused here (RFC 9113 10.3).
 */
import type { Framing } from '../http/framing.ts'
import { MessageError } from '../http/head.ts'

export interface RequestBytes {
  readonly head: Buffer
  readonly framing: Framing
}

// RFC 9113 8.2.2
const connectionFields: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
const name = /^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/
const value = /^[\t\x20-\x7e\x80-\xff]*$/

/** `raw`: names and values by turns, as node:http2 hands them on. Throws MessageError. */
export function requestBytes(raw: readonly string[], endsWithHead: boolean): RequestBytes {
  const pseudo = new Map<string, string>()
  const cookies: string[] = []
  const lengths: string[] = []
  let host: string | undefined
  let fields = ''
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const [key = '', text = ''] = [raw[index], raw[index + 1]]
    if (!value.test(text)) throw new MessageError(400, 'a field holds a control character')
    if (key.startsWith(':')) {
      if (pseudo.has(key)) throw new MessageError(400, `the field ${key} stands twice`)
      pseudo.set(key, text)
    } else if (!name.test(key)) throw new MessageError(400, 'the name of a field is not a token')
    else if (connectionFields.has(key) || (key === 'te' && text !== 'trailers')) {
      throw new MessageError(400, `HTTP/2 has no field ${key}`)
    } else if (key === 'cookie') cookies.push(text)
    else if (key === 'content-length') lengths.push(text)
    else if (key === 'host') {
      if (host !== undefined) throw new MessageError(400, 'the field host stands twice')
      host = text
    } else fields += `${key}: ${text}\r\n`
  }
  const framing = framingOf(lengths, endsWithHead)
  if (cookies.length > 0) fields += `cookie: ${cookies.join('; ')}\r\n`
  if (framing.kind === 'length') fields += `content-length: ${framing.bytes}\r\n`
  if (framing.kind === 'chunked') fields += 'transfer-encoding: chunked\r\n'
  const line = firstLines(pseudo, host)
  return { head: Buffer.from(`${line}${fields}\r\n`, 'latin1'), framing }
}

function firstLines(pseudo: ReadonlyMap<string, string>, host: string | undefined): string {
  const [method = '', path] = [pseudo.get(':method'), pseudo.get(':path')]
  if (method === 'CONNECT') throw new MessageError(405, 'this method is not served')
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(method)) throw new MessageError(400, 'the method is not a token')
  if (path === undefined || !/^\/[\x21-\x7e]*$/.test(path)) throw new MessageError(400, 'the path is not understood')
  if (pseudo.get(':scheme') !== 'https') throw new MessageError(400, 'the scheme is not https')
  const authority = pseudo.get(':authority')
  if (authority !== undefined && host !== undefined && authority !== host) {
    throw new MessageError(400, 'the authority and the field host do not agree')
  }
  const named = authority ?? host
  if (named === undefined) throw new MessageError(400, 'the authority is missing')
  return `${method} ${path} HTTP/1.1\r\nhost: ${named}\r\n`
}

function framingOf(lengths: readonly string[], endsWithHead: boolean): Framing {
  const [length] = lengths
  if (lengths.length > 1 || (length !== undefined && !/^\d{1,15}$/.test(length))) {
    throw new MessageError(400, 'the length of the message is not a number')
  }
  const bytes = length === undefined ? undefined : Number(length)
  if (endsWithHead) {
    if (bytes !== undefined && bytes > 0) throw new MessageError(400, 'the message ends before its length')
    return bytes === undefined ? { kind: 'none' } : { kind: 'length', bytes }
  }
  return bytes === undefined ? { kind: 'chunked' } : { kind: 'length', bytes }
}
