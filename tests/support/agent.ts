/** Real agents in processes of their own, a listener in the hub's place, and requests over the real link. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { createServer, request } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import type { ExecutionContext } from 'ava'
import { WebSocket, type ClientOptions } from 'ws'
import { defaultApplication } from '../../images/agent/applications.ts'
import { bundleAgent } from '../../images/agent/bundle.ts'
import { agentReportSchema, type AgentBootstrap, type AgentReport } from '../../images/agent/bootstrap.ts'
import { agentKey, pskClient, pskServer } from '../../images/agent/link.ts'
import type { HubWord } from '../../images/agent/hub-word.ts'
import { temporaryFolder } from './temporary.ts'
import { until } from './until.ts'

const project = new URL('../..', import.meta.url).pathname

export interface FakeHub {
  readonly port: number
  /** Reports that arrived and fit the schema, oldest first. */
  readonly reports: AgentReport[]
  readonly problems: string[]
  /** True: it hangs up on everybody. */
  isAway: boolean
  /** What it answers to reports; undefined: nothing. */
  word: HubWord | undefined
}

/** The hub's listener for agents, and nothing else of a hub. */
export async function fakeHub(t: ExecutionContext, agentsKey: Buffer): Promise<FakeHub> {
  const reports: AgentReport[] = []
  const problems: string[] = []
  const take = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const read = agentReportSchema.safeParse(JSON.parse(await text(incoming)))
    if (read.success) reports.push(read.data)
    else problems.push(read.error.message)
    if (read.success && hub.word !== undefined) response.writeHead(200).end(JSON.stringify(hub.word))
    else response.writeHead(read.success ? 204 : 400).end()
  }
  const server = createServer(
    pskServer((id) => agentKey(agentsKey, id)),
    (incoming, response) => void take(incoming, response),
  )
  server.on('connection', (socket: Socket) => hub.isAway && socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const hub: FakeHub = {
    port: (server.address() as AddressInfo).port,
    reports,
    problems,
    isAway: false,
    word: undefined,
  }
  return hub
}

export interface RunningAgent {
  readonly id: string
  readonly prefix: string
  readonly key: Buffer
  readonly agentsKey: Buffer
  readonly hub: FakeHub
  readonly process: ChildProcess
  /** What was given as `folder`, or a temporary one: the start directory. */
  readonly folder: string
  readonly exit: Promise<number | null>
  output(): string
  /** The port of the newest report. */
  port(): Promise<number>
  untilReady(timeoutMs?: number): Promise<number>
  ask(path: string, options?: AskOptions): Promise<Answer>
  webSocket(path: string, options?: ClientOptions): Promise<WebSocket>
  stop(): Promise<number | null>
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
  /** A certificate to trust beside the key. */
  readonly ca?: string
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly bytes: Buffer
}

/** What a hub would say of one that ends soon. */
export function wordOf(ends: HubWord['ends']): HubWord {
  const pages = { timeUrl: 'http://hub.invalid/time', renewUrl: 'http://hub.invalid/renew' }
  return { version: 1, ...pages, ...(ends === undefined ? {} : { ends }), warnMs: 1_800_000, loginWarnMs: 600_000 }
}

export interface StartAgentOptions {
  readonly bootstrap?: Partial<AgentBootstrap>
  readonly env?: NodeJS.ProcessEnv
  /** In place of the bundled agent. */
  readonly argv?: readonly string[]
  readonly hub?: FakeHub
  readonly agentsKey?: Buffer
}

let count = 0

