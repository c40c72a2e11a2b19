/** The proxy in place of configurable-http-proxy: its sockets, its routes, its life. */
import { rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Server } from 'node:net'
import type { Writable } from 'node:stream'
import { createActivity } from '../activity.ts'
import { crewOfOne, type Crew } from '../crew.ts'
import { listening } from '../engine.ts'
import type { Log } from '../log.ts'
import { createTables } from '../tables.ts'
import { createUsedTickets } from '../tickets.ts'
import { workerTools, type WorkerLine } from '../worker.ts'
import { crewOfWorkers } from '../workers.ts'
import { compatibleApi } from './api.ts'
import { compatibleDrainMs, createCompatibleEngine } from './engine.ts'
import { restoreRoutes, routesKeeper } from './keep-routes.ts'
import { createCompatibleLog, type CompatibleLog } from './log.ts'
import { createApiCounters, serveMetrics } from './metrics.ts'
import type { CompatibleOptions, Listen, TlsFiles } from './options.ts'
import { createCompatibleRoutes, type CompatibleRoutes } from './routes.ts'
import { askedOfClients, readTls } from './tls.ts'

export interface CompatibleProxy {
  /** Ends connections after what they carry now, at the latest after a few seconds. */
  close(): Promise<void>
  /** Throws StartError; the certificate before stays then. */
  reloadCertificate(): Promise<void>
}

export interface CompatibleTools {
  readonly token: string | undefined
  /** Of --ssl-key and --api-ssl-key. */
  readonly passphrases: Readonly<{ proxy?: string | undefined; api?: string | undefined }>
  readonly out: Writable
  readonly now: () => number
  readonly newId: () => string
  readonly pid: number
  /** How a worker is started. */
  readonly script: string
  readonly args: readonly string[]
}

const activityEveryMs = 5_000

/** Throws StartError. */
export async function runCompatible(options: CompatibleOptions, tools: CompatibleTools): Promise<CompatibleProxy> {
  const log = createCompatibleLog(tools.out, options.logLevel, () => new Date(tools.now()))
  const routes = createCompatibleRoutes({ now: tools.now, hostRouting: options.hostRouting })
  await restoreRoutes(options, routes)
  const crew = await hireCrew(options, tools, routes, log)
  const keep = routesKeeper(options.routesFile, routes)
  const counters = createApiCounters()
  let seq = 0
  const api = compatibleApi({
    routes,
    token: tools.token,
    answered(method, path, status) {
      counters.answered(method, path, status)
      log.info(`${status} ${method} ${path}`)
    },
    async changed(path) {
      seq += 1
      const route = routes.table.get(path)
      await crew.apply(route === undefined ? { type: 'delete', seq, id: path } : { type: 'put', seq, route })
      await keep()
    },
  })
  const apiServer = await plainServer(options, tools, api)
  const servers: Server[] = [apiServer]
  await crew.listen()
  await listening(apiServer, options.api)
  if (options.metrics !== undefined) {
    const sources = { statistics: () => crew.statistics(), api: counters, routes: () => routes.size }
    servers.push(await serveMetrics(options.metrics, sources))
  }
  if (options.redirectPort !== undefined) servers.push(await serveRedirects(options))
  if (options.pidFile !== undefined) await writeFile(options.pidFile, String(tools.pid))
  greet(options, tools.token, log)
  return {
    async close() {
      for (const each of servers) each.close()
      await crew.drain()
      if (options.pidFile !== undefined) await rm(options.pidFile, { force: true })
    },
    reloadCertificate: () => crew.reloadCertificate(),
  }
}

