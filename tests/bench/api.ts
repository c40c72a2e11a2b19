/**
 * JupyterHub's API, asked of us and of JupyterHub's current release in one run: each hub alone on a core, the client
 * on the other, no proxy between. 2,000 people; every request says who asks by a token.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Pool } from 'undici'
import { fakeSite } from '../support/fakeSite.ts'
import { freePort } from '../support/hutch.ts'
import { installedJupyterHub } from '../support/jupyterhub.ts'
import { until } from '../support/until.ts'
import { measuredCore, moveTo, onCore, otherCore } from './cores.ts'
import { cpuMs, median, quantile, row } from './figures.ts'

const people = 2_000
const together = 16
const names = Array.from({ length: people }, (_, number) => `p${number}`)
const page = { accept: 'application/jupyterhub-pagination+json' }
const rounds = 3

interface Subject {
  readonly name: string
  readonly pid: number
  readonly pool: Pool
  readonly token: string
  close(): Promise<void>
}

export async function benchApi(folder: string): Promise<void> {
  moveTo(otherCore, process.pid)
  const subjects = [await hutchSubject(folder), await jupyterHubSubject(folder)].filter((each) => each !== undefined)
  try {
    for (const subject of subjects) await create(subject)
    for (let round = 0; round < rounds; round += 1) {
      for (const subject of subjects) await measure(subject)
    }
  } finally {
    for (const subject of subjects) await subject.close()
  }
}

async function create(subject: Subject): Promise<void> {
  await timed(subject, 'create 2,000 users in bulk', people, async () => {
    for (let first = 0; first < people; first += 1_000) {
      await ask(subject, 'POST', '/users', { usernames: names.slice(first, first + 1_000) }, 201)
    }
  })
}

async function measure(subject: Subject): Promise<void> {
  const one = (number: number): string => `/users/p${(number * 7) % people}`
  await storm(subject, 'GET users/NAME, 16 at once', subject.name === 'hutch' ? 8_000 : 300, (number) =>
    ask(subject, 'GET', one(number), undefined, 200),
  )
  await alone(subject, 'page of 200 users', (number) =>
    ask(subject, 'GET', `/users?limit=200&offset=${(number % 10) * 200}`, undefined, 200, page),
  )
  await alone(subject, 'all 2,000 users', () => ask(subject, 'GET', '/users?limit=2000', undefined, 200))
  const at = (): string => new Date().toISOString()
  await storm(subject, 'POST activity, 16 at once', subject.name === 'hutch' ? 8_000 : 300, (number) =>
    ask(subject, 'POST', `${one(number)}/activity`, { last_activity: at() }, 200),
  )
}

async function storm(
  subject: Subject,
  what: string,
  count: number,
  one: (number: number) => Promise<void>,
): Promise<void> {
  for (let number = 0; number < count / 10; number += 1) await one(number)
  const times: number[] = []
  let next = 0
  await timed(
    subject,
    what,
    count,
    async () => {
      const worker = async (): Promise<void> => {
        while (next < count) {
          const number = next
          next += 1
          const startedAt = performance.now()
          await one(number)
          times.push(performance.now() - startedAt)
        }
      }
      await Promise.all(Array.from({ length: together }, worker))
    },
    times,
  )
}

async function alone(subject: Subject, what: string, one: (number: number) => Promise<void>): Promise<void> {
  for (let number = 0; number < 5; number += 1) await one(number)
  const times: number[] = []
  await timed(
    subject,
    what,
    20,
    async () => {
      for (let number = 0; number < 20; number += 1) {
        const startedAt = performance.now()
        await one(number)
        times.push(performance.now() - startedAt)
      }
    },
    times,
  )
}

async function timed(
  { name, pid }: Subject,
  what: string,
  count: number,
  work: () => Promise<void>,
  times?: readonly number[],
): Promise<void> {
  const [cpuBefore, startedAt] = [await cpuMs(pid), performance.now()]
  await work()
  const tookMs = performance.now() - startedAt
  const cpu = (await cpuMs(pid)) - cpuBefore
  row(`${name}: ${what}`, {
    per_second: (count / tookMs) * 1_000,
    ...(times === undefined ? {} : { p50_ms: median(times), p99_ms: quantile(times, 0.99) }),
    cpu_ms_each: cpu / count,
  })
}

async function ask(
  { pool, token }: Subject,
  method: 'GET' | 'POST',
  path: string,
  body: object | undefined,
  wanted: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const answer = await pool.request({
    method,
    path: `/hub/api${path}`,
    headers: {
      authorization: `token ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? null : JSON.stringify(body),
  })
  const text = await answer.body.text()
  if (answer.statusCode !== wanted) throw new Error(`${method} ${path} was answered with ${answer.statusCode}: ${text}`)
}

async function hutchSubject(parent: string): Promise<Subject> {
  const folder = join(parent, 'api')
  const state = join(folder, 'state')
  const token = randomBytes(32).toString('hex')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'root.token'), token, { mode: 0o600 })
  const args = await fakeSite({
    folder,
    backend: 'http://127.0.0.1:9',
    more: { services: { root: { apiTokenFile: 'root.token', admin: true } }, log: { level: 'warn' } },
  })
  const program = new URL('../../bin/hutch.js', import.meta.url).pathname
  const argv = [process.execPath, program, 'start', '--state', state, '--listen', `127.0.0.1:${await freePort()}`]
  const child = start([...onCore(measuredCore), ...argv, ...args], folder)
  const pool = new Pool('http://127.0.0.1', { socketPath: join(state, 'run/hub.sock'), connections: together })
  const subject = { name: 'hutch', pid: child.pid ?? 0, pool, token, close: () => end(child, pool) }
  await until('the hub answers', () => isWell(child, subject), { timeoutMs: 120_000, everyMs: 100 })
  return subject
}

/** Undefined: it is not installed here; tests/e2e installs it. */
async function jupyterHubSubject(parent: string): Promise<Subject | undefined> {
  const bin = await installedJupyterHub()
  if (bin === undefined) return undefined
  const folder = join(parent, 'api-jupyterhub')
  await mkdir(folder, { recursive: true })
  const [port, token] = [await freePort(), randomBytes(32).toString('hex')]
  const lines = [
    "c.JupyterHub.db_url = 'sqlite:///jupyterhub.sqlite'",
    `c.JupyterHub.hub_port = ${port}`,
    `c.JupyterHub.bind_url = 'http://127.0.0.1:${await freePort()}'`,
    "c.JupyterHub.authenticator_class = 'dummy'",
    'c.Authenticator.allow_all = True',
    "c.JupyterHub.spawner_class = 'simple'",
    'c.JupyterHub.api_page_max_limit = 5000',
    `c.JupyterHub.services = [{'name': 'root', 'api_token': '${token}', 'admin': True}]`,
    `c.ConfigurableHTTPProxy.command = ${JSON.stringify([process.execPath, chp])}`,
    "c.JupyterHub.log_level = 'WARN'",
  ]
  await writeFile(join(folder, 'jupyterhub_config.py'), `${lines.join('\n')}\n`)
  const child = start([...onCore(measuredCore), join(bin, 'python'), '-m', 'jupyterhub'], folder)
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: together })
  const subject = { name: 'JupyterHub', pid: child.pid ?? 0, pool, token, close: () => end(child, pool) }
  await until('JupyterHub answers', () => isWell(child, subject), { timeoutMs: 120_000, everyMs: 200 })
  return subject
}

const chp = new URL(import.meta.resolve('configurable-http-proxy/bin/configurable-http-proxy')).pathname

function start([command = '', ...rest]: readonly string[], folder: string): ChildProcess {
  return spawn(command, rest, { cwd: folder, stdio: ['ignore', 'ignore', 'ignore'] })
}

async function isWell(child: ChildProcess, subject: Subject): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`${subject.name} ended with ${child.exitCode}`)
  return await ask(subject, 'GET', '/info', undefined, 200).then(
    () => true,
    () => false,
  )
}

async function end(child: ChildProcess, pool: Pool): Promise<void> {
  await pool.destroy()
  if (child.exitCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}
