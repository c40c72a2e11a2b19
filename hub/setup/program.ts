/** Runs a program to its end: with a deadline, bounded output, and without a shell. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly timeoutMs: number
  readonly signal?: AbortSignal
  /** Each line of standard output, as it comes. */
  readonly onLine?: (line: string) => void
}

export interface ProgramResult {
  /** Null: ended by a signal, or could not be started. */
  readonly exitCode: number | null
  /** The last lines of either stream. */
  readonly stdout: string
  readonly stderr: string
}

const keptLines = 50
const longestLine = 2_000

/** Never throws: what could not be started has exitCode null and the reason in stderr. */
export async function runProgram(argv: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  const [command = '', ...args] = argv
  const deadline = AbortSignal.timeout(options.timeoutMs)
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal])
  if (signal.aborted) return { exitCode: null, stdout: '', stderr: 'it was interrupted' }
  // A session of its own: what it started ends with it, and Ctrl-C reaches it through us alone.
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: options.env ?? process.env,
  })
  const lines = { stdout: [] as string[], stderr: [] as string[] }
  for (const name of ['stdout', 'stderr'] as const) {
    createInterface({ input: child[name] }).on('line', (line) => {
      const short = line.slice(0, longestLine)
      lines[name].push(short)
      if (lines[name].length > keptLines) lines[name].shift()
      if (name === 'stdout') options.onLine?.(short)
    })
  }
  const end = (): void => {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended by itself just now.
    }
  }
  signal.addEventListener('abort', end, { once: true })
  const exitCode = await new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      lines.stderr.push(error.message)
      resolve(null)
    })
    child.on('close', (code) => resolve(code))
  })
  signal.removeEventListener('abort', end)
  if (deadline.aborted) lines.stderr.push(`it took longer than ${Math.round(options.timeoutMs / 1_000)} s`)
  return { exitCode, stdout: lines.stdout.join('\n'), stderr: lines.stderr.join('\n') }
}

export function lastLine({ stderr, stdout }: ProgramResult): string {
  return (stderr.trim() || stdout.trim()).split('\n').at(-1)?.slice(0, 300) ?? ''
}
