/** The agent's only door: TLS with the environment's key, on a free port. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import type { AgentBootstrap } from './bootstrap.ts'
import { pskServer } from './link.ts'

const handshakeTimeoutMs = 10_000
/** On a shared node anybody can connect; who has not shown the key yet must not use up what there is. */
const mostHandshakes = 128
const mostConnections = 2_048

export function createPskServer({ id, key }: { id: string; key: Buffer }): Server {
  const server = createServer({
    ...pskServer((identity) => (identity === id ? key : undefined)),
    handshakeTimeout: handshakeTimeoutMs,
    maxHeaderSize: 64 * 1024,
    headersTimeout: 30_000,
    // Uploads may take hours; the proxy in front bounds what it passes on.
    requestTimeout: 0,
    keepAliveTimeout: 65_000,
    noDelay: true,
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
  })
  server.maxConnections = mostConnections
  boundHandshakes(server)
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.on('clientError', (_error, socket) => {
    // Garbage after a good handshake: say so if anybody still listens, and hang up.
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    else socket.destroy()
  })
  return server
}

function boundHandshakes(server: Server): void {
  const waiting = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    waiting.add(socket)
    socket.once('close', () => waiting.delete(socket))
    const [oldest] = waiting
    if (waiting.size > mostHandshakes) oldest?.destroy()
  })
  server.on('secureConnection', (secured) => {
    // node:tls keeps the raw socket as _parent; without it the entry waits for its close.
    const { _parent: raw } = secured as { _parent?: Socket }
    if (raw) waiting.delete(raw)
  })
}

/** Port 0, or the first free one of the range. @throws when none is free. */
export async function listen(server: Server, { host, ports }: AgentBootstrap['listen']): Promise<number> {
  const [from, to] = ports ?? [0, 0]
  for (let port = from; port <= to; port += 1) {
    if (await tryPort(server, host, port)) {
      const address = server.address()
      if (typeof address === 'object' && address !== null) return address.port
    }
  }
  throw new Error(`no port from ${from} to ${to} is free on ${host}`)
}

async function tryPort(server: Server, host: string, port: number): Promise<boolean> {
  try {
    server.listen({ host, port })
    await once(server, 'listening')
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE' || code === 'EACCES') return false
    throw error
  }
}
