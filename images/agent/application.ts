/** The application as a process: started in a group of its own, watched until it is ready, stopped with grace. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LastLines } from './last-lines.ts'
import { sendSignal } from './processes.ts'
import type { Upstream } from './upstream.ts'

/** `failed` before it was ready or with another code than 0; messages are for the user. */
export type Exit = Readonly<{ is: 'ended' | 'failed'; code: number; message: string }>

export interface RunningApplication {
  /** Resolves once it answers; undefined: it ended, or was stopped, before. Rejects never. */
  readonly ready: Promise<'ready' | 'late' | undefined>
  readonly exit: Promise<Exit>
  /** SIGTERM to its group, SIGKILL after `graceMs`; resolves when it is gone. */
  stop(graceMs: number): Promise<void>
}

export interface ApplicationOptions {
  readonly argv: readonly string[]
  readonly directory: string
  readonly environment: NodeJS.ProcessEnv
  readonly upstream: Upstream
  /** Answers 2xx, 3xx or 4xx once it is ready. */
  readonly readyUrl: string
  readonly startTimeoutMs: number
  readonly lines: LastLines
}

export function startApplication(options: ApplicationOptions): RunningApplication {
  const started = startProcess(options)
  return { ready: untilReady(options, started.over), exit: started.exit, stop: started.stop }
}

export interface StartedProcess extends Pick<RunningApplication, 'exit' | 'stop'> {
  /** Aborted as soon as it has ended. */
  readonly over: AbortSignal
  /** What it writes to descriptor 3, when that was asked for. */
  readonly extra: Readable | undefined
}

export interface ProcessOptions extends Pick<ApplicationOptions, 'argv' | 'directory' | 'environment' | 'lines'> {
  readonly hasExtra?: boolean
}

export function startProcess({ argv, directory, environment, lines, hasExtra }: ProcessOptions): StartedProcess {
  const [command = '', ...args] = argv
  // `detached` is setsid(2): a session and group of its own, so that one signal reaches all of it.
  const child = spawn(command, args, {
    cwd: directory,
    env: environment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', hasExtra === true ? 'pipe' : 'ignore'],
  })
  for (const stream of [child.stdout, child.stderr]) if (stream !== null) lines.follow(stream)
  const over = new AbortController()
  const exit = exitOf(child, command, lines).finally(() => over.abort())
  return {
    over: over.signal,
    extra: child.stdio[3] instanceof Readable ? child.stdio[3] : undefined,
    exit,
    async stop(graceMs) {
      if (child.pid === undefined) return
      const group = -child.pid
      if (!over.signal.aborted) sendSignal(group, 'SIGTERM')
      const timer = new AbortController()
      await Promise.race([exit, sleep(graceMs, undefined, { signal: timer.signal }).catch(() => undefined)])
      timer.abort()
      sendSignal(group, 'SIGKILL')
      await exit
    },
  }
}

function exitOf(child: ChildProcess, command: string, lines: LastLines): Promise<Exit> {
  return new Promise((resolve) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? 'is not there' : `can't be started (${error.code ?? error.message})`
      resolve({ is: 'failed', code: 127, message: `The command ${command} ${why}.` })
    })
    child.on('exit', (code, signal) => {
      // What it printed last may still be in the pipe; descendants may hold that open for ever.
      setTimeout(() => {
        const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`
        const message = `The application ${how}.\n${lines.text(1_800)}`.trim()
        resolve({ is: code === 0 ? 'ended' : 'failed', code: code ?? 128 + signalNumber(child), message })
      }, 50)
    })
  })
}

function signalNumber({ signalCode }: ChildProcess): number {
  const numbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }
  return numbers[signalCode ?? ''] ?? 0
}

async function untilReady(
  { upstream, readyUrl, startTimeoutMs }: ApplicationOptions,
  signal: AbortSignal,
): Promise<'ready' | 'late' | undefined> {
  const deadline = performance.now() + startTimeoutMs
  while (!signal.aborted) {
    if (performance.now() > deadline) return 'late'
    const left = Math.max(1, deadline - performance.now())
    const status = mayListen(upstream) ? await askStatus(upstream, readyUrl, Math.min(left, 5_000), signal) : undefined
    if (status !== undefined && status >= 200 && status < 500) return 'ready'
    await sleep(25)
  }
  return undefined
}

/** A hundred requests that can't be made, while the application starts, would take its CPU from it. */
function mayListen({ to }: Pick<Upstream, 'to'>): boolean {
  return !('socketPath' in to) || existsSync(to.socketPath)
}

function askStatus(
  { to, path }: Pick<Upstream, 'to' | 'path'>,
  url: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const asking = request(
      { ...to, path: path(url), agent: false, headers: { host: 'localhost' }, signal },
      (answer) => {
        resolve(answer.statusCode)
        asking.destroy()
      },
    )
    asking.setTimeout(timeoutMs, () => asking.destroy())
    asking.on('error', () => resolve(undefined))
    asking.on('close', () => resolve(undefined))
    asking.end()
  })
}
