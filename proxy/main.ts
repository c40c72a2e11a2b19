/** The composition root of the proxy: it alone reads the command line, keys and the environment. */
import { randomBytes } from 'node:crypto'
import manifest from '../package.json' with { type: 'json' }
import { createActivity } from './activity.ts'
import { compatibleUsage, readOptions } from './compatible/options.ts'
import { runCompatible } from './compatible/run.ts'
import { readConfiguration, readKey, readSecret, StartError, type ProxyConfiguration } from './config.ts'
import { serveControl } from './control.ts'
import { createEngine } from './engine.ts'
import type { HubMessage } from './feed.ts'
import { followHub } from './follower.ts'
import { createLogs } from './log.ts'
import { keepSnapshot } from './snapshot.ts'
import { createUsedTickets } from './tickets.ts'

async function main(args: readonly string[]): Promise<void> {
  const [first, file] = args
  if (first === '--config') {
    if (file === undefined || args.length !== 2) throw new StartError('hutch-proxy --config FILE')
    return await run(await readConfiguration(file))
  }
  const options = readOptions(args)
  if (options.help) return void process.stdout.write(compatibleUsage)
  if (options.version) return void process.stdout.write(`${manifest.version}\n`)
  const proxy = await runCompatible(options, {
    token: process.env['CONFIGPROXY_AUTH_TOKEN'],
    out: process.stdout,
    now: Date.now,
    newId: createIds(randomBytes(6).toString('hex')),
    pid: process.pid,
  })
  onStop(async () => await proxy.close(compatibleDrainMs))
  process.on(
    'SIGHUP',
    () => void proxy.reloadCertificate().catch((error: unknown) => process.stderr.write(`${String(error)}\n`)),
  )
}

/** Short, because JupyterHub waits for it at its own end. */
const compatibleDrainMs = 5_000

/** Once, at SIGTERM or SIGINT. */
function onStop(stop: () => Promise<void>): void {
  let stopping = false
  const once = async (): Promise<void> => {
    if (stopping) return
    stopping = true
    await stop()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void once().catch(fail))
}

async function run(configuration: ProxyConfiguration): Promise<void> {
  const now = Date.now
  const [admissionKey, agentsKey, secret] = [
    await readKey(configuration.admissionKeyFile),
    await readKey(configuration.agentsKeyFile),
    await readSecret(configuration.feed.secretFile),
  ]
  const logs = createLogs({ out: process.stdout, ...configuration.log, now })
  const { log } = logs
  const activity = createActivity(now)
  const tickets = createUsedTickets(now)
  const startedAt = now()
  const engine = createEngine({
    configuration,
    admissionKey,
    agentsKey,
    logs,
    now,
    newId: createIds(randomBytes(6).toString('hex')),
    useTicket: async (id, issuedAt, expiresAt) => tickets.use(id, issuedAt, expiresAt),
    seen: activity.seen,
  })
  const { tables } = engine
  const snapshot = keepSnapshot({
    file: configuration.snapshotFile,
    log,
    routes: () => tables.routes.all(),
    revocations: tables.revocations.all,
  })
  const kept = await snapshot.read()
  engine.apply({ type: 'table', seq: 0, ...kept })
  await engine.listen()
  const follower = followHub({
    url: feedUrl(configuration.feed),
    secret,
    log,
    activity,
    random: Math.random,
    async apply(message: HubMessage) {
      engine.apply(message)
      if (message.type !== 'revoke') snapshot.routesChanged()
      if (message.type === 'revoke' || message.type === 'table') await snapshot.saveRevocations()
    },
  })
  const age = (): number => (follower.heardAt === undefined ? -1 : (performance.now() - follower.heardAt) / 1_000)
  const control = await serveControl({
    where: configuration.control,
    health: () => ({ routes: tables.routes.size, feed: follower.connected, startedAt }),
    statistics: async () => [
      engine.statistics(),
      {
        numbers: {
          hutch_proxy_routes: tables.routes.size,
          hutch_proxy_feed_connected: follower.connected ? 1 : 0,
          hutch_proxy_table_age_seconds: age(),
        },
      },
    ],
  })
  log.info({ listen: configuration.listen, routes: tables.routes.size, pid: process.pid }, 'the proxy serves')

  onStop(async () => {
    log.info({ drainMs: configuration.drainMs }, 'the proxy stops when what goes on is done')
    await engine.drain()
    follower.stop()
    await snapshot.flush()
    control.close()
    log.info({}, 'the proxy has stopped')
    logs.flush()
  })
  process.on('SIGHUP', () => {
    engine.reloadCertificate().then(
      () => log.info({}, 'the certificate was read again'),
      (error: unknown) => log.error({ err: error }, 'the certificate could not be read; the one before stays'),
    )
  })
}

/** Unique in this installation: random at the start, then counted. */
function createIds(prefix: string): () => string {
  let count = 0
  return () => {
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}

function feedUrl(feed: ProxyConfiguration['feed']): string {
  return 'socket' in feed ? `ws+unix:${feed.socket}:/proxy/feed` : `${feed.url.replace(/\/$/, '')}/proxy/feed`
}

function fail(error: unknown): void {
  // What is outside the program is told in lines; only a bug has a stack.
  process.stderr.write(
    error instanceof StartError ? `${error.message.trimEnd()}\n` : `${String((error as Error).stack)}\n`,
  )
  process.exit(error instanceof StartError ? 2 : 1)
}

main(process.argv.slice(2)).catch(fail)