/** One of several processes that share the port. */
export async function runCompatibleWorker(
  options: CompatibleOptions,
  tools: CompatibleTools,
  line: WorkerLine,
): Promise<void> {
  const { now, newId, passphrases } = tools
  const log = createCompatibleLog(tools.out, options.logLevel, () => new Date(now()))
  const activity = createActivity(now)
  const routes = createCompatibleRoutes({ now, hostRouting: options.hostRouting })
  const passphrase = passphrases.proxy
  const engine = await createCompatibleEngine({ options, routes, log, now, newId, passphrase, seen: activity.seen })
  setInterval(() => line.send({ type: 'seen', at: activity.take(), transfers: {} }), activityEveryMs).unref()
  workerTools(line).serve(engine)
}

async function hireCrew(
  options: CompatibleOptions,
  tools: CompatibleTools,
  routes: CompatibleRoutes,
  log: CompatibleLog,
): Promise<Crew> {
  const { now, newId, passphrases } = tools
  const passphrase = passphrases.proxy
  const seen = (path: string): void => routes.seen(path, now())
  const { workers: size, listen } = options
  if (size === 1 || 'path' in listen) {
    return crewOfOne(await createCompatibleEngine({ options, routes, log, now, newId, passphrase, seen }))
  }
  // Read here too, so that a mistake is told once, and before anything starts.
  await readTls(options.tls, options.tlsSettings, passphrase)
  const add = (batch: Readonly<Record<string, number>>): void => {
    for (const [path, at] of Object.entries(batch)) routes.seen(path, at)
  }
  const activity = { seen, add, take: () => ({}) }
  return crewOfWorkers({
    size,
    script: tools.script,
    args: tools.args,
    primary: {
      tables: createTables(now, routes.table),
      tickets: createUsedTickets(now),
      activity,
      transfers: activity,
    },
    listen,
    drainMs: compatibleDrainMs,
    log: structured(log),
  })
}

/** For parts that log fields: they follow the words. */
function structured(log: CompatibleLog): Log {
  const write =
    (line: (text: string) => void) =>
    ({ err, ...fields }: Readonly<Record<string, unknown>>, message: string) =>
      line(`${message} ${JSON.stringify({ ...fields, ...(err instanceof Error ? { error: err.message } : {}) })}`)
  return { debug: write(log.debug), info: write(log.info), warn: write(log.warn), error: write(log.error) }
}

function greet(options: CompatibleOptions, token: string | undefined, log: CompatibleLog): void {
  if (token === undefined || token === '') log.warn('REST API is not authenticated.')
  const scheme = (files: TlsFiles | undefined): string => (files === undefined ? 'http' : 'https')
  const target = options.defaultTarget ?? '(no default)'
  log.info(`Proxying ${scheme(options.tls)}://${placeText(options.listen)} to ${target}`)
  log.info(`Proxy API at ${scheme(options.apiTls)}://${placeText(options.api)}/api/routes`)
  if (options.metrics !== undefined) log.info(`Serve metrics at http://${placeText(options.metrics)}/metrics`)
}

async function plainServer(
  { apiTls, tlsSettings }: CompatibleOptions,
  { passphrases }: CompatibleTools,
  listener: RequestListener,
): Promise<Server> {
  if (apiTls === undefined) return createHttpServer(listener)
  const tls = await readTls(apiTls, tlsSettings, passphrases.api)
  return createHttpsServer({ ...tls, ...askedOfClients(apiTls) }, listener)
}

/** From plain HTTP to HTTPS. */
async function serveRedirects({ redirectPort, redirectTo, listen }: CompatibleOptions): Promise<Server> {
  const port = redirectTo ?? ('port' in listen ? listen.port : 443)
  const server = createHttpServer((request, response) => {
    const [, host] = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d+)?$/.exec(request.headers.host ?? '') ?? []
    if (host === undefined) return response.writeHead(400).end('Only HTTPS is served here.\n')
    const location = `https://${host}${port === 443 ? '' : `:${port}`}${request.url ?? '/'}`
    return response.writeHead(301, { location }).end()
  })
  await listening(server, { port: redirectPort ?? 80 })
  return server
}

function placeText(listen: Listen): string {
  return 'path' in listen ? listen.path : `${listen.host ?? ''}:${listen.port}`
}
