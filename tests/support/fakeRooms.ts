/** Fake: what exists in the fake backend. No sockets, no timers: time is a parameter. */
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import type { EndReason, EnvironmentSpec, Found, Observation } from '../../spawners/spawner.ts'

/** What a profile asks of the fake; all absent: it runs until it is removed. */
export interface FakeProfile {
  readonly refuse?: string | undefined
  readonly endAfterMs?: number | undefined
  readonly exitCode?: number | undefined
  readonly print?: number | undefined
}

interface FakeEnvironment {
  readonly hub: string
  readonly owner: string
  readonly variables: Readonly<Record<string, string>>
  readonly observation: Observation
}

export interface FakeState {
  /** How often each was asked for, by environment id. */
  readonly ensured: Readonly<Record<string, number>>
  readonly removed: Readonly<Record<string, number>>
  readonly observed: number
  /** What exists, by id. */
  readonly environments: Readonly<Record<string, FakeEnvironment>>
}

interface Room {
  readonly hub: string
  readonly spec: EnvironmentSpec<FakeProfile>
  readonly bootstrap: AgentBootstrap
  readonly startsAt: number
  endsAt?: Date
  ended?: Ended
  nextReportAt: number
}

type Ended = Extract<Observation, { phase: 'ended' }>

export interface Rooms {
  /** The room when it is new, the refusal when it is refused. */
  ensure(
    hub: string,
    spec: EnvironmentSpec<FakeProfile>,
    bootstrap: AgentBootstrap,
    startMs: number,
  ): { room?: Room; refused?: string }
  /** What was removed. */
  remove(hub: string, id: string): Room | undefined
  observe(hub: string): readonly (readonly [string, Found])[]
  end(id: string, reason: EndReason, exitCode?: number): Room
  lose(id: string): Room | undefined
  get(hub: string, id: string): Room | undefined
  /** Those that run and are to report now. */
  due(): readonly Room[]
  state(): FakeState
}

export function createRooms(now: () => number): Rooms {
  const rooms = new Map<string, Room>()
  const ensured: Record<string, number> = {}
  const removed: Record<string, number> = {}
  let observed = 0
  const take = (id: string) => {
    const room = rooms.get(id)
    rooms.delete(id)
    return room
  }
  return {
    ensure(hub, spec, bootstrap, startMs) {
      ensured[spec.id] = (ensured[spec.id] ?? 0) + 1
      if (spec.profile.refuse !== undefined) return { refused: spec.profile.refuse }
      if (rooms.has(spec.id)) return {}
      const startsAt = now() + startMs
      const room: Room = { hub, spec, bootstrap, startsAt, nextReportAt: startsAt }
      if (spec.resources.walltimeMs !== undefined) room.endsAt = new Date(startsAt + spec.resources.walltimeMs)
      rooms.set(spec.id, room)
      return { room }
    },
    remove(hub, id) {
      removed[id] = (removed[id] ?? 0) + 1
      return rooms.get(id)?.hub === hub ? take(id) : undefined
    },
    observe(hub) {
      observed += 1
      return [...rooms]
        .filter(([, room]) => room.hub === hub)
        .map(([id, room]) => [id, { observation: seen(room, now()), owner: room.spec.owner, digest: room.spec.digest }])
    },
    end(id, reason, exitCode) {
      const room = rooms.get(id)
      if (!room) throw new Error(`the fake backend has no ${id}`)
      room.ended ??= endOf(room, reason, exitCode, now())
      return room
    },
    lose: take,
    get(hub, id) {
      const room = rooms.get(id)
      return room?.hub === hub ? room : undefined
    },
    due: () =>
      [...rooms.values()].filter((room) => room.nextReportAt <= now() && seen(room, now()).phase === 'running'),
    state: () => ({
      ensured,
      removed,
      observed,
      environments: Object.fromEntries(
        [...rooms].map(([id, room]) => {
          const { owner, variables } = room.spec
          return [id, { hub: room.hub, owner, variables, observation: seen(room, now()) }]
        }),
      ),
    }),
  }
}

function seen(room: Room, now: number): Observation {
  const { ended, startsAt, endsAt } = room
  if (ended) return ended
  if (now < startsAt) return { phase: 'pending', stage: 'starting', message: 'The fake backend takes its time' }
  const { endAfterMs, exitCode = 0 } = room.spec.profile
  if (endAfterMs !== undefined && now >= startsAt + endAfterMs) {
    room.ended = endOf(room, exitCode === 0 ? 'completed' : 'failed', exitCode, now)
    return room.ended
  }
  return { phase: 'running', hosts: ['127.0.0.1'], startedAt: new Date(startsAt), ...(endsAt && { endsAt }) }
}

function endOf({ startsAt }: Room, reason: EndReason, exitCode: number | undefined, now: number): Ended {
  return {
    phase: 'ended',
    reason,
    message: exitCode === undefined ? `It ended: ${reason}` : `It ended with exit code ${exitCode}`,
    ...(exitCode !== undefined && { exitCode }),
    startedAt: new Date(startsAt),
    endedAt: new Date(now),
  }
}
