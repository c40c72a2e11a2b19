/** The proxy in place of configurable-http-proxy: its sockets, its routes, its life. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { createSecureContext, createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { z } from 'zod'
import { codeOf, proxyConfigurationSchema, StartError } from '../config.ts'
import { watchDeadlines } from '../deadlines.ts'
import { listening } from '../engine.ts'
import type { TargetTls } from '../forward/connect.ts'
import { connector } from '../forward/connect.ts'
import { createForwarding } from '../forward/create-forwarding.ts'
import type { Done } from '../forward/forwarding.ts'
import { createInlets } from '../forward/inlets.ts'
import { createPool } from '../forward/pool.ts'
import { trustedAddresses } from '../forward/request.ts'
import { replaceFile } from '../snapshot.ts'
import { createCounters, renderStatistics } from '../statistics.ts'
import { createPools } from '../tables.ts'
import { compatibleApi } from './api.ts'
import { createErrorPages } from './errors.ts'
import { createCompatibleGate } from './gate.ts'
import { createCompatibleLog } from './log.ts'
import type { CompatibleOptions, Listen, TlsFiles } from './options.ts'
import { createCompatibleRoutes, type CompatibleRoutes } from './routes.ts'
import { targetOf } from './target.ts'

export interface CompatibleProxy {
  /** Ends connections after what they carry now, at the latest after `drainMs`. */
  close(drainMs: number): Promise<void>
  /** Throws StartError; the certificate before stays then. */
  reloadCertificate(): Promise<void>
}

export interface CompatibleTools {
  readonly token: string | undefined
  readonly out: Writable
  readonly now: () => number
  readonly newId: () => string
  readonly pid: number
}

/** Throws StartError. */
export async function runCompatible(options: CompatibleOptions, tools: CompatibleTools): Promise<CompatibleProxy> {
  const { now } = tools
  const log = createCompatibleLog(tools.out, options.logLevel, () => new Date(now()))
  const defaults = proxyConfigurationSchema.shape.limits.parse(undefined)
  const clientTls: TargetTls = {
    ...(await readTls(options.clientTls)),
    ...(options.insecure ? { rejectUnauthorized: false } : {}),
  }
  const routes = createCompatibleRoutes({ now, hostRouting: options.hostRouting })
  await restore(options, routes)
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
    gate: createCompatibleGate({ options, routes, pages, poolOf: ({ route }) => pools.of(route) }),
    newId: tools.newId,
    // Whoever is in front is believed, as configurable-http-proxy does.
    trusted: trustedAddresses(['0.0.0.0/0', '::/0']),
    done(done) {
      counters.done(done)
      noteActivity(done, routes)
      if (done.cause !== undefined) log.warn(`${done.status} ${done.request.method} ${done.request.path} ${done.cause}`)
    },
    refused: counters.refused,
    bug,
  })

  const api = compatibleApi({
    routes,
    token: tools.token,
    answered: (method, path, status) => log.info(`${status} ${method} ${path}`),
    async changed(path) {
      pools.check(routes.table, path)
      if (options.routesFile !== undefined) await replaceFile(options.routesFile, JSON.stringify(routes.kept()))
    },
  })
  const server = await browserServer(options.tls, forwarding.serve)
  const apiServer = await plainServer(options.apiTls, api)
  const servers: Server[] = [server, apiServer]
  await listening(server, options.listen)
  await listening(apiServer, options.api)
  if (options.metrics !== undefined) servers.push(await serveMetrics(options.metrics, counters, forwarding.clients))
  if (options.redirectPort !== undefined) servers.push(await serveRedirects(options))
  if (options.pidFile !== undefined) await writeFile(options.pidFile, String(tools.pid))

  if (tools.token === undefined || tools.token === '') log.warn('REST API is not authenticated.')
  const scheme = options.tls === undefined ? 'http' : 'https'
  log.info(`Proxying ${scheme}://${placeText(options.listen)} to ${options.defaultTarget ?? '(no default)'}`)
  const apiScheme = options.apiTls === undefined ? 'http' : 'https'
  log.info(`Proxy API at ${apiScheme}://${placeText(options.api)}/api/routes`)
  return {
    async close(drainMs) {
      const until = performance.now() + drainMs
      for (const each of servers) each.close()
      forwarding.drain()
      while (forwarding.clients.size > 0 && performance.now() < until) await new Promise((next) => setTimeout(next, 25))
      for (const { socket } of forwarding.clients) socket.destroy()
      deadlines.stop()
      if (options.pidFile !== undefined) await rm(options.pidFile, { force: true })
    },
    async reloadCertificate() {
      if ('setSecureContext' in server) {
        const reload = server.setSecureContext as (context: TlsOptions) => void
        reload.call(server, await readTls(options.tls))
      }
    },
  }
}

