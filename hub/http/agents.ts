/**
 * Where agents report: TLS 1.3 with a pre-shared key, which only the agent of a live environment has. Who speaks is
 * known by the key alone; nothing in the request says it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { type AgentReport, agentReportSchema } from '../../images/agent/bootstrap.ts'
import { pskServer } from '../../images/agent/link.ts'
import { type EnvironmentId, isEnvironmentId, type Log } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments } from '../domain/services.ts'

export interface AgentsOptions {
  readonly environments: Pick<Environments, 'reported'>
  /** Undefined: no live environment has this id, so nobody with it gets a connection. */
  readonly agentKeyOf: (id: string) => Buffer | undefined
  readonly log: Log
}

const longestBodyBytes = 65_536
const requestTimeoutMs = 10_000
const keepAliveMs = 75_000
/** Each agent keeps one; beyond this many those hang up first that say nothing now, and they come back. */
const mostConnections = 16_384

/** Not listening yet. */
export function agentsServer({ environments, agentKeyOf, log }: AgentsOptions): Server {
  const identities = new WeakMap<Duplex, EnvironmentId>()
  const keyOf = (identity: string): Buffer | undefined => (isEnvironmentId(identity) ? agentKeyOf(identity) : undefined)

  const server = createServer(
    {
      ...pskServer(keyOf),
      pskCallback(socket: TLSSocket, identity: string) {
        const key = keyOf(identity)
        if (key === undefined) return null
        identities.set(socket, identity as EnvironmentId)
        return key
      },
      handshakeTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: 5_000,
    },
    (request, response) => {
      answer(request, identities.get(request.socket), environments)
        .catch((error: unknown) => failed(error, log))
        .then(({ status, detail }) => respond(request, response, status, detail))
        .catch(() => response.destroy())
    },
  )
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
}

async function answer(
  request: IncomingMessage,
  id: EnvironmentId | undefined,
  environments: AgentsOptions['environments'],
): Promise<Answer> {
  if (id === undefined) return { status: 403, detail: 'This connection belongs to no environment.' }
  if (request.url !== '/agent/report') return { status: 404, detail: 'Agents post to /agent/report.' }
  if (request.method !== 'POST') return { status: 405, detail: 'Agents post to /agent/report.' }
  const { remoteAddress } = request.socket
  if (remoteAddress === undefined) return { status: 400, detail: 'The connection is gone.' }
  await environments.reported(id, await readReport(request), remoteAddress)
  return { status: 204, detail: '' }
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

function respond(request: IncomingMessage, response: ServerResponse, status: number, detail: string): void {
  // What was not read would be taken for the next request.
  if (!request.complete) response.setHeader('Connection', 'close')
  response.writeHead(status, detail === '' ? {} : { 'Content-Type': 'text/plain; charset=utf-8' })
  response.end(detail)
}
