/** Programs of the cluster: started in the foreground as children of the test, so that none outlives it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { openSync, closeSync } from 'node:fs'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Daemon {
  readonly pid: number
  isAlive(): boolean
  /** SIGTERM, and SIGKILL after ten seconds; resolves when it is gone. */
  stop(): Promise<void>
  /** At once. */
  kill(): Promise<void>
}

/** `as`: the user that it becomes; absent: root. */
export interface DaemonOptions {
  readonly argv: readonly string[]
  readonly as?: string
  readonly env: NodeJS.ProcessEnv
  readonly logFile: string
  readonly within: (argv: readonly string[]) => readonly string[]
}

export function startDaemon({ argv, as, env, logFile, within }: DaemonOptions): Daemon {
  const become = as === undefined ? [] : ['--reuid', as, '--regid', as, '--init-groups']
  // The kernel ends it with the test, however that ends.
  const [command = '', ...rest] = within(['setpriv', ...become, '--pdeathsig', 'TERM', '--', ...argv])
  const log = openSync(logFile, 'a', 0o644)
  const child = spawn(command, rest, { env, stdio: ['ignore', log, log], detached: true, cwd: '/' })
  closeSync(log)
  const gone = once(child, 'exit')
  gone.catch(() => undefined)
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!isAlive()) return
    child.kill(signal)
    await Promise.race([gone, sleep(10_000, undefined, { ref: false })])
    if (isAlive()) child.kill('SIGKILL')
    await gone
  }
  return { pid: pidOf(child, command), isAlive, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
}

function pidOf(child: ChildProcess, command: string): number {
  if (child.pid === undefined) throw new Error(`${command} can't be started`)
  return child.pid
}