/** Any request that went well is activity, as configurable-http-proxy counts it. */
function noteActivity({ route, status }: Done, routes: CompatibleRoutes): void {
  if (route !== undefined && status < 300) routes.seen(route.id)
}

const keptSchema = z.array(z.tuple([z.string(), z.looseObject({ target: z.string() })]))

async function restore({ routesFile, defaultTarget }: CompatibleOptions, routes: CompatibleRoutes): Promise<void> {
  const text = routesFile === undefined ? undefined : await readFile(routesFile, 'utf8').catch(() => undefined)
  if (text !== undefined) {
    const kept = keptSchema.safeParse(parsed(text))
    if (!kept.success) throw new StartError(`${routesFile}: holds no routes; remove it to begin without`)
    for (const [path, data] of kept.data) routes.add(path, data)
  }
  if (defaultTarget === undefined) return
  if (!URL.canParse(defaultTarget)) throw new StartError(`--default-target ${defaultTarget}: is not a URL`)
  routes.add('/', { target: defaultTarget })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function readTls(files: TlsFiles | undefined): Promise<TargetTls> {
  if (files === undefined) return {}
  const read = async (file: string | undefined): Promise<Buffer | undefined> => {
    if (file === undefined) return undefined
    return await readFile(file).catch((error: unknown) => {
      throw new StartError(`${file}: can not be read (${codeOf(error)})`)
    })
  }
  const [key, cert, ca] = [await read(files.key), await read(files.cert), await read(files.ca)]
  const options = {
    ...(key === undefined ? {} : { key }),
    ...(cert === undefined ? {} : { cert }),
    ...(ca === undefined ? {} : { ca }),
  }
  try {
    createSecureContext(options)
  } catch (error) {
    throw new StartError(`${files.cert ?? files.ca ?? files.key}: is no certificate with its key (${codeOf(error)})`)
  }
  return options
}

async function browserServer(files: TlsFiles | undefined, serve: (socket: Socket) => void): Promise<Server> {
  if (files === undefined) return createTcpServer({ allowHalfOpen: true, noDelay: true }, serve)
  const options = {
    ...(await readTls(files)),
    ...askedOfClients(files),
    ALPNProtocols: ['http/1.1'],
    allowHalfOpen: true,
  }
  return createTlsServer(options, serve).on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())
}

async function plainServer(files: TlsFiles | undefined, listener: RequestListener): Promise<Server> {
  if (files === undefined) return createHttpServer(listener)
  return createHttpsServer({ ...(await readTls(files)), ...askedOfClients(files) }, listener)
}

function askedOfClients({ requestCert, rejectUnauthorized }: TlsFiles): TlsOptions {
  return { requestCert, rejectUnauthorized: requestCert && rejectUnauthorized }
}

async function serveMetrics(
  where: Listen,
  counters: ReturnType<typeof createCounters>,
  clients: ReadonlySet<unknown>,
): Promise<Server> {
  const server = createHttpServer((request, response) => {
    if (request.url !== '/metrics') return response.writeHead(404).end()
    const text = renderStatistics([counters.read({ hutch_proxy_connections: clients.size })])
    return response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text)
  })
  await listening(server, where)
  return server
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
