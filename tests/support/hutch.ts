import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { until } from './until.ts'

export interface RunningHutch {
  readonly url: string
  readonly state: string
  readonly process: ChildProcess
  /** Everything it printed so far. */
  output(): string
  /** Passwords of the demo people, by user name. */
  passwords(): Promise<Readonly<Record<string, string>>>
  /** As Ctrl-C does; returns the exit code. */
  stop(): Promise<number | null>
  kill(): Promise<void>
}

const project = new URL('../..', import.meta.url).pathname

export interface HutchOptions {
  readonly state: string
  readonly args?: readonly string[]
  readonly port?: number
  readonly env?: NodeJS.ProcessEnv
}

/** The real `hutch start` in a process of its own, as a user would start it; stopped when the test ends. */
export async function startHutch(t: ExecutionContext, options: HutchOptions): Promise<RunningHutch> {
  const running = await runHutch(options)
  t.teardown(async () => {
    await running.stop()
    if (!t.passed) t.log(running.output().slice(-20_000))
  })
  return running
}

/** Returns when the login page answers. Whoever calls stops it. */
export async function runHutch({ state, args = [], port, env = {} }: HutchOptions): Promise<RunningHutch> {
  const listen = `127.0.0.1:${port ?? (await freePort())}`
  const child = spawn(
    process.execPath,
    [join(project, 'bin/hutch.js'), 'start', '--state', state, '--listen', listen, ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const ended = once(child, 'close')
  const running: RunningHutch = {
    url: `http://${listen}`,
    state,
    process: child,
    output: () => output,
    async passwords() {
      const people = JSON.parse(await readFile(join(state, 'demo-people.json'), 'utf8')) as {
        name: string
        password: string
      }[]
      return Object.fromEntries(people.map(({ name, password }) => [name, password]))
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT')
      await ended
      return child.exitCode
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
  await until(
    `hutch answers at ${running.url}`,
    async () => {
      if (child.exitCode !== null) throw new Error(`hutch ended with ${child.exitCode}:\n${output}`)
      return await fetch(`${running.url}/hub/login`).then(
        (answer) => answer.status === 200,
        () => false,
      )
    },
    { timeoutMs: 300_000, everyMs: 50 },
  )
  return running
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
