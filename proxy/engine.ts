/** One process that serves browsers: tables, gate and forwarding behind a listening socket. */
import { readFile } from 'node:fs/promises'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import {
  createSecureContext,
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls'
import { createEntries } from './admission/entries.ts'
import { createGate } from './admission/gate.ts'
import { codeOf, StartError, type ProxyConfiguration } from './config.ts'
import { watchDeadlines } from './deadlines.ts'
import type { HubMessage, Target } from './feed.ts'
import { connector } from './forward/connect.ts'
import { createForwarding } from './forward/create-forwarding.ts'
import { createInlets } from './forward/inlets.ts'
import { createPool, type Pool } from './forward/pool.ts'
import { trustedAddresses } from './forward/request.ts'
import type { Http2 } from './http2/sessions.ts'
import type { Logs } from './log.ts'
import { createCounters, type Statistics } from './statistics.ts'
import { createPools, type Tables } from './tables.ts'
import type { Tidy } from './tidy.ts'
import { createTransfers, transferLookMs } from './transfers.ts'

export interface EngineOptions {
  readonly configuration: ProxyConfiguration
  readonly admissionKey: Buffer
  readonly agentsKey: Buffer
  readonly logs: Logs
  /** Its own, or the primary's when both are one process. */
  readonly tables: Tables
  readonly now: () => number
  readonly newId: () => string
  /** True for the first who asks for this ticket, of all workers. */
  readonly useTicket: (id: string, issuedAt: number, expiresAt: number) => Promise<boolean>
  readonly tidy?: Tidy
  /** Somebody did something in this environment. */
  readonly seen: (id: string) => void
  /** A long upload or download goes on there. */
  readonly transferring: (id: string) => void
}

export interface Engine {
  readonly tables: Tables
  /** The tables have this change: what it revokes is cut off, connections to where no route leads are given up. */
  changed(message: HubMessage): void
  /** Throws StartError. */
  listen(): Promise<void>
  /** Throws StartError; the certificate before stays then. */
  reloadCertificate(): Promise<void>
  /** Resolves when all is done, at the latest after the configured time. */
  drain(): Promise<void>
  statistics(): Statistics
}

const expiryEveryMs = 1_000

export function createEngine(options: EngineOptions): Engine {
  const { configuration, admissionKey, agentsKey, logs, now, tables } = options
  const { limits } = configuration
  const publicUrl = new URL(configuration.publicUrl)
  const deadlines = watchDeadlines()
  const inlets = createInlets()
  const counters = createCounters()
  const pools = createPools((route) => poolFor(route.target))
  const entering = {
    key: admissionKey,
    publicUrl,
    revocations: tables.revocations,
    now,
    useTicket: options.useTicket,
  }
  const gate = createGate({
    publicUrl,
    hosts: configuration.hosts,
    tables,
    pools,
    hub: poolFor(
      'socket' in configuration.hub
        ? { kind: 'unix', path: configuration.hub.socket }
        : { kind: 'http', url: configuration.hub.url },
    ),
    services: Object.fromEntries(
      Object.entries(configuration.services).map(([name, url]) => [name, poolFor({ kind: 'http', url })]),
    ),
    entries: createEntries({ key: admissionKey, now }),
    entering,
    active: options.seen,
  })
  const forwarding = createForwarding({
    limits,
    deadlines,
    inlets,
    gate,
    newId: options.newId,
    trusted: trustedAddresses(configuration.trustedProxies),
    done(done) {
      answered += 1
      counters.done(done)
      logs.access(done)
    },
    refused: counters.refused,
    bug,
  })
  let http2: Http2 | undefined
  let server: Server | undefined
  let answered = 0
  const transfers = createTransfers(options.transferring)
  const transferLook = setInterval(() => transfers.look(forwarding.live), transferLookMs)
  const expiry = setInterval(() => {
    cutExpired()
    options.tidy?.look(forwarding.clients.size, answered)
  }, expiryEveryMs)

  return {
    tables,
    changed(message) {
      pools.check(
        tables.routes,
        message.type === 'put' ? message.route.id : message.type === 'delete' ? message.id : undefined,
      )
      if (message.type === 'table' || message.type === 'revoke') cutRevoked()
    },
    async listen() {
      const { tls } = configuration
      http2 = tls === undefined ? undefined : await speakHttp2()
      server =
        tls === undefined
          ? createTcpServer({ allowHalfOpen: true, noDelay: true }, forwarding.serve)
          : createTlsServer({ ...(await readCertificate(tls)), ...tlsDefaults, allowHalfOpen: true }, serveTls).on(
              'tlsClientError',
              (_error: Error, socket: Socket) => socket.destroy(),
            )
      server.maxConnections = limits.connections
      // With several processes the kernel spreads connections over their sockets; one shared socket favours whoever
      // is awake already.
      await listening(server, { ...configuration.listen, reusePort: configuration.workers > 1 })
    },
    async reloadCertificate() {
      if (configuration.tls === undefined) return
      ;(server as TlsServer).setSecureContext(await readCertificate(configuration.tls))
    },
    async drain() {
      const until = performance.now() + configuration.drainMs
      server?.close()
      forwarding.drain()
      http2?.drain()
      while (forwarding.clients.size > 0 && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      for (const { socket } of forwarding.clients) socket.destroy()
      http2?.stop()
      clearInterval(expiry)
      clearInterval(transferLook)
      deadlines.stop()
    },
    statistics: () =>
      counters.read({
        hutch_proxy_connections: forwarding.clients.size - (http2?.streams ?? 0) + (http2?.connections ?? 0),
        hutch_proxy_http2_connections: http2?.connections ?? 0,
        [`hutch_proxy_live{kind="http"}`]: countLive('http'),
        [`hutch_proxy_live{kind="websocket"}`]: countLive('websocket'),
        hutch_proxy_transfers: transfers.count,
        hutch_proxy_resident_bytes: process.memoryUsage.rss(),
        hutch_proxy_timers: process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length,
        hutch_proxy_heap_bytes: process.memoryUsage().heapUsed,
      }),
  }

  /** Loaded by those alone who need it. */
  async function speakHttp2(): Promise<Http2> {
    const { serveHttp2 } = await import('./http2/sessions.ts')
    return serveHttp2({
      limits,
      deadlines,
      serve: forwarding.serve,
      full: () => forwarding.clients.size >= limits.connections,
      refused: counters.refused,
      abused: (what, address) => logs.log.warn({ address, what }, 'a connection was ended: it asked too much'),
    })
  }

  function serveTls(socket: TLSSocket): void {
    if (socket.alpnProtocol === 'h2') http2?.serve(socket)
    else forwarding.serve(socket)
  }

  function bug(error: unknown): void {
    counters.refused(500)
    logs.log.error({ err: error }, 'a connection was given up because of an error in the proxy')
  }

  function poolFor(target: Target): Pool {
    return createPool({
      ...connector(target, agentsKey),
      deadlines,
      inlets,
      bug,
      connectTimeoutMs: limits.connectMs,
      keepAliveMs: limits.upstreamIdleMs,
      mostBusy: limits.requestsPerTarget,
      mostIdle: limits.requestsPerTarget,
      mostWaiting: limits.waitingPerTarget,
    })
  }

  function cutRevoked(): void {
    for (const live of forwarding.live) {
      if (live.entry !== undefined && tables.revocations.isRevoked(live.entry)) live.cut()
    }
  }

  function cutExpired(): void {
    const time = now()
    for (const live of forwarding.live) if (live.entry !== undefined && live.entry.expiresAt <= time) live.cut()
  }

  function countLive(kind: 'http' | 'websocket'): number {
    let count = 0
    for (const live of forwarding.live) if (live.kind === kind) count += 1
    return count
  }
}

const tlsDefaults = { minVersion: 'TLSv1.2', ALPNProtocols: ['h2', 'http/1.1'], handshakeTimeout: 10_000 } as const

async function readCertificate(tls: {
  certificateFile: string
  keyFile: string
}): Promise<{ cert: Buffer; key: Buffer }> {
  const read = (file: string): Promise<Buffer> =>
    readFile(file).catch((error: unknown) => {
      throw new StartError(`${file}: can not be read (${codeOf(error)})`)
    })
  const pair = { cert: await read(tls.certificateFile), key: await read(tls.keyFile) }
  try {
    createSecureContext(pair)
  } catch (error) {
    throw new StartError(`${tls.certificateFile} and ${tls.keyFile}: is no certificate with its key (${codeOf(error)})`)
  }
  return pair
}

/** Throws StartError. */
export async function listening(
  server: Server,
  where: { host?: string; port: number; reusePort?: boolean } | { path: string },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...where, backlog: 1_024 }, () => {
      server.off('error', reject)
      // An accept that fails (no file descriptors) is tried again by the next one.
      server.on('error', () => {})
      resolve()
    })
  }).catch((error: unknown) => {
    const place = 'path' in where ? where.path : `${where.host ?? ''}:${where.port}`
    const code = codeOf(error)
    throw new StartError(
      code === 'EADDRINUSE' ? `${place} is taken by another program` : `${place}: can not listen (${code})`,
    )
  })
}
