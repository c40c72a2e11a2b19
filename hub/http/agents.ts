/**
 * Where agents report: TLS 1.3 with a pre-shared key, which only the agent of a live environment has. Who speaks is
 * known by the key alone; nothing in the request says it. Who comes with the key of a claim may ask for their
 * bootstrap and for nothing else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { type AgentBootstrap, type AgentReport, agentReportSchema } from '../../images/agent/bootstrap.ts'
import { readClaimIdentity } from '../../images/agent/claim.ts'
import { pskServer } from '../../images/agent/link.ts'
import { type EnvironmentId, isEnvironmentId, type Log } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments } from '../domain/services.ts'
import type { NoticesFor } from './notices.ts'

export interface AgentsOptions {
  readonly environments: Pick<Environments, 'reported'>
  readonly claims: AgentClaims
  /** What an agent is told in answer; undefined: nothing. */
  readonly notices: NoticesFor
  /** Undefined: no live environment has this id, so nobody with it gets a connection. */
  readonly agentKeyOf: (id: string) => Buffer | undefined
  /** The last connection of this environment's agent was closed. */
  readonly hungUp: (id: EnvironmentId) => void
  readonly log: Log
}

interface AgentClaims {
  /** Undefined: nothing lives with this id that was started with a claim. */
  claimKeyOf(id: string): Buffer | undefined
  /** @throws Problem when it gets none. */
  claimed(id: EnvironmentId, remoteAddress: string): Promise<AgentBootstrap>
}

/** Whose key it was, and which one. */
interface Caller {
  readonly id: EnvironmentId
  readonly by: 'agent' | 'claim'
}

const longestBodyBytes = 65_536
const requestTimeoutMs = 10_000
const keepAliveMs = 75_000
/** Each agent keeps one; beyond this many those hang up first that say nothing now, and they come back. */
const mostConnections = 16_384

/** Not listening yet. */
export function agentsServer(options: AgentsOptions): Server {
  const { agentKeyOf, claims, hungUp, log } = options
  const callers = new WeakMap<Duplex, Caller>()
  /** Of agents, by environment. */
  const open = new Map<EnvironmentId, number>()

  function keyOf(identity: string): Readonly<{ key: Buffer | undefined; caller: Caller }> | undefined {
    if (isEnvironmentId(identity)) return { key: agentKeyOf(identity), caller: { id: identity, by: 'agent' } }
    const id = readClaimIdentity(identity)
    if (id === undefined || !isEnvironmentId(id)) return undefined
    return { key: claims.claimKeyOf(id), caller: { id, by: 'claim' } }
  }

  const server = createServer(
    {
      ...pskServer((identity) => keyOf(identity)?.key),
      pskCallback(socket: TLSSocket, identity: string) {
        const known = keyOf(identity)
        if (known?.key === undefined) return null
        callers.set(socket, known.caller)
        return known.key
      },
      handshakeTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: 5_000,
    },
    (request, response) => {
      answer(request, callers.get(request.socket), options)
        .catch((error: unknown) => failed(error, log))
        .then((given) => respond(request, response, given))
        .catch(() => response.destroy())
    },
  )
  server.on('secureConnection', (socket) => {
    const caller = callers.get(socket)
    if (caller?.by !== 'agent') return
    const { id } = caller
    open.set(id, (open.get(id) ?? 0) + 1)
    socket.once('close', () => {
      const left = (open.get(id) ?? 1) - 1
      if (left > 0) return void open.set(id, left)
      open.delete(id)
      hungUp(id)
    })
  })
  server.maxConnections = mostConnections
  server.on('drop', () => server.closeIdleConnections())
  // Whoever has no key: nothing to tell to them, and too many to log each.
  server.on('tlsClientError', (error, socket) => {
    log.debug({ err: error, address: socket.remoteAddress }, 'a connection without a valid key was refused')
    socket.destroy()
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  return server
}

interface Answer {
  readonly status: number
  readonly detail: string
  /** Absent: the detail, as text. */
  readonly json?: object
}

async function answer(
  request: IncomingMessage,
  caller: Caller | undefined,
  { environments, claims, notices }: AgentsOptions,
): Promise<Answer> {
  if (caller === undefined) return { status: 403, detail: 'This connection belongs to no environment.' }
  const path = caller.by === 'agent' ? '/agent/report' : '/agent/claim'
  if (request.url !== path) return { status: 404, detail: `Who has this key posts to ${path}.` }
  if (request.method !== 'POST') return { status: 405, detail: `Who has this key posts to ${path}.` }
  const { remoteAddress } = request.socket
  if (remoteAddress === undefined) return { status: 400, detail: 'The connection is gone.' }
  switch (caller.by) {
    case 'agent':
      await environments.reported(caller.id, await readReport(request), remoteAddress)
      return noticeOf(await notices.of(caller.id))
    case 'claim':
      return { status: 200, detail: '', json: await claims.claimed(caller.id, remoteAddress) }
  }
}

function noticeOf(word: object | undefined): Answer {
  return word === undefined ? { status: 204, detail: '' } : { status: 200, detail: '', json: word }
}

async function readReport(request: IncomingMessage): Promise<AgentReport> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > longestBodyBytes) throw new Problem('tooLarge', `A report has at most ${longestBodyBytes} bytes.`)
    chunks.push(chunk)
  }
  const parsed = agentReportSchema.safeParse(parseJson(Buffer.concat(chunks).toString()))
  if (!parsed.success) throw new Problem('badRequest', 'This is not a report of this version.')
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // refused like everything else that is no report
  }
}

function failed(error: unknown, log: Log): Answer {
  if (!(error instanceof Problem)) {
    log.error({ err: error }, 'a report could not be taken')
    return { status: 500, detail: 'The hub could not take it. Report again.' }
  }
  // Gone, not missing: the agent of what has ended has nothing to look for any more.
  return { status: error.type === 'notFound' ? 410 : error.status, detail: error.detail }
}

function respond(request: IncomingMessage, response: ServerResponse, { status, detail, json }: Answer): void {
  // What was not read would be taken for the next request.
  if (!request.complete) response.setHeader('Connection', 'close')
  if (json !== undefined) {
    response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
    response.end(JSON.stringify(json))
    return
  }
  response.writeHead(status, detail === '' ? {} : { 'Content-Type': 'text/plain; charset=utf-8' })
  response.end(detail)
}
