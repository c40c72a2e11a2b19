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
import type { EndReason, EnvironmentSpec, Found, Observation } from '../../spawners/spawner.ts'
import { portOf, startFakeAgents } from './fakeAgents.ts'

/** What a profile asks of the fake; all absent: it runs until it is removed. */
export interface FakeProfile {
  readonly refuse?: string | undefined
  readonly endAfterMs?: number | undefined
  readonly exitCode?: number | undefined
  readonly print?: number | undefined
}

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

export interface FakeState {
  /** How often each was asked for, by environment id. */
  readonly ensured: Readonly<Record<string, number>>
  readonly removed: Readonly<Record<string, number>>
  readonly observed: number
  /** What exists, by id. */
  readonly environments: Readonly<Record<string, Readonly<{ hub: string; owner: string; observation: Observation }>>>
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

interface Room {
  readonly hub: string
  readonly spec: EnvironmentSpec<FakeProfile>
  readonly acceptedAt: number
  readonly startMs: number
  endsAt?: Date
  ended?: Extract<Observation, { phase: 'ended' }>
  nextReportAt: number
}

export async function startFakeBackend(port = 0): Promise<FakeBackend> {
  const agents = await startFakeAgents()
  const rooms = new Map<string, Room>()
  const watchers = new Map<ServerResponse, string>()
  const ensured: Record<string, number> = {}
  const removed: Record<string, number> = {}
  const behaviour = { latencyMs: 0, loseAnswers: 0, startMs: 0, reports: true, reportEveryMs: 20_000 }
  let observed = 0
  let silentUntil = 0
  const closing = new AbortController()

  const changed = (hub: string, id: string) => {
    for (const [response, follows] of watchers) if (follows === hub) response.write(`${id}\n`)
  }

  function observation(room: Room, now = Date.now()): Observation {
    if (room.ended) return room.ended
    const startedAt = room.acceptedAt + room.startMs
    if (now < startedAt) return { phase: 'pending', stage: 'starting', message: 'The fake backend takes its time' }
    const { endAfterMs, exitCode = 0 } = room.spec.profile
    if (endAfterMs !== undefined && now >= startedAt + endAfterMs)
      return ended(exitCode === 0 ? 'completed' : 'failed', exitCode, room)
    return {
      phase: 'running',
      hosts: ['127.0.0.1'],
      startedAt: new Date(startedAt),
      ...(room.endsAt && { endsAt: room.endsAt }),
    }
  }

  function ended(
    reason: EndReason,
    exitCode: number | undefined,
    room: Room,
  ): Extract<Observation, { phase: 'ended' }> {
    return {
      phase: 'ended',
      reason,
      message: exitCode === undefined ? `It ended: ${reason}` : `It ended with exit code ${exitCode}`,
      ...(exitCode !== undefined && { exitCode }),
      startedAt: new Date(room.acceptedAt + room.startMs),
      endedAt: new Date(),
    }
  }

  function ensure(hub: string, { spec, bootstrap }: Ensure): Answer {
    ensured[spec.id] = (ensured[spec.id] ?? 0) + 1
    if (spec.profile.refuse !== undefined) return { status: 422, body: spec.profile.refuse }
    if (!rooms.has(spec.id)) {
      const { walltimeMs } = spec.resources
      const acceptedAt = Date.now()
      const endsAt = walltimeMs === undefined ? {} : { endsAt: new Date(acceptedAt + walltimeMs) }
      rooms.set(spec.id, { hub, spec, acceptedAt, startMs: behaviour.startMs, ...endsAt, nextReportAt: acceptedAt })
      agents.add(bootstrap)
      changed(hub, spec.id)
    }
    return { status: 200, body: {} }
  }

  function remove(hub: string, id: string): Answer {
    removed[id] = (removed[id] ?? 0) + 1
    if (rooms.get(id)?.hub === hub) {
      rooms.delete(id)
      agents.delete(id)
      changed(hub, id)
    }
    return { status: 200, body: {} }
  }

  function list(hub: string): Answer {
    observed += 1
    const mine = [...rooms].filter(([, room]) => room.hub === hub)
    const found = mine.map(([id, room]): [string, Found] => [
      id,
      { observation: observation(room), owner: room.spec.owner, digest: room.spec.digest },
    ])
    return { status: 200, body: found }
  }

  async function spawnerRequest(request: IncomingMessage, response: ServerResponse, parts: string[]): Promise<void> {
    const [hub = '', what = '', id = '', detail] = parts
    const body = await read<Ensure & { endsAt: string }>(request)
    if (behaviour.latencyMs > 0) await sleep(behaviour.latencyMs)
    if (Date.now() < silentUntil) {
      await sleep(silentUntil - Date.now(), undefined, { ref: false })
      response.destroy()
      return
    }
    if (what === 'watch') {
      response.writeHead(200, { 'content-type': 'text/plain' })
      response.write('\n')
      watchers.set(response, hub)
      response.on('close', () => watchers.delete(response))
      return
    }
    const room = rooms.get(id)
    const mine = room?.hub === hub ? room : undefined
    switch (`${request.method} ${detail ?? ''}`) {
      case 'PUT ':
        return acted(response, ensure(hub, body))
      case 'DELETE ':
        return acted(response, remove(hub, id))
      case 'PUT end':
        if (mine) mine.endsAt = new Date(body.endsAt)
        return answer(response, { status: 200, body: {} })
      case 'GET logs':
        return answer(response, { status: 200, body: mine ? 'A line of the fake\n'.repeat(lines(mine)) : '' })
      default:
        return answer(response, list(hub))
    }
  }

  function acted(response: ServerResponse, result: Answer): void {
    if (behaviour.loseAnswers > 0) {
      behaviour.loseAnswers -= 1
      response.destroy()
    } else answer(response, result)
  }

  const controls: Controls = {
    state: () => ({
      ensured,
      removed,
      observed,
      environments: Object.fromEntries(
        [...rooms].map(([id, room]) => [id, { hub: room.hub, owner: room.spec.owner, observation: observation(room) }]),
      ),
    }),
    behave({ silentForMs, agentsSilentForMs, ...rest }) {
      if (silentForMs !== undefined) silentUntil = Date.now() + silentForMs
      if (agentsSilentForMs !== undefined) agents.silence(agentsSilentForMs)
      Object.assign(behaviour, rest)
    },
    end(id, reason, exitCode) {
      const room = rooms.get(id)
      if (!room) throw new Error(`the fake backend has no ${id}`)
      room.ended ??= ended(reason, exitCode, room)
      agents.delete(id)
      changed(room.hub, id)
    },
    lose(id) {
      const room = rooms.get(id)
      rooms.delete(id)
      agents.delete(id)
      if (room) changed(room.hub, id)
    },
  }

  const server = createServer((request, response) => {
    const [room, ...parts] = (request.url ?? '').split('/').filter(Boolean).map(decodeURIComponent)
    const handled =
      room === 'hubs' ? spawnerRequest(request, response, parts) : control(request, response, parts[0], controls)
    handled.catch((error: unknown) => answer(response, { status: 400, body: { error: String(error) } }))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')

  /** Few at a time: five hundred environments must not knock at a hub's door at once. */
  const reporting = (async () => {
    while (!closing.signal.aborted) {
      const due = [...rooms].filter(
        ([, room]) => room.nextReportAt <= Date.now() && observation(room).phase === 'running',
      )
      if (behaviour.reports)
        for (let first = 0; first < due.length; first += 16) {
          await Promise.all(
            due.slice(first, first + 16).map(async ([id, room]) => {
              const taken = await agents.report(id, 'ready')
              room.nextReportAt = Date.now() + (taken ? behaviour.reportEveryMs : 1_000)
            }),
          )
        }
      await sleep(20)
    }
  })()

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
type Ensure = { spec: EnvironmentSpec<FakeProfile>; bootstrap: AgentBootstrap }
type Answer = { status: number; body: unknown }

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

function lines(room: Room): number {
  return Math.ceil((room.spec.profile.print ?? 0) / 19)
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
