/** The proxies that are measured side by side, each with a route for /user/alice/e1/, pinned to one core. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WebSocketServer } from 'ws'
import type { HubMessage, Route, Target } from '../../proxy/feed.ts'
import { proxyNodeFlags } from '../../proxy/node-flags.ts'
import { signEntry } from '../../proxy/ticket.ts'
import { compatiblePlaces } from '../support/compatible.ts'
import { program } from '../support/component.ts'
import { freePort } from '../support/hutch.ts'
import { until } from '../support/until.ts'

export interface Subject {
  readonly name: string
  readonly port: number
  readonly pids: () => Promise<number[]>
  /** More lines of a request's head: what admission wants. */
  readonly fields: string
  /** Adds a route; resolves when it is in use. */
  readonly addRoute?: (index: number) => Promise<void>
  /** Gives it a table of so many routes; resolves when it is in use. */
  readonly fill?: (count: number) => Promise<void>
  stop(): Promise<void>
}

const project = new URL('../..', import.meta.url).pathname
const chp = join(
  dirname(fileURLToPath(import.meta.resolve('configurable-http-proxy/package.json'))),
  'bin/configurable-http-proxy',
)
/** Of util-linux. */
const pin = program('taskset') ?? ''

/** On the first core; the other ends have the second. */
function pinned(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, cores = '0'): ChildProcess {
  const child = spawn(pin, ['-c', cores, command, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...env },
  })
  return child
}

