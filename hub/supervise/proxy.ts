/**
 * The proxy that the hub runs itself: a process of its own, in a session of its own, so that open notebooks go on
 * when the hub dies. A hub that starts finds a living proxy again and keeps it if it was started alike.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { open, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../spawners/spawner.ts'
import { identify, isAlive, isStillAlive, stopProcess, type ProcessIdentity } from './process.ts'

export interface ManagedProxyOptions {
  /** <state>/run: configuration and identity are written here, 0600. */
  readonly runFolder: string
  readonly logFile: string
  /** argv that starts it, asked at each start; `--config FILE` is added. */
  readonly argv: () => readonly string[]
  /** What proxy/config.ts reads. */
  readonly configuration: object
  readonly controlSocket: string
  readonly drainMs: number
  readonly log: Log
}

export interface ManagedProxy {
  stop(): Promise<void>
}

/** The proxy said why it can't start: its last line, for the terminal. */
export class ProxyFailed extends Error {
  override readonly name = 'ProxyFailed'
  readonly exitCode: number
  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

const startTimeoutMs = 20_000
const longestLogBytes = 64 * 2 ** 20
const logEveryMs = 10_000

/** Returns when the proxy answers on its control socket. Throws ProxyFailed when it does not come up. */
export async function manageProxy(options: ManagedProxyOptions): Promise<ManagedProxy> {
  const { runFolder, log, drainMs } = options
  const text = JSON.stringify(options.configuration)
  const digest = await digestOf(options.argv(), text)
  const record = join(runFolder, 'proxy-process.json')
  let current = await adopt(record, digest, options)
  const stopping = new AbortController()
  if (current === undefined) current = await start()
  const watching = watch()

  return {
    async stop() {
      stopping.abort()
      if (current !== undefined) await stopProcess(current, drainMs + 2_000)
      await watching
    },
  }

  async function start(): Promise<ProcessIdentity> {
    await writeFile(join(runFolder, 'proxy.json'), text, { mode: 0o600 })
    const identity = await launch(options)
    await writeFile(record, JSON.stringify({ ...identity, digest }), { mode: 0o600 })
    return identity
  }

  async function watch(): Promise<void> {
    let failures = 0
    let logLookedAt = 0
    while (!stopping.signal.aborted) {
      await sleep(250, undefined, { ref: false })
      if (current !== undefined && isStillAlive(current)) {
        if (performance.now() - logLookedAt < logEveryMs) continue
        logLookedAt = performance.now()
        await boundLog(options.logFile)
        continue
      }
      if (stopping.signal.aborted) return
      log.warn({ pid: current?.pid }, 'the proxy ended; it is started again')
      current = await start().catch((error: unknown) => {
        log.error({ err: error }, 'the proxy did not start; it is tried again')
        return undefined
      })
      failures = current === undefined ? failures + 1 : 0
      await sleep(Math.min(10_000, 250 * 2 ** failures), undefined, { ref: false })
    }
  }
}

/** What it was started from and with. The program counts by what is in it: the same one may lie elsewhere now. */
async function digestOf(argv: readonly string[], configuration: string): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([argv.slice(0, -1), configuration]))
  return hash.update(await readFile(argv.at(-1) ?? '')).digest('hex')
}

async function adopt(
  record: string,
  digest: string,
  { controlSocket, drainMs, log }: ManagedProxyOptions,
): Promise<ProcessIdentity | undefined> {
  const text = await readFile(record, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const known = JSON.parse(text) as ProcessIdentity & { digest: string }
  if (!(await isAlive(known))) return undefined
  if (known.digest === digest && (await answers(controlSocket))) {
    log.info({ pid: known.pid }, 'the proxy is still there and is kept')
    return known
  }
  log.info({ pid: known.pid }, 'the proxy runs with another configuration; it is started anew')
  await stopProcess(known, drainMs + 2_000)
  return undefined
}

async function launch(options: ManagedProxyOptions): Promise<ProcessIdentity> {
  const [command = '', ...args] = options.argv()
  const output = openSync(options.logFile, 'a', 0o600)
  const startedAtByte = (await stat(options.logFile)).size
  const child = spawn(command, [...args, '--config', join(options.runFolder, 'proxy.json')], {
    detached: true,
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  const ended: { exitCode?: number } = {}
  child.on('exit', (code) => (ended.exitCode = code ?? 1))
  child.on('error', () => (ended.exitCode = 1))
  child.unref()
  const deadline = performance.now() + startTimeoutMs
  while (ended.exitCode === undefined && performance.now() < deadline) {
    if (child.pid !== undefined && (await answers(options.controlSocket))) {
      const identity = await identify(child.pid)
      if (identity !== undefined) return identity
    }
    await sleep(20)
  }
  child.kill('SIGKILL')
  throw new ProxyFailed(
    (await lastLine(options.logFile, startedAtByte)) ?? 'The proxy did not come up in time',
    ended.exitCode === saidWhy ? unavailable : 1,
  )
}

/** The proxy's exit code when what is wrong is outside of it, such as a port that is taken. */
const saidWhy = 2
/** EX_UNAVAILABLE of sysexits.h, for the hub's own exit. */
const unavailable = 69

async function answers(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const asking = request({ socketPath, path: '/health', timeout: 1_000, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asking.on('timeout', () => asking.destroy())
    asking.on('error', () => resolve(false))
    asking.end()
  })
}

async function lastLine(file: string, from: number): Promise<string | undefined> {
  const handle = await open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(16_384), position: from })
    return buffer.toString('utf8', 0, bytesRead).trim().split('\n').at(-1)
  } finally {
    await handle.close()
  }
}

/** The proxy appends, so cutting the file under it is safe; sites that want to keep it send it elsewhere. */
async function boundLog(file: string): Promise<void> {
  const { size } = await stat(file)
  if (size > longestLogBytes) await truncate(file, 0)
}
