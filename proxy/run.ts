/** The composition root of the proxy: it alone reads keys and the environment. */
import cluster from 'node:cluster'
import { randomBytes } from 'node:crypto'
import manifest from '../package.json' with { type: 'json' }
import { createActivity } from './activity.ts'
import { compatibleUsage, readOptions } from './compatible/options.ts'
import { readConfiguration, readKey, readSecret, StartError, type ProxyConfiguration } from './config.ts'
import { crewOfOne, type Crew, type Primary } from './crew.ts'
import { createEngine } from './engine.ts'
import { createLogs } from './log.ts'
import { runPrimary } from './primary.ts'
import { createTables } from './tables.ts'
import type { UsedTickets } from './tickets.ts'
import { collectSooner, createTidy, garbageCollector } from './tidy.ts'
import { workerTools, type WorkerLine } from './worker.ts'
import { crewOfWorkers } from './workers.ts'

/** Says what is wrong, and ends the process. */
export async function runProxy(args: readonly string[]): Promise<void> {
  collectSooner()
  await begin(args).catch(fail)
}

async function begin(args: readonly string[]): Promise<void> {
  const [first, file] = args
  if (first === '--config') {
    if (file === undefined || args.length !== 2) throw new StartError('hutch-proxy --config FILE')
    const configuration = await readConfiguration(file)
    return await (cluster.isWorker ? runWorker(configuration) : run(configuration, args))
  }
  const options = readOptions(args)
  if (options.help) return void process.stdout.write(compatibleUsage)
  if (options.version) return void process.stdout.write(`${manifest.version}\n`)
  // Whoever runs it for Hutch needs none of this.
  const { runCompatible, runCompatibleWorker } = await import('./compatible/run.ts')
  const tools = {
    token: process.env['CONFIGPROXY_AUTH_TOKEN'],
    passphrases: {
      proxy: process.env['CONFIGPROXY_SSL_KEY_PASSPHRASE'],
      api: process.env['CONFIGPROXY_API_SSL_KEY_PASSPHRASE'],
    },
    out: process.stdout,
    now: Date.now,
    newId: createIds(randomBytes(6).toString('hex')),
    pid: process.pid,
    script: thisProgram(),
    args,
  }
  if (cluster.isWorker) {
    stayWithPrimary()
    return await runCompatibleWorker(options, tools, primaryLine())
  }
  const proxy = await runCompatible(options, tools)
  onStop(() => proxy.close())
  process.on(
    'SIGHUP',
    () => void proxy.reloadCertificate().catch((error: unknown) => process.stderr.write(`${String(error)}\n`)),
  )
}

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

async function run(configuration: ProxyConfiguration, args: readonly string[]): Promise<void> {
  const now = Date.now
  const keys = {
    admissionKey: await readKey(configuration.admissionKeyFile),
    agentsKey: await readKey(configuration.agentsKeyFile),
  }
  const logs = createLogs({ out: process.stdout, ...configuration.log, now })
  const common = { configuration, ...keys, logs, now, newId: createIds(randomBytes(6).toString('hex')) }
  const hireCrew = ({ tables, tickets, activity, transfers }: Primary): Crew => {
    const { workers: size, drainMs, listen } = configuration
    const primary = { tables, tickets, activity, transfers }
    if (size > 1)
      return crewOfWorkers({
        size,
        script: thisProgram(),
        args,
        primary,
        listen,
        drainMs,
        log: logs.log,
      })
    const useTicket = async (...ticket: Parameters<UsedTickets['use']>): Promise<boolean> => tickets.use(...ticket)
    return crewOfOne(
      createEngine({
        ...common,
        tidy: createTidy(garbageCollector()),
        tables,
        useTicket,
        seen: activity.seen,
        transferring: transfers.seen,
      }),
    )
  }
  const proxy = await runPrimary({
    configuration,
    feedSecret: await readSecret(configuration.feed.secretFile),
    logs,
    now,
    random: Math.random,
    hireCrew,
  })
  onStop(proxy.stop)
  process.on('SIGHUP', proxy.reloadCertificate)
}

/** One of several processes that share the port; the primary says what to do, and when to end. */
async function runWorker(configuration: ProxyConfiguration): Promise<void> {
  const now = Date.now
  const logs = createLogs({ out: process.stdout, ...configuration.log, now, worker: process.pid })
  const [activity, transfers] = [createActivity(now), createActivity(now)]
  const line = primaryLine()
  const tools = workerTools(line)
  const engine = createEngine({
    configuration,
    admissionKey: await readKey(configuration.admissionKeyFile),
    agentsKey: await readKey(configuration.agentsKeyFile),
    logs,
    now,
    newId: createIds(randomBytes(6).toString('hex')),
    tables: createTables(now),
    tidy: createTidy(garbageCollector()),
    useTicket: tools.useTicket,
    seen: activity.seen,
    transferring: transfers.seen,
  })
  setInterval(
    () => line.send({ type: 'seen', at: activity.take(), transfers: transfers.take() }),
    activityEveryMs,
  ).unref()
  stayWithPrimary()
  process.on('exit', logs.flush)
  tools.serve(engine)
}

function stayWithPrimary(): void {
  // The terminal's Ctrl-C reaches every process; only the primary decides.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  // Without the primary nobody follows changes: whoever starts the proxy again needs the port.
  process.on('disconnect', () => process.exit(1))
}

function primaryLine(): WorkerLine {
  return {
    send: (message) => void process.send?.(message),
    onMessage: (listener) => process.on('message', listener),
  }
}

/** The same program as this one, bundled or as source. */
function thisProgram(): string {
  return process.argv[1] ?? ''
}

const activityEveryMs = 5_000

/** Unique in this installation: random at the start, then counted. */
function createIds(prefix: string): () => string {
  let count = 0
  return () => {
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}

function fail(error: unknown): void {
  // What is outside the program is told in lines; only a bug has a stack.
  process.stderr.write(
    error instanceof StartError ? `${error.message.trimEnd()}\n` : `${String((error as Error).stack)}\n`,
  )
  process.exit(error instanceof StartError ? 2 : 1)
}
