/** What of a head goes on, in both directions: nothing hop-by-hop, nothing of the hub's, nothing forged. */
import { cookiesWithout, mayEnvironmentSet } from '../http/cookies.ts'
import type { Framing } from '../http/framing.ts'
import { joined, lists, type Fields, type ResponseHead } from '../http/head.ts'
import type { Request } from './request.ts'

export interface RequestRules {
  /** Cookies that stay behind. */
  readonly dropCookie: ((name: string) => boolean) | undefined
  readonly passAuthorization: boolean
  /** More fields that stay behind, by their names in lower case. */
  readonly drop?: (name: string) => boolean
  /** More lines, each with its CRLF. */
  readonly extra: string
  /** False: X-Forwarded-* go through as they came, and none is added. Absent: they are overwritten. */
  readonly forwardedFields?: boolean
  /** Instead of the request's own target and Host. */
  readonly target?: string
  readonly authority?: string
}

export interface ResponseRules {
  /** Path that cookies must stay within; undefined: the answer is the hub's own, and goes through as it is. */
  readonly prefix: string | undefined
  /** What becomes of a Location. */
  readonly location?: (value: string) => string
}

/** The head of the request to the upstream. */
export function renderRequestHead(request: Request, rules: RequestRules): string {
  const { head } = request
  const overwrites = rules.forwardedFields !== false
  const target = rules.target ?? request.path + request.query
  let text = `${request.method} ${target} HTTP/1.${head.minor}\r\nHost: ${rules.authority ?? request.authority}\r\n`
  const nominated = nominatedBy(head)
  for (let index = 0; index < head.names.length; index += 1) {
    const name = head.names[index] ?? ''
    const value = head.values[index] ?? ''
    if (droppedFromRequest.has(name) || nominated?.includes(name) || (overwrites && isForged(name))) continue
    if (rules.drop?.(name) === true) continue
    if (name === 'cookie' && rules.dropCookie !== undefined) {
      const kept = cookiesWithout(value, rules.dropCookie)
      if (kept !== undefined) text += `Cookie: ${kept}\r\n`
    } else if (name !== 'authorization' || rules.passAuthorization) {
      text += `${head.raw[index] ?? ''}: ${value}\r\n`
    }
  }
  text += framingLine(request.framing)
  if (lists(joined(head, 'te'), 'trailers')) text += 'TE: trailers\r\n'
  if (request.upgrade !== undefined) text += 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  else if (head.minor === 0) text += 'Connection: close\r\n'
  if (!overwrites) return `${text}${rules.extra}\r\n`
  return (
    `${text}X-Forwarded-For: ${request.way}\r\nX-Forwarded-Proto: ${request.scheme}\r\n` +
    `X-Forwarded-Host: ${request.authority}\r\nX-Request-Id: ${request.id}\r\n` +
    `X-Real-IP: ${request.address}\r\n${rules.extra}\r\n`
  )
}

/** The head of the answer to the browser. */
export function renderResponseHead(
  response: ResponseHead,
  framing: Framing,
  rules: ResponseRules,
  { keepAlive, upgraded }: { keepAlive: boolean; upgraded: boolean },
): string {
  let text = `HTTP/1.1 ${response.status} ${response.reason}\r\n`
  const nominated = upgraded ? undefined : nominatedBy(response)
  for (let index = 0; index < response.names.length; index += 1) {
    const name = response.names[index] ?? ''
    const value = response.values[index] ?? ''
    if (hopByHop.has(name) || nominated?.includes(name)) continue
    // The length of a body that is not sent (HEAD, 304) is said all the same.
    if (name === 'content-length' && framing.kind !== 'none') continue
    if (name === 'location' && rules.location !== undefined) {
      text += `Location: ${rules.location(value)}\r\n`
      continue
    }
    if (rules.prefix !== undefined) {
      if (neverFromEnvironments.has(name)) continue
      if (name === 'set-cookie' && !mayEnvironmentSet(value, rules.prefix)) continue
    }
    text += `${response.raw[index] ?? ''}: ${value}\r\n`
  }
  if (upgraded) text += 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  else if (!keepAlive) text += 'Connection: close\r\n'
  return `${text}${framingLine(framing)}\r\n`
}

function framingLine(framing: Framing): string {
  switch (framing.kind) {
    case 'length':
      return `Content-Length: ${framing.bytes}\r\n`
    case 'chunked':
      return 'Transfer-Encoding: chunked\r\n'
    case 'none':
    case 'close':
      return ''
  }
}

/** Fields that Connection names, except those that decide what a message is (RFC 9110 7.6.1). */
function nominatedBy(fields: Fields): readonly string[] | undefined {
  const connection = joined(fields, 'connection')?.toLowerCase()
  if (connection === undefined || connection === 'keep-alive' || connection === 'upgrade' || connection === 'close') {
    return undefined
  }
  return connection
    .split(',')
    .map((name) => name.trim())
    .filter((name) => !neverNominated.has(name) && !name.startsWith('sec-'))
}

/** A server behind that reads `_` as `-` would take these for the proxy's own. */
function isForged(name: string): boolean {
  if (name.charCodeAt(0) !== 0x78 && name !== 'forwarded') return false
  return /^(?:x-forwarded-|x-hutch-|x-request-id$|x-real-ip$|forwarded$)/.test(name.replaceAll('_', '-'))
}

const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

const droppedFromRequest: ReadonlySet<string> = new Set([...hopByHop, 'host', 'content-length'])

const neverNominated: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'content-length',
  'cookie',
  'host',
  'origin',
  'set-cookie',
])

/** They speak for the whole origin, which is not the environment's alone. */
const neverFromEnvironments: ReadonlySet<string> = new Set([
  'alt-svc',
  'clear-site-data',
  'nel',
  'public-key-pins',
  'report-to',
  'service-worker-allowed',
  'set-login',
  'strict-transport-security',
])
