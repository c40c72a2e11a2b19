/**
 * Fake: a backend where environments exist at once and cost nothing, reachable by HTTP on loopback, so that it
 * survives a hub's kill -9. `node tests/support/fakeBackend.ts [port]` runs it as a process of its own (stdout:
 * one line {"url"}; it ends when its standard input does); `startFakeBackend` runs it inside a test.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import type { EndReason, EnvironmentSpec } from '../../spawners/spawner.ts'
import { portOf, startFakeAgents, type FakeAgents } from './fakeAgents.ts'
import { createRooms, type FakeProfile, type FakeState, type Rooms } from './fakeRooms.ts'

export type { FakeProfile, FakeState } from './fakeRooms.ts'

/** How the backend behaves from now on; what is absent stays as it is. */
export interface FakeBehaviour {
  /** No request of a spawner is answered or has an effect for this long. */
  silentForMs?: number
  /** Every answer comes this much later. */
  latencyMs?: number
  /** The next so many ensures and removes take effect, and their answers are lost. */
  loseAnswers?: number
  /** From ensure to running. Default 0. */
  startMs?: number
  /** Agents take connections and say nothing for this long. */
  agentsSilentForMs?: number
  /** Whether agents report to the hub. Default true. */
  reports?: boolean
  /** Between two reports of one environment. Default 20 s. */
  reportEveryMs?: number
}

export interface FakeBackend {
  readonly url: string
  readonly state: () => FakeState
  readonly behave: (behaviour: FakeBehaviour) => void
  /** Ends one by itself, as a job that crashed, was preempted … */
  readonly end: (id: string, reason: EndReason, exitCode?: number) => void
  /** It is not there any more, and nobody knows why. */
  readonly lose: (id: string) => void
  readonly close: () => Promise<void>
}

