/** One process that serves browsers in place of configurable-http-proxy. */
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { proxyConfigurationSchema } from '../config.ts'
import { watchDeadlines } from '../deadlines.ts'
import { listening, type Engine } from '../engine.ts'
import { connector, type TargetTls } from '../forward/connect.ts'
import { createForwarding } from '../forward/create-forwarding.ts'
import { createInlets } from '../forward/inlets.ts'
import { createPool } from '../forward/pool.ts'
import { trustedAddresses } from '../forward/request.ts'
import { createCounters } from '../statistics.ts'
import { createPools, createTables } from '../tables.ts'
import { createErrorPages } from './errors.ts'
import { createCompatibleGate } from './gate.ts'
import type { CompatibleLog } from './log.ts'
import type { CompatibleOptions } from './options.ts'
import type { CompatibleRoutes } from './routes.ts'
import { targetOf } from './target.ts'
import { askedOfClients, readTls } from './tls.ts'

export interface CompatibleEngineOptions {
  readonly options: CompatibleOptions
  readonly routes: CompatibleRoutes
  readonly log: CompatibleLog
  readonly now: () => number
  readonly newId: () => string
  /** Of --ssl-key. */
  readonly passphrase: string | undefined
  /** Somebody did something there. */
  readonly seen: (path: string) => void
}

/** Short, because JupyterHub waits for it at its own end. */
export const compatibleDrainMs = 5_000

/** Throws StartError. */
export async function createCompatibleEngine(given: CompatibleEngineOptions): Promise<Engine> {
  const { options, routes, log, seen } = given
  const defaults = proxyConfigurationSchema.shape.limits.parse(undefined)
  const clientTls: TargetTls = {
    ...(await readTls(options.clientTls, options.tlsSettings)),
    ...(options.insecure ? { rejectUnauthorized: false } : {}),
  }
  const tables = createTables(given.now, routes.table)
  const deadlines = watchDeadlines()
  const inlets = createInlets()
  const counters = createCounters()
  const bug = (error: unknown): void => log.error(error instanceof Error ? String(error.stack) : String(error))
  const pools = createPools(({ target }) =>
    createPool({
      ...connector(target.kind === 'http' ? targetOf(target.url).target : target, undefined, clientTls),
      deadlines,
      inlets,
      bug,
      connectTimeoutMs: defaults.connectMs,
      keepAliveMs: defaults.upstreamIdleMs,
      mostBusy: defaults.requestsPerTarget,
      mostIdle: defaults.requestsPerTarget,
      mostWaiting: defaults.waitingPerTarget,
    }),
  )
  const pages = createErrorPages({ target: options.errorTarget, path: options.errorPath, tls: clientTls })
  const forwarding = createForwarding({
    limits: {
      ...defaults,
      keepAliveMs: options.keepAliveTimeoutMs ?? defaults.keepAliveMs,
      stallMs: options.timeoutMs ?? defaults.stallMs,
      responseHeadMs: options.proxyTimeoutMs ?? defaults.responseHeadMs,
    },
    deadlines,
    inlets,
    gate: createCompatibleGate({ options, routes, pages, seen, poolOf: ({ route }) => pools.of(route) }),
    newId: given.newId,
    // Whoever is in front is believed, as configurable-http-proxy does.
    trusted: trustedAddresses(['0.0.0.0/0', '::/0']),
    done(done) {
      const { route, status, request, cause } = done
      counters.done(done)
      // Any request that went well is activity, as configurable-http-proxy counts it.
      if (route !== undefined && status < 300) seen(route.id)
      if (cause !== undefined) log.warn(`${status} ${request.method} ${request.path} ${cause}`)
    },
    refused: counters.refused,
    bug,
  })
  let server: Server | undefined
  return {
    tables,
    changed: (message) =>
      pools.check(
        tables.routes,
        message.type === 'put' ? message.route.id : message.type === 'delete' ? message.id : undefined,
      ),
    async listen() {
      server = await browserServer(given, forwarding.serve)
      server.maxConnections = defaults.connections
      await listening(
        server,
        'path' in options.listen ? options.listen : { ...options.listen, reusePort: options.workers > 1 },
      )
    },
    async reloadCertificate() {
      if (server === undefined || !('setSecureContext' in server)) return
      const reload = server.setSecureContext as (context: TlsOptions) => void
      reload.call(server, await readTls(options.tls, options.tlsSettings, given.passphrase))
    },
    async drain() {
      const until = performance.now() + compatibleDrainMs
      server?.close()
      forwarding.drain()
      while (forwarding.clients.size > 0 && performance.now() < until) await new Promise((next) => setTimeout(next, 25))
      for (const { socket } of forwarding.clients) socket.destroy()
      deadlines.stop()
    },
    statistics: () => counters.read({ hutch_proxy_connections: forwarding.clients.size }),
  }
}

async function browserServer(
  { options, passphrase }: CompatibleEngineOptions,
  serve: (socket: Socket) => void,
): Promise<Server> {
  const { tls: files, tlsSettings } = options
  if (files === undefined) return createTcpServer({ allowHalfOpen: true, noDelay: true }, serve)
  const tls = {
    ...(await readTls(files, tlsSettings, passphrase)),
    ...askedOfClients(files),
    ALPNProtocols: ['http/1.1'],
    allowHalfOpen: true,
  }
  return createTlsServer(tls, serve).on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())
}
