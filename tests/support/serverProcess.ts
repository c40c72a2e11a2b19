/** A server that a test starts, kills and starts again. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { ExecutionContext } from 'ava'
import { listens } from './listens.ts'
import { until } from './until.ts'

interface ServerProcess {
  /** Returns when it listens. */
  readonly start: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly signal: (name: NodeJS.Signals) => void
}

/** Runs, and is stopped when the test ends. */
export async function startServer(
  t: Pick<ExecutionContext, 'teardown'>,
  what: Readonly<{ title: string; argv: readonly string[]; port: number; env?: NodeJS.ProcessEnv }>,
): Promise<ServerProcess> {
  const [program = '', ...args] = what.argv
  let child: ChildProcess | undefined

  async function start(): Promise<void> {
    child = spawn(program, args, { stdio: 'ignore', ...(what.env && { env: what.env }) })
    await until(`${what.title} listens`, () => listens(what.port), { timeoutMs: 60_000, everyMs: 50 })
  }
  async function stop(): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child?.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }
  await start()
  t.teardown(stop)
  return { start, stop, signal: (name) => void child?.kill(name) }
}
