/** One command: its argv, its input, its deadline, and a most of what it may say. Never a shell. */
import { spawn } from 'node:child_process'

export interface Ran {
  readonly code: number
  readonly output: Buffer
  /** The last of what it said beside its output. */
  readonly said: string
}

export interface RunOptions {
  readonly input?: string
  readonly variables: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

export type Run = (argv: readonly string[], options: RunOptions) => Promise<Ran>

const mostOutputBytes = 512 * 1024 * 1024
const mostSaid = 16_384

/** @throws when it can't be started, says too much, is ended by a signal, or the signal aborts. */
export const runCommand: Run = async (argv, { input = '', variables, signal }) => {
  signal.throwIfAborted()
  const [program = '', ...rest] = argv
  return await new Promise((resolve, reject) => {
    // `detached`: a group of its own, so that what it started ends with it.
    const options = { env: { ...variables }, cwd: '/', detached: true }
    const child = spawn(program, rest, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    let bytes = 0
    let said = ''

    function give(error: Error): void {
      reject(error)
      endGroup(child.pid)
      for (const stream of child.stdio) stream?.destroy()
      child.unref()
    }
    const onAbort = (): void =>
      give(signal.reason instanceof Error ? signal.reason : new Error(`${program} was given up`))
    signal.addEventListener('abort', onAbort, { once: true })
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > mostOutputBytes) give(new Error(`${program} says too much`))
    })
    child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-mostSaid)))
    // It may end without having read all: its code tells.
    child.stdin.on('error', () => undefined)
    child.on('error', (cause) => reject(new Error(`${program} can't be started: ${cause.message}`, { cause })))
    child.on('close', (code, by) => {
      signal.removeEventListener('abort', onAbort)
      if (code === null) reject(new Error(`${program} was ended by ${by ?? 'a signal'}: ${said}`))
      else resolve({ code, output: Buffer.concat(chunks), said: said.trim() })
    })
    child.stdin.end(input)
  })
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended, or runs as another whom we may not end: hutch-as-user ends it soon itself.
  }
}