export async function startAgent(t: ExecutionContext, options: StartAgentOptions = {}): Promise<RunningAgent> {
  const agentsKey = options.agentsKey ?? randomBytes(32)
  const hub = options.hub ?? (await fakeHub(t, agentsKey))
  const folder = await temporaryFolder(t)
  const id = options.bootstrap?.id ?? `e${process.pid}x${(count += 1)}`
  const key = agentKey(agentsKey, id)
  const prefix = `/user/alice/${id}/`
  const bootstrap: AgentBootstrap = {
    version: 1,
    id,
    key: key.toString('base64url'),
    report: { host: '127.0.0.1', port: hub.port },
    listen: { host: '127.0.0.1' },
    prefix,
    user: 'alice',
    application: applicationIn(folder),
    directories: [],
    startTimeoutMs: 120_000,
    stopTimeoutMs: 10_000,
    ...options.bootstrap,
  }
  const [command = '', ...args] = options.argv ?? (await bundled())
  const child = spawn(command, [...args, '--config', '-'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, HOME: folder, ...options.env },
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(JSON.stringify(bootstrap))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const exit = once(child, 'close').then(() => child.exitCode)
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await exit
    if (!t.passed) t.log(output.slice(-8_000))
  })

  const newest = (): AgentReport | undefined => hub.reports.at(-1)
  const port = async (): Promise<number> =>
    await until(
      'the agent reported its port',
      () => {
        if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}:\n${output}`)
        return newest()?.port
      },
      { timeoutMs: 60_000 },
    )
  return {
    id,
    prefix: bootstrap.prefix,
    key,
    agentsKey,
    hub,
    process: child,
    folder,
    exit,
    output: () => output,
    port,
    async untilReady(timeoutMs = 120_000) {
      await until(
        'the agent reported ready',
        () => {
          if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}:\n${output}`)
          return newest()?.application === 'ready'
        },
        { timeoutMs },
      )
      return await port()
    },
    ask: async (path, ask) => await askAgent({ id, key, port: await port() }, path, ask),
    webSocket: async (path, socketOptions) => await openWebSocket({ id, key, port: await port() }, path, socketOptions),
    async stop() {
      child.kill('SIGTERM')
      return await exit
    },
  }
}

let making: Promise<readonly string[]> | undefined

/** The agent as environments run it, made once for each test file: it starts in a third of the source's time. */
async function bundled(): Promise<readonly string[]> {
  making ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hutch-agent-'))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    const { script, nodeFlags } = await bundleAgent(folder)
    return [process.execPath, ...nodeFlags, script]
  })()
  return await making
}

/** A terminal that starts in the test's folder. */
function applicationIn(folder: string): AgentBootstrap['application'] {
  const { kind, argv, readyPath, landingPath } = defaultApplication('terminal')
  return { kind, argv: [...argv], readyPath, landingPath, directory: folder }
}

/** tests/support/agent-application.ts as the application; `file` is where it writes what it was given. */
export function webApplication(mode = 'web', file = ''): AgentBootstrap['application'] {
  const script = join(project, 'tests/support/agent-application.ts')
  return { kind: 'web', argv: [process.execPath, script, mode, '{socket}', file], readyPath: '', landingPath: '' }
}

export interface Link {
  readonly id: string
  readonly key: Buffer
  readonly port: number
}

export function askAgent({ id, key, port }: Link, path: string, options: AskOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body, ca } = options
    const asking = request(
      { ...pskClient(id, key), host: '127.0.0.1', port, path, method, headers, agent: false, timeout: 60_000, ca },
      (answer) => {
        buffer(answer).then(
          (bytes) =>
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: bytes.toString(), bytes }),
          reject,
        )
      },
    )
    asking.on('timeout', () => asking.destroy(new Error('no answer in time')))
    asking.on('error', reject)
    asking.end(body)
  })
}

async function openWebSocket(link: Link, path: string, options: ClientOptions = {}): Promise<WebSocket> {
  const socket = openingWebSocket(link, path, options)
  await once(socket, 'open')
  return socket
}

/** Not opened yet, so that nothing is missed. */
export function openingWebSocket({ id, key, port }: Link, path: string, options: ClientOptions = {}): WebSocket {
  return new WebSocket(`wss://127.0.0.1:${port}${path}`, { ...(pskClient(id, key) as ClientOptions), ...options })
}

/** A bare connection over the link, for bytes that no client would send. */
export async function openLink({ id, key, port }: Link): Promise<TLSSocket> {
  const socket = tlsConnect({ ...pskClient(id, key), host: '127.0.0.1', port })
  await once(socket, 'secureConnect')
  return socket
}