async function listens(port: number): Promise<void> {
  await until(
    `port ${port} listens`,
    () =>
      new Promise<boolean>((resolve) => {
        const socket = createConnection({ port, host: '127.0.0.1' }, () => {
          socket.destroy()
          resolve(true)
        })
        socket.on('error', () => resolve(false))
      }),
    { timeoutMs: 30_000 },
  )
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

export async function nginx(folder: string, upstream: number): Promise<Subject | undefined> {
  const command = program('nginx')
  if (command === undefined) return undefined
  const port = await freePort()
  const place = join(folder, 'nginx')
  await mkdir(place, { recursive: true })
  const text = `daemon off; worker_processes 1; pid ${place}/pid; error_log stderr crit;
events { worker_connections 20000; }
http { access_log off; client_max_body_size 0; proxy_request_buffering off; proxy_buffering off; keepalive_requests 100000000;
client_body_temp_path ${place}/b; proxy_temp_path ${place}/p; fastcgi_temp_path ${place}/f; uwsgi_temp_path ${place}/u; scgi_temp_path ${place}/s;
map $http_upgrade $c { default upgrade; '' ''; }
upstream u { server 127.0.0.1:${upstream}; keepalive 512; keepalive_requests 100000000; }
server { listen 127.0.0.1:${port} backlog=1024; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Host $host;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $c; proxy_set_header X-Forwarded-For $remote_addr; } } }`
  await writeFile(join(place, 'nginx.conf'), text)
  const child = pinned(command, ['-p', place, '-c', join(place, 'nginx.conf')])
  await listens(port)
  const pids = async (): Promise<number[]> => [child.pid ?? 0, ...(await childrenOf(child.pid ?? 0))]
  return {
    name: 'nginx',
    port,
    pids,
    fields: '',
    stop: async () => {
      const all = await pids()
      await ended(child)
      for (const pid of all.slice(1)) kill(pid)
    },
  }
}

export async function haproxy(folder: string, upstream: number): Promise<Subject | undefined> {
  const command = program('haproxy')
  if (command === undefined) return undefined
  const port = await freePort()
  const file = join(folder, 'haproxy.cfg')
  const text = `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  option forwardfor
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:${upstream} pool-max-conn 512
`
  await writeFile(file, text)
  const child = pinned(command, ['-f', file, '-db'])
  await listens(port)
  return { name: 'haproxy', port, pids: async () => [child.pid ?? 0], fields: '', stop: () => ended(child) }
}

/** configurable-http-proxy, or ours in its place. */
export async function compatible(kind: 'chp' | 'hutch as chp', upstream: number): Promise<Subject> {
  const [port, apiPort] = [await freePort(), await freePort()]
  const script = kind === 'chp' ? chp : join(project, 'bin/hutch-proxy.js')
  const args = [...compatiblePlaces(port, apiPort), '--log-level', 'error']
  const flags = kind === 'chp' ? [] : proxyNodeFlags
  const child = pinned(process.execPath, [...flags, script, ...args], { CONFIGPROXY_AUTH_TOKEN: 'bench' })
  await listens(port)
  await listens(apiPort)
  const add = async (path: string): Promise<void> => {
    const answer = await fetch(`http://127.0.0.1:${apiPort}/api/routes${path}`, {
      method: 'POST',
      headers: { authorization: 'token bench' },
      body: JSON.stringify({ target: `http://127.0.0.1:${upstream}` }),
    })
    if (answer.status !== 201) throw new Error(`adding a route: ${answer.status}`)
    await answer.arrayBuffer()
  }
  await add('/user/alice/e1')
  const addRoute = (index: number): Promise<void> => add(`/user/u${index}`)
  return { name: kind, port, pids: async () => [child.pid ?? 0], fields: '', addRoute, stop: () => ended(child) }
}

export interface HutchOptions {
  readonly name: string
  readonly target: (agentsKey: Buffer) => Promise<Target>
  readonly access?: boolean
  readonly workers?: number
}

/** With admission switched on: each request carries an entry cookie. */
export async function hutch(folder: string, options: HutchOptions): Promise<Subject> {
  const place = join(folder, `hutch-${randomBytes(4).toString('hex')}`)
  await mkdir(place)
  const [admissionKey, agentsKey, port] = [randomBytes(32), randomBytes(32), await freePort()]
  const secrets = {
    secret: 'bench-secret',
    admission: admissionKey.toString('base64url'),
    agents: agentsKey.toString('base64url'),
  }
  for (const [name, text] of Object.entries(secrets)) await writeFile(join(place, name), text, { mode: 0o600 })
  const route = benchRoute('e1', await options.target(agentsKey))
  const hub = await fakeFeed(join(place, 'hub.sock'), route)
  const configuration = {
    listen: { host: '127.0.0.1', port },
    publicUrl: `http://127.0.0.1:${port}`,
    hub: { socket: join(place, 'hub.sock') },
    feed: { socket: join(place, 'hub.sock'), secretFile: 'secret' },
    admissionKeyFile: 'admission',
    agentsKeyFile: 'agents',
    snapshotFile: 'snapshot.json',
    control: { socket: join(place, 'control.sock') },
    workers: options.workers ?? 1,
    log: { access: options.access ?? false },
  }
  await writeFile(join(place, 'proxy.json'), JSON.stringify(configuration), { mode: 0o600 })
  const args = [...proxyNodeFlags, join(project, 'bin/hutch-proxy.js'), '--config', join(place, 'proxy.json')]
  const child = pinned(process.execPath, args, {}, (options.workers ?? 1) > 1 ? '0,1' : '0')
  await listens(port)
  await until('the table is there', () => hub.acknowledged() >= 0, { timeoutMs: 30_000 })
  const now = Date.now()
  const entry = signEntry(admissionKey, {
    environment: 'e1',
    login: 'l',
    user: route.owner,
    role: 'owner',
    issuedAt: now,
    expiresAt: now + 86_400_000,
  })
  return {
    name: options.name,
    port,
    pids: async () => [child.pid ?? 0, ...(await childrenOf(child.pid ?? 0))],
    fields: `Cookie: hutch-entry=${entry}\r\n`,
    addRoute: (index) => hub.put(benchRoute(`r${index}`, route.target)),
    fill: (count) =>
      hub.table([route, ...Array.from({ length: count - 1 }, (_, index) => benchRoute(`t${index}`, route.target))]),
    async stop() {
      await ended(child)
      hub.close()
      await rm(place, { recursive: true, force: true })
    },
  }
}

function benchRoute(id: string, target: Target): Route {
  return {
    id,
    generation: 1,
    prefix: `/user/alice/${id}/`,
    host: null,
    owner: { id: 'u-alice', name: 'alice' },
    target,
  }
}

async function fakeFeed(
  socket: string,
  first: Route,
): Promise<{
  put(route: Route): Promise<void>
  table(routes: Route[]): Promise<void>
  acknowledged(): number
  close(): void
}> {
  const server = createServer((_request, response) => response.end('hub'))
  const sockets = new WebSocketServer({ server, perMessageDeflate: false })
  const waiting = new Map<number, () => void>()
  let acknowledged = -1
  let seq = 0
  let send = (_message: HubMessage): void => {}
  sockets.on('connection', (follower) => {
    send = (message) => follower.send(JSON.stringify(message))
    follower.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as { type: string; seq: number }
      if (message.type !== 'ack') return
      acknowledged = message.seq
      waiting.get(message.seq)?.()
      waiting.delete(message.seq)
    })
    send({ type: 'table', seq, routes: [first], revocations: [] })
  })
  server.listen(socket)
  await once(server, 'listening')
  return {
    put: (route) =>
      new Promise((resolve) => {
        seq += 1
        waiting.set(seq, resolve)
        send({ type: 'put', seq, route })
      }),
    table: (routes) =>
      new Promise((resolve) => {
        seq += 1
        waiting.set(seq, resolve)
        send({ type: 'table', seq, routes, revocations: [] })
      }),
    acknowledged: () => acknowledged,
    close() {
      for (const client of sockets.clients) client.terminate()
      server.close()
    },
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const { readFile } = await import('node:fs/promises')
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return text.split(' ').filter(Boolean).map(Number)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It went with its parent.
  }
}
