/** The real proxy in a process of its own, beside a fake hub that speaks the feed and answers under /hub/. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { WebSocketServer, type WebSocket } from 'ws'
import type { ProxyConfigurationInput } from '../../proxy/config.ts'
import { proxyMessageSchema, type HubMessage, type Revocation, type Route, type Target } from '../../proxy/feed.ts'
import { nonceHash, signEntry, signTicket, type Entry, type Ticket } from '../../proxy/ticket.ts'
import { freePort } from './hutch.ts'
import { temporaryFolder } from './temporary.ts'
import { until } from './until.ts'
import { proxyNodeFlags } from '../../proxy/node-flags.ts'

const project = new URL('../..', import.meta.url).pathname

/** The hub's end of the feed, and something that answers under /hub/. A fake: it decides nothing. */
interface FakeHub {
  readonly socket: string
  readonly routes: Map<string, Route>
  readonly revocations: Revocation[]
  /** What arrived under /hub/, newest last. */
  readonly seen: { method: string; url: string; headers: IncomingMessage['headers'] }[]
  readonly activity: Record<string, number>
  readonly transfers: Record<string, number>
  /** Connections of proxies that have been acknowledged the whole table. */
  followers(): number
  put(route: Route): Promise<void>
  delete(id: string): Promise<void>
  revoke(revocation: Revocation): Promise<void>
  /** Sends what a hub never would. */
  sendRaw(text: string): void
  answer: (request: IncomingMessage, response: ServerResponse) => void
  close(): Promise<void>
}

async function fakeHub(t: ExecutionContext, socket: string, secret: string): Promise<FakeHub> {
  const followers = new Map<WebSocket, number>()
  let seq = 0
  const server = createServer((request, response) => {
    hub.seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers })
    hub.answer(request, response)
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, stream, head) => {
    if (request.url !== '/proxy/feed' || request.headers.authorization !== `Bearer ${secret}`) return stream.destroy()
    sockets.handleUpgrade(request, stream, head, (follower) => {
      followers.set(follower, -1)
      follower.on('close', () => followers.delete(follower))
      follower.on('message', (data: Buffer) => {
        const message = proxyMessageSchema.parse(JSON.parse(data.toString()))
        if (message.type === 'ack') followers.set(follower, message.seq)
        else {
          Object.assign(hub.activity, message.at)
          Object.assign(hub.transfers, message.transfers)
        }
      })
      const routes = [...hub.routes.values()]
      follower.send(JSON.stringify({ type: 'table', seq, routes, revocations: hub.revocations }))
    })
    return undefined
  })
  const send = async (message: HubMessage): Promise<void> => {
    for (const follower of followers.keys()) follower.send(JSON.stringify(message))
    await until(`seq ${message.seq} is acknowledged`, () => [...followers.values()].every((ack) => ack >= message.seq))
  }
  const hub: FakeHub = {
    socket,
    routes: new Map(),
    revocations: [],
    seen: [],
    activity: {},
    transfers: {},
    followers: () => [...followers.values()].filter((ack) => ack >= 0).length,
    async put(route) {
      hub.routes.set(route.id, route)
      await send({ type: 'put', seq: (seq += 1), route })
    },
    async delete(id) {
      hub.routes.delete(id)
      await send({ type: 'delete', seq: (seq += 1), id })
    },
    async revoke(revocation) {
      hub.revocations.push(revocation)
      await send({ type: 'revoke', seq: (seq += 1), revocation })
    },
    sendRaw(text) {
      for (const follower of followers.keys()) follower.send(text)
    },
    answer(_request, response) {
      response.end('hub')
    },
    async close() {
      for (const follower of followers.keys()) follower.terminate()
      server.closeAllConnections()
      server.close()
      await rm(socket, { force: true })
    },
  }
  await rm(socket, { force: true })
  server.listen(socket)
  await once(server, 'listening')
  t.teardown(() => hub.close())
  return hub
}

export interface RunningProxy {
  readonly port: number
  readonly url: string
  readonly folder: string
  readonly hub: FakeHub
  readonly secret: string
  readonly admissionKey: Buffer
  readonly agentsKey: Buffer
  readonly configuration: ProxyConfigurationInput
  process: ChildProcess
  output(): string
  /** A path of its control socket. */
  control(path: string): Promise<string>
  ticket(route: Route, nonce: string, changes?: Partial<Ticket>): string
  /** The Cookie field of somebody who is in. */
  entry(route: Route, changes?: Partial<Entry>): string
  start(): Promise<void>
  stop(): Promise<number | null>
  kill(): Promise<void>
}