export async function startFakeBackend(port = 0): Promise<FakeBackend> {
  const agents = await startFakeAgents()
  const rooms = createRooms(Date.now)
  const manner: Manner = {
    latencyMs: 0,
    loseAnswers: 0,
    startMs: 0,
    reports: true,
    reportEveryMs: 20_000,
    silentUntil: 0,
  }
  const watchers = new Map<ServerResponse, string>()
  const tell = (hub: string, id: string) => {
    for (const [response, follows] of watchers) if (follows === hub) response.write(`${id}\n`)
  }
  const controls: Controls = {
    state: () => rooms.state(),
    behave({ silentForMs, agentsSilentForMs, ...rest }) {
      if (silentForMs !== undefined) manner.silentUntil = Date.now() + silentForMs
      if (agentsSilentForMs !== undefined) agents.silence(agentsSilentForMs)
      Object.assign(manner, rest)
    },
    end(id, reason, exitCode) {
      agents.delete(id)
      tell(rooms.end(id, reason, exitCode).hub, id)
    },
    lose(id) {
      agents.delete(id)
      const room = rooms.lose(id)
      if (room) tell(room.hub, id)
    },
  }
  const serve = spawnerRequests({ rooms, agents, manner, watchers, tell })
  const server = createServer((request, response) => {
    const [room, ...parts] = (request.url ?? '').split('/').filter(Boolean).map(decodeURIComponent)
    const handled = room === 'hubs' ? serve(request, response, parts) : control(request, response, parts[0], controls)
    handled.catch((error: unknown) => answer(response, { status: 400, body: { error: String(error) } }))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const closing = new AbortController()
  const reporting = keepReporting(rooms, agents, manner, closing.signal)
  return {
    ...controls,
    url: `http://127.0.0.1:${portOf(server)}`,
    async close() {
      closing.abort()
      server.close()
      server.closeAllConnections()
      await Promise.all([reporting, agents.close()])
    },
  }
}

type Controls = Pick<FakeBackend, 'state' | 'behave' | 'end' | 'lose'>
type Answer = { status: number; body: unknown }
type Manner = Required<Omit<FakeBehaviour, 'silentForMs' | 'agentsSilentForMs'>> & { silentUntil: number }

interface Parts {
  readonly rooms: Rooms
  readonly agents: FakeAgents
  readonly manner: Manner
  readonly watchers: Map<ServerResponse, string>
  readonly tell: (hub: string, id: string) => void
}

/** /hubs/HUB/environments[/ID[/logs|/end]] and /hubs/HUB/watch */
function spawnerRequests({ rooms, agents, manner, watchers, tell }: Parts) {
  type Body = { spec: EnvironmentSpec<FakeProfile>; bootstrap: AgentBootstrap; endsAt: string }

  function ensure(hub: string, { spec, bootstrap }: Body): Answer {
    const { room, refused } = rooms.ensure(hub, spec, bootstrap, manner.startMs)
    if (refused !== undefined) return { status: 422, body: refused }
    if (room) {
      agents.add(bootstrap)
      tell(hub, spec.id)
    }
    return done
  }

  function remove(hub: string, id: string): Answer {
    if (rooms.remove(hub, id)) {
      agents.delete(id)
      tell(hub, id)
    }
    return done
  }

  function acted(response: ServerResponse, result: Answer): void {
    if (manner.loseAnswers === 0) return answer(response, result)
    manner.loseAnswers -= 1
    response.destroy()
  }

  return async (request: IncomingMessage, response: ServerResponse, parts: readonly string[]): Promise<void> => {
    const [hub = '', what = '', id = '', detail] = parts
    const body = await read<Body>(request)
    if (manner.latencyMs > 0) await sleep(manner.latencyMs)
    if (Date.now() < manner.silentUntil) {
      await sleep(manner.silentUntil - Date.now(), undefined, { ref: false })
      response.destroy()
      return
    }
    if (what === 'watch') {
      watchers.set(response.writeHead(200, { 'content-type': 'text/plain' }), hub)
      response.write('\n')
      response.on('close', () => watchers.delete(response))
      return
    }
    const room = rooms.get(hub, id)
    switch (`${request.method} ${detail ?? ''}`) {
      case 'PUT ':
        return acted(response, ensure(hub, body))
      case 'DELETE ':
        return acted(response, remove(hub, id))
      case 'PUT end':
        if (room) room.endsAt = new Date(body.endsAt)
        return answer(response, done)
      case 'GET logs': {
        const lines = Math.ceil((room?.spec.profile.print ?? 0) / line.length)
        return answer(response, { status: 200, body: line.repeat(lines) })
      }
      default:
        return answer(response, { status: 200, body: rooms.observe(hub) })
    }
  }
}

const done: Answer = { status: 200, body: {} }
const line = 'A line of the fake\n'

/** Each by itself, as agents do; not all at once: five hundred environments must not knock at a hub's door together. */
async function keepReporting(rooms: Rooms, agents: FakeAgents, manner: Manner, signal: AbortSignal): Promise<void> {
  const underWay = new Map<string, Promise<void>>()
  const reportOf = async (room: ReturnType<Rooms['due']>[number]): Promise<void> => {
    const taken = await agents.report(room.spec.id, 'ready')
    room.nextReportAt = Date.now() + (taken ? manner.reportEveryMs : 1_000)
    underWay.delete(room.spec.id)
  }
  while (!signal.aborted) {
    const due = manner.reports ? rooms.due().filter((room) => !underWay.has(room.spec.id)) : []
    for (const room of due.slice(0, mostReports - underWay.size)) underWay.set(room.spec.id, reportOf(room))
    await sleep(10)
  }
  await Promise.all(underWay.values())
}

const mostReports = 64

/** /control/state|behave|end|lose, answered with the state after it. */
async function control(
  request: IncomingMessage,
  response: ServerResponse,
  what: string | undefined,
  controls: Controls,
): Promise<void> {
  const body = await read<FakeBehaviour & { id: string; reason: EndReason; exitCode?: number }>(request)
  if (what === 'behave') controls.behave(body)
  if (what === 'lose') controls.lose(body.id)
  if (what === 'end') controls.end(body.id, body.reason, body.exitCode)
  answer(response, { status: 200, body: controls.state() })
}

function answer(response: ServerResponse, { status, body }: Answer): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

/** What our own fake spawner sent, so it is believed. */
async function read<T>(request: IncomingMessage): Promise<T> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += chunk
  const value: T = JSON.parse(text || '{}')
  return value
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void main(Number(process.argv[2] ?? 0))

async function main(port: number): Promise<void> {
  const backend = await startFakeBackend(port)
  process.stdout.write(`${JSON.stringify({ url: backend.url })}\n`)
  process.stdin.resume().on('end', () => process.exit(0))
}
