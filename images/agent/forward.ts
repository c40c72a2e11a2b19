/** Streams requests and WebSockets to the application's unix socket or port, with back-pressure, in both directions. */
import { Agent, ServerResponse, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream'
import type { Upstream } from './upstream.ts'
import { counting } from './site/visitor.ts'

export interface Forwarder {
  request(incoming: IncomingMessage, response: ServerResponse): void
  upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void
  close(): void
}

/** What one browser with many tabs may need, and far from what a process can hold. */
const mostRequests = 512
const mostUpgrades = 256
const halfOpenMs = 10_000

export function createForwarder({
  upstream: target,
  onClientData = () => undefined,
}: {
  upstream: Upstream
  /** Called for everything that a client sends on an upgraded connection. */
  onClientData?: () => void
}): Forwarder {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 8, timeout: 0 })
  let requests = 0
  let upgrades = 0

  const ask = (incoming: IncomingMessage, headers: string[]): ClientRequest =>
    httpRequest({
      ...target.to,
      agent: incoming.headers.upgrade === undefined ? agent : false,
      method: incoming.method,
      path: target.path(incoming.url ?? '/'),
      headers: [...headers, ...target.told],
      maxHeaderSize: 64 * 1024,
    })

  return {
    request(incoming, response) {
      if (requests >= mostRequests) return refuse(response, 503, 'Too many requests at once.')
      requests += 1
      response.once('close', () => (requests -= 1))
      const upstream = ask(incoming, requestHeaders(incoming))
      upstream.on('response', (answer) => relay(answer, response, target))
      upstream.on('error', () => fail(response))
      response.once('close', () => upstream.destroy())
      // An error of either side is the response's to tell; a body that stops half-way must not look whole.
      pipeline(incoming, upstream, (error) => error && upstream.destroy())
    },
    upgrade(incoming, socket, head) {
      const response = responseOn(incoming, socket)
      if (upgrades >= mostUpgrades) return refuse(response, 503, 'Too many connections at once.')
      upgrades += 1
      socket.once('close', () => (upgrades -= 1))
      const headers = requestHeaders(incoming)
      headers.push('Connection', 'Upgrade', 'Upgrade', incoming.headers.upgrade ?? '')
      const upstream = ask(incoming, headers)
      upstream.on('error', () => fail(response))
      upstream.on('response', (answer) => relay(answer, response, target))
      upstream.on('upgrade', (answer, peer, peerHead) => {
        response.detachSocket(socket as never)
        socket.write(headOf(answer))
        join(socket, peer, { head, peerHead, onClientData: counting(incoming, onClientData) })
      })
      socket.once('close', () => upstream.destroy())
      upstream.end()
    },
    close: () => agent.destroy(),
  }
}

function relay(answer: IncomingMessage, response: ServerResponse, { fields }: Pick<Upstream, 'fields'>): void {
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage, fields(endToEnd(answer.rawHeaders)))
  pipeline(answer, response, (error) => error && response.destroy())
}

/** Before the head was sent there is a sentence; after it, only a broken connection says that something is missing. */
function fail(response: ServerResponse): void {
  if (response.headersSent) response.destroy()
  else refuse(response, 502, 'The application does not answer.')
}

export function refuse(response: ServerResponse, status: number, sentence: string, headers: object = {}): void {
  if (response.destroyed || response.headersSent) return
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  })
  response.end(`${sentence}\n`)
}

/** An ordinary response on a connection that asked for an upgrade. */
export function responseOn(incoming: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(incoming)
  response.shouldKeepAlive = false
  // node:http wants a net.Socket; it gets the TLS socket that it parsed the request from.
  response.assignSocket(socket as never)
  response.once('finish', () => socket.end())
  socket.on('error', () => socket.destroy())
  return response
}

/** Both ways until either side closes; then the other is destroyed, not left half-open. */
function join(
  socket: Duplex,
  peer: Duplex,
  { head, peerHead, onClientData }: { head: Buffer; peerHead: Buffer; onClientData: () => void },
): void {
  for (const [one, other] of [
    [socket, peer],
    [peer, socket],
  ] as const) {
    one.on('error', () => one.destroy())
    one.once('close', () => other.destroy())
    one.once('end', () => setTimeout(() => one.destroy(), halfOpenMs).unref())
  }
  if (peerHead.length > 0) socket.write(peerHead)
  if (head.length > 0) peer.write(head)
  socket.on('data', onClientData)
  socket.pipe(peer)
  peer.pipe(socket)
}

function headOf({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`]
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

function requestHeaders(incoming: IncomingMessage): string[] {
  const headers = endToEnd(incoming.rawHeaders)
  // The framing of the body is this hop's own; without a length it stays chunked.
  if (incoming.headers['transfer-encoding'] !== undefined) headers.push('Transfer-Encoding', 'chunked')
  return headers
}

const hopByHop = new Set(
  'connection keep-alive proxy-connection transfer-encoding te trailer upgrade expect'.split(' '),
)

/** RFC 9110, 7.6.1: without the fields of one hop, and those that Connection names. Flat: name, value, name, value. */
export function endToEnd(rawHeaders: readonly string[]): string[] {
  const named = new Set<string>()
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== 'connection') continue
    for (const token of rawHeaders[i + 1]?.split(',') ?? []) named.add(token.trim().toLowerCase())
  }
  // Naming these would change where the message ends or whom it is for.
  for (const name of ['host', 'content-length']) named.delete(name)
  const kept: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? ''
    if (!hopByHop.has(name) && !named.has(name)) kept.push(rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '')
  }
  return kept
}