export async function startProxy(
  t: ExecutionContext,
  changes: Partial<ProxyConfigurationInput> = {},
  { routes = [], env = {} }: { routes?: readonly Route[]; env?: NodeJS.ProcessEnv } = {},
): Promise<RunningProxy> {
  const folder = await temporaryFolder(t)
  const secret = randomBytes(32).toString('base64url')
  const [admissionKey, agentsKey] = [randomBytes(32), randomBytes(32)]
  await mkdir(join(folder, 'run'))
  const secrets = {
    'feed-secret': secret,
    admission: admissionKey.toString('base64url'),
    agents: agentsKey.toString('base64url'),
  }
  for (const [name, text] of Object.entries(secrets)) await writeFile(join(folder, name), `${text}\n`, { mode: 0o600 })
  const hub = await fakeHub(t, join(folder, 'hub.sock'), secret)
  for (const route of routes) hub.routes.set(route.id, route)
  const port = await freePort()
  const configuration: ProxyConfigurationInput = {
    listen: { host: '127.0.0.1', port },
    publicUrl: `http://127.0.0.1:${port}`,
    hub: { socket: hub.socket },
    feed: { socket: hub.socket, secretFile: 'feed-secret' },
    admissionKeyFile: 'admission',
    agentsKeyFile: 'agents',
    snapshotFile: 'snapshot.json',
    control: { socket: join(folder, 'control.sock') },
    drainMs: 2_000,
    ...changes,
  }
  await writeFile(join(folder, 'proxy.json'), JSON.stringify(configuration), { mode: 0o600 })
  let output = ''
  const proxy: RunningProxy = {
    port,
    url: `http://127.0.0.1:${port}`,
    folder,
    hub,
    secret,
    admissionKey,
    agentsKey,
    configuration,
    process: undefined as unknown as ChildProcess,
    output: () => output,
    control: (path) => controlGet(join(folder, 'control.sock'), path),
    ticket: (route, nonce, changed = {}) =>
      signTicket(admissionKey, {
        ...claims(route),
        id: randomBytes(12).toString('hex'),
        nonceHash: nonceHash(nonce),
        entryExpiresAt: Date.now() + 3_600_000,
        ...changed,
      }),
    entry: (route, changed = {}) =>
      `hutch-entry=${signEntry(admissionKey, { ...claims(route), expiresAt: Date.now() + 3_600_000, ...changed })}`,
    async start() {
      output = ''
      const child = spawn(
        process.execPath,
        [...proxyNodeFlags, join(project, 'proxy/main.ts'), '--config', join(folder, 'proxy.json')],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: { ...process.env, ...env },
        },
      )
      proxy.process = child
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (data: Buffer) => (output += data.toString()))
      await until(
        'the proxy answers',
        async () => {
          if (child.exitCode !== null) throw new Error(`the proxy ended with ${child.exitCode}:\n${output}`)
          return await proxy.control('/health').catch(() => false)
        },
        { timeoutMs: 60_000 },
      )
    },
    stop: () => ended(proxy.process, 'SIGTERM'),
    async kill() {
      await ended(proxy.process, 'SIGKILL')
    },
  }
  t.teardown(async () => {
    await proxy.kill()
    if (!t.passed) t.log(output.slice(-8_000))
  })
  await proxy.start()
  await until('the proxy follows the hub', () => hub.followers() === 1, { timeoutMs: 30_000 })
  return proxy
}

export function route(id: string, target: Target, changes: Partial<Route> = {}): Route {
  const owner = { id: 'u-alice', name: 'alice' }
  return { id, generation: 1, prefix: `/user/alice/${id}/`, host: null, owner, target, ...changes }
}

function claims(to: Route): Omit<Entry, 'role'> & { role: 'owner' } {
  const now = Date.now()
  return {
    environment: to.id,
    login: 'l-1',
    user: { id: to.owner.id, name: to.owner.name },
    role: 'owner',
    issuedAt: now,
    expiresAt: now + 30_000,
  }
}

/** A server on a free port of 127.0.0.1, closed with all its connections when the test ends. */
export async function upstream(
  t: ExecutionContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ server: Server; target: Target; port: number }> {
  const server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { server, port, target: { kind: 'http', url: `http://127.0.0.1:${port}` } }
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** One request, as a program sends it: nothing is followed, decoded or added. */
export async function ask(
  url: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Reply> {
  return await new Promise((resolve, reject) => {
    const asking = httpRequest(url, { method, headers, agent: false, timeout: 30_000 }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      )
    })
    asking.on('timeout', () => asking.destroy(new Error('no answer within 30 s')))
    asking.on('error', reject)
    asking.end(body)
  })
}

/** Sends these bytes as they are; returns all that comes back until the proxy closes, or until `enough`. */
export async function raw(
  port: number,
  bytes: string | Buffer | readonly (string | Buffer)[],
  { enough = (_text: string): boolean => false, timeoutMs = 30_000, end = false } = {},
): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  const parts = Array.isArray(bytes) ? (bytes as readonly (string | Buffer)[]) : [bytes as string | Buffer]
  const over = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`nothing more within ${timeoutMs} ms after: ${text}`)), timeoutMs)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1')
      if (enough(text)) done()
    })
    socket.on('end', done)
    // A reset after the answer is an answer too.
    socket.on('error', done)
    socket.on('close', done)
  })
  await once(socket, 'connect')
  for (const part of parts) {
    if (typeof part === 'string') socket.write(part, 'latin1')
    else socket.write(part)
    if (parts.length > 1) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  if (end) socket.end()
  await over
  socket.destroy()
  return text
}

async function controlGet(socketPath: string, path: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const asking = httpRequest({ socketPath, path, agent: false, timeout: 5_000 }, (response) => {
      let body = ''
      response.on('data', (data: Buffer) => (body += data.toString()))
      response.on('end', () => resolve(body))
    })
    asking.on('timeout', () => asking.destroy(new Error('the control socket does not answer')))
    asking.on('error', reject)
    asking.end()
  })
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exit = once(child, 'exit')
  child.kill(signal)
  await exit
  return child.exitCode
}
