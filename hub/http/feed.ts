/** The private end of proxy/feed.ts: proxies follow the table here, and say what they have and what people did. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import { type HubMessage, proxyMessageSchema } from '../../proxy/feed.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Environments, RouteTable } from '../domain/services.ts'

export interface FeedOptions {
  readonly routes: Pick<RouteTable, 'follow'>
  readonly environments: Pick<Environments, 'active'>
  /** The bearer secret that the proxies were given. */
  readonly secret: string
  readonly log: Log
  readonly limits?: Partial<FeedLimits>
}

export interface FeedLimits {
  /** What waits to be sent to one proxy; beyond it that proxy is cut, and begins anew with a whole table. */
  readonly mostWaitingBytes: number
  readonly longestMessageBytes: number
  readonly pingEveryMs: number
  readonly mostProxies: number
}

const defaultLimits: FeedLimits = {
  mostWaitingBytes: 16 * 2 ** 20,
  longestMessageBytes: 2 ** 20,
  pingEveryMs: 10_000,
  mostProxies: 64,
}

export interface Feed {
  /** Cuts every proxy off; they go on with the table that they have. */
  close(): void
}

/** Answers GET /proxy/feed on this server; every other upgrade is left to others. */
export function attachFeed(server: Server, options: FeedOptions): Feed {
  const { log, secret } = options
  const limits = { ...defaultLimits, ...options.limits }
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: limits.longestMessageBytes,
    perMessageDeflate: false,
    clientTracking: true,
  })

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (request.url?.split('?')[0] !== '/proxy/feed') return
    socket.on('error', () => socket.destroy())
    if (!isSecret(request.headers.authorization, secret)) {
      log.warn({ address: request.socket.remoteAddress }, 'a proxy with a wrong secret was refused')
      return refuse(socket, '401 Unauthorized')
    }
    if (sockets.clients.size >= limits.mostProxies) return refuse(socket, '503 Service Unavailable')
    sockets.handleUpgrade(request, socket, head, (client) => serve(client, options, limits))
  }
  server.on('upgrade', upgrade)

  return {
    close() {
      server.off('upgrade', upgrade)
      for (const client of sockets.clients) client.terminate()
      sockets.close()
    },
  }
}

function serve(client: WebSocket, { routes, environments, log }: FeedOptions, limits: FeedLimits): void {
  let isAlive = true
  const pinging = setInterval(() => {
    if (!isAlive) return client.terminate()
    isAlive = false
    client.ping()
  }, limits.pingEveryMs)
  client.on('pong', () => {
    isAlive = true
  })

  function send(message: HubMessage): void {
    if (client.readyState !== client.OPEN) return
    client.send(JSON.stringify(message))
    if (client.bufferedAmount <= limits.mostWaitingBytes) return
    log.warn({ waitingBytes: client.bufferedAmount }, 'a proxy is too slow to follow; it is cut and begins anew')
    client.terminate()
  }

  const following = routes.follow(send)
  client.on('message', (data, isBinary) => {
    const message = isBinary ? undefined : read(data)
    switch (message?.type) {
      case undefined:
        log.warn({}, 'a proxy said what is not understood; it is cut')
        return client.terminate()
      case 'ack':
        return following.acknowledge(message.seq)
      case 'activity':
        environments.active(message.at).catch((error: unknown) => {
          log.warn({ err: error }, 'activity could not be written')
        })
    }
  })
  client.on('error', (error) => log.warn({ err: error }, 'the connection of a proxy broke'))
  client.on('close', () => {
    clearInterval(pinging)
    following.close()
    log.info({}, 'a proxy does not follow any more')
  })
  log.info({}, 'a proxy follows')
}

function read(data: RawData): ReturnType<typeof proxyMessageSchema.parse> | undefined {
  try {
    return proxyMessageSchema.parse(JSON.parse(textOf(data)))
  } catch {
    return undefined // not JSON, or not a message of ours: the caller says so
  }
}

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString()
  return Buffer.isBuffer(data) ? data.toString() : Buffer.from(data).toString()
}

/** Compares digests, which are of one length whatever was sent. */
function isSecret(header: string | undefined, secret: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${secret}`))
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
