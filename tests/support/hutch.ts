import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { findProgram } from '../../bin/program.js'
import { giveToOrdinary, ordinaryCommand } from './asUser.ts'
import { readyJupyter } from './jupyter-on-path.ts'
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
  /** What browsers call it, when the configuration names it. */
  readonly publicUrl?: string
  readonly env?: NodeJS.ProcessEnv
  /** It runs as root when the test does. Without it, it is an ordinary user's also then, and so is the state. */
  readonly asRoot?: boolean
  /** bin/hutch.js of an installed package; absent: of this checkout. */
  readonly bin?: string
  /** argv that comes before: what gives it another view of the machine. */
  readonly within?: readonly string[]
}

/**
 * The real `hutch start` in a process of its own, as a user would start it; stopped when the test ends.
 * `jupyter`: whether JupyterLab is on its PATH, so that it need not be set up. Absent: when there is no --config.
 */
export async function startHutch(
  t: ExecutionContext,
  options: HutchOptions & { readonly jupyter?: boolean },
): Promise<RunningHutch> {
  const running = await runHutch({ ...options, env: { ...(await withJupyter(t, options)), ...options.env } })
  t.teardown(async () => {
    await running.stop()
    if (!t.passed) t.log(running.output().slice(-20_000))
  })
  return running
}

/** Where none can be had, it says so itself. */
async function withJupyter(
  t: ExecutionContext,
  { args = [], jupyter = !args.includes('--config') }: HutchOptions & { readonly jupyter?: boolean },
): Promise<NodeJS.ProcessEnv> {
  const found = jupyter ? await readyJupyter(t) : { missing: '' }
  return 'missing' in found ? {} : { PATH: [found.binFolder, process.env['PATH']].join(delimiter) }
}

/** Returns when the login page answers. Whoever calls stops it. */
export async function runHutch(options: HutchOptions): Promise<RunningHutch> {
  const { state, args = [], port, within = [], bin = join(project, 'bin/hutch.js') } = options
  // Bundled by this account, beside the packages: another one finds it there, and need not bundle it for each home.
  findProgram('hub', process.execPath)
  const listen = `127.0.0.1:${port ?? (await freePort())}`
  const program = [process.execPath, bin, 'start', '--state', state, '--listen', listen]
  const { argv, env, cleanUp } = await userOf(options, [...program, ...args])
  const [command = '', ...rest] = [...within, ...argv]
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], cwd: project, env })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const ended = once(child, 'close').then(async () => await cleanUp())
  const running: RunningHutch = {
    url: options.publicUrl ?? `http://${listen}`,
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
      return await answers(listen, new URL(running.url))
    },
    { timeoutMs: 300_000, everyMs: 50 },
  ).catch(async (error: unknown) => {
    if (child.exitCode === null && child.signalCode === null) await running.kill()
    throw error
  })
  return running
}

/** Whether the login page is there. Asked at the listening address: no name but a browser's own need resolve. */
async function answers(listen: string, { protocol, host }: URL): Promise<boolean> {
  const ask = protocol === 'https:' ? https.request : http.request
  return await new Promise((resolve) => {
    const url = `${protocol}//${listen}/hub/login`
    const asked = ask(
      url,
      { headers: { host }, rejectUnauthorized: false, timeout: 10_000, agent: false },
      (answer) => {
        answer.resume()
        resolve(answer.statusCode === 200)
      },
    )
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(false))
    asked.end()
  })
}

interface StartedAs {
  readonly argv: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cleanUp: () => Promise<void>
}

/** A test that is root starts it as somebody else, with a home of that user's and this one's way to the index of pip. */
async function userOf(options: HutchOptions, argv: readonly string[]): Promise<StartedAs> {
  const env = { ...process.env, ...options.env }
  if (process.getuid?.() !== 0 || options.asRoot === true) return { argv, env, cleanUp: async () => undefined }
  const home = await mkdtemp(join(tmpdir(), 'hutch-home-'))
  for (const name of ['.config/pip', '.pip']) {
    const settings = join(homedir(), name)
    if (existsSync(settings)) await cp(settings, join(home, name), { recursive: true })
  }
  for (const path of [home, options.state, ...(options.args ?? [])]) await giveToOrdinary(path)
  return {
    argv: await ordinaryCommand(argv),
    env: { ...env, HOME: home, USER: undefined, LOGNAME: undefined, XDG_CACHE_HOME: undefined },
    cleanUp: async () => await rm(home, { recursive: true, force: true, maxRetries: 5 }),
  }
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
