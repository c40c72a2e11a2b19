/** An environment's terminal as its page has it: a WebSocket that is typed into. */
import type { WebSocket } from 'ws'
import type { Launched, Scientist } from './scientist.ts'
import { until } from './until.ts'

export interface Shell {
  readonly socket: WebSocket
  readonly output: () => string
}

/** A second is what is promised; the rest is for a machine that is busy with other tests. */
const soon = { timeoutMs: 10_000 }

/** Returns when the shell has said something. */
export async function openShell(scientist: Scientist, launched: Launched): Promise<Shell> {
  const socket = scientist.socket(launched, '_hutch/terminal/ws')
  let output = ''
  socket.on('message', (data: Buffer, isBinary) => (output += isBinary ? data.toString() : ''))
  // What goes wrong ends in `close`, which is looked for.
  socket.on('error', () => undefined)
  await until('the shell has said something', () => output !== '', { timeoutMs: 60_000 })
  return { socket, output: () => output }
}

/** Types `line`, and waits for `answer` at the beginning of a line. Gives all that was said meanwhile. */
export async function typeInto(shell: Shell, line: string, answer: RegExp): Promise<string> {
  const before = shell.output().length
  shell.socket.send(Buffer.from(`${line}\n`))
  await until('the shell answers', () => answer.test(shell.output().slice(before)), { timeoutMs: 60_000 })
  return shell.output().slice(before)
}

/** Waits until it is closed; ms from now. */
export async function shellCloses({ socket }: Shell): Promise<number> {
  const from = performance.now()
  await until('the socket is closed', () => socket.readyState === socket.CLOSED, soon)
  return performance.now() - from
}
