/** `hutch start` that must end by itself: what it says to people, and its exit code. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { ExecutionContext } from 'ava'
import { giveToOrdinary, ordinaryCommand } from './asUser.ts'

const bin = new URL('../../bin/hutch.js', import.meta.url).pathname

export const startCommand = (...args: readonly string[]): string[] => [process.execPath, bin, 'start', ...args]

export interface Failure {
  readonly code: number | null
  /** For people: without the log, which is JSON. */
  readonly lines: string[]
  /** All of standard error. */
  readonly errors: string
}

/** Runs it to its end, which must come by itself and without a stack trace. */
export async function fails(t: ExecutionContext, argv: readonly string[]): Promise<Failure> {
  for (const path of argv) await giveToOrdinary(path)
  const [command = '', ...args] = await ordinaryCommand(argv)
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let errors = ''
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()))
  await once(child, 'close')
  t.notRegex(errors, /^\s+at .*:\d+:\d+/m, 'a stack trace')
  const lines = errors.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  return { code: child.exitCode, lines, errors }
}
