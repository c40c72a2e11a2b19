/**
 * One stream of HTTP/2 as a connection of its own that carries one request of HTTP/1.1: everything behind it (gate,
 * forwarding, back-pressure, deadlines, the access log) is the same code for both.
 */
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { ResponseHead } from '../http/head.ts'
import { readAnswer } from './answer-reader.ts'
import type { RequestBytes } from './request-bytes.ts'

export interface StreamSocketOptions {
  readonly stream: ServerHttp2Stream
  readonly address: string
  readonly method: string
  readonly request: RequestBytes
  /** It is gone; `whole`: the answer was sent to its end. */
  readonly closed: (whole: boolean) => void
}

const chunkEnd = Buffer.from('\r\n')
// RFC 9113 8.2.2
const connectionFields: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

export function streamSocket({ stream, address, method, request, closed }: StreamSocketOptions): Socket {
  let delivered = 0
  let trailers: readonly string[] = []
  const duplex = new Duplex({
    allowHalfOpen: true,
    read: () => void stream.resume(),
    write(chunk: Buffer, _encoding, taken) {
      try {
        answer.take(chunk)
      } catch (error) {
        return taken(error as Error)
      }
      delivered += chunk.length
      if (stream.destroyed || !stream.writableNeedDrain) return taken()
      resume = taken
      return undefined
    },
    final(done) {
      answer.ended()
      done()
    },
    destroy(error, done) {
      if (!stream.closed) stream.close(answer.whole ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_INTERNAL_ERROR)
      flow()
      done(error)
    },
  })
  let resume: (() => void) | undefined
  const answer = readAnswer(method, {
    interim: (head) => whileOpen(() => stream.additionalHeaders(objectOf(fieldsOf(head)))),
    head(head, framing) {
      const endStream = framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0)
      const waitForTrailers = framing.kind === 'chunked'
      whileOpen(() => stream.respond(fieldsOf(head), { endStream, waitForTrailers }))
    },
    data: (chunk) => whileOpen(() => stream.write(chunk)),
    end(last) {
      trailers = last
      whileOpen(() => stream.end())
    },
  })
  stream.on('wantTrailers', () => stream.sendTrailers(objectOf(trailers)))
  stream.on('drain', flow)
  stream.on('error', () => {
    // Told by 'close', which follows.
  })
  stream.on('close', () => {
    duplex.destroy()
    closed(answer.whole)
  })
  // Whoever has the answer and goes on sending for no one is told to stop.
  stream.on('finish', () => {
    setImmediate(() => {
      // The side that answers a HEAD ends before it is answered.
      if (answer.whole && !stream.readableEnded) duplex.destroy()
    })
  })
  duplex.push(request.head)
  readRequest(stream, request, duplex)
  return Object.defineProperty(
    Object.assign(duplex, { remoteAddress: address, encrypted: true, setNoDelay: () => duplex }),
    'bytesWritten',
    { get: () => delivered + duplex.writableLength },
    // What is used of a socket is here: serveClient and what it hands it to ask for nothing else.
  ) as unknown as Socket

  function flow(): void {
    const next = resume
    resume = undefined
    next?.()
  }

  function whileOpen(send: () => void): void {
    if (!stream.destroyed && !stream.closed) send()
  }
}

/** The body, framed anew. No end of the connection follows it: that would be a browser that leaves. */
function readRequest(stream: ServerHttp2Stream, { framing }: RequestBytes, duplex: Duplex): void {
  let left = framing.kind === 'length' ? framing.bytes : 0
  let trailers = ''
  stream.on('trailers', (_headers: object, _flags: number, raw: readonly string[]) => {
    for (let index = 0; index + 1 < raw.length; index += 2) trailers += `${raw[index]}: ${raw[index + 1]}\r\n`
  })
  stream.on('data', (chunk: Buffer) => {
    if (framing.kind === 'chunked') {
      if (chunk.length === 0) return
      duplex.push(Buffer.from(`${chunk.length.toString(16)}\r\n`))
      duplex.push(chunk)
      if (!duplex.push(chunkEnd)) stream.pause()
      return
    }
    left -= chunk.length
    if (left < 0) duplex.destroy()
    else if (!duplex.push(chunk)) stream.pause()
  })
  stream.on('end', () => {
    if (framing.kind === 'chunked') duplex.push(Buffer.from(`0\r\n${trailers}\r\n`, 'latin1'))
    else if (left > 0) duplex.destroy()
  })
}

function fieldsOf(head: ResponseHead): string[] {
  const fields = [':status', String(head.status)]
  for (const [index, name] of head.names.entries()) {
    if (!connectionFields.has(name)) fields.push(name, head.values[index] ?? '')
  }
  return fields
}

function objectOf(fields: readonly string[]): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = {}
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [name = '', value = ''] = [fields[index], fields[index + 1]]
    const known = object[name]
    object[name] = known === undefined ? value : [known, value].flat()
  }
  return object
}
