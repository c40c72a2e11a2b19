/**
 * A world for the laws: virtual time, a model of a backend with delays, lost answers, outages, requeues and losses,
 * and hubs that die at any call. The store is a real SQLite. What breaks a law is written down.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { createEnvironments, Reconciled } from '../../hub/reconcile/index.ts'
import type { Timers } from '../../hub/reconcile/timers.ts'
import type { openStore, Store } from '../../hub/store/index.ts'
import type { EnvironmentId, EnvironmentSpec, Found, Spawner } from '../../spawners/spawner.ts'
import { newRow } from './rows.ts'
import { silentLog } from './spawnerSubject.ts'

/** What is tested: the hub's own modules, or broken copies of them. */
export interface Subject {
  readonly createEnvironments: typeof createEnvironments
  readonly openStore: typeof openStore
}

export interface Plan {
  readonly environments: readonly EnvironmentPlan[]
  /** What happens to the backend's answers to ensure and remove, in order, over and over. */
  readonly answers: readonly AnswerPlan[]
  /** The backend can't be asked, [from, to) in ms. */
  readonly outages: readonly (readonly [number, number])[]
  /** It answers, and can't tell of anything. */
  readonly blind: readonly (readonly [number, number])[]
  /** The hub dies at its n-th call of that life, before, during or after it; the next starts later. */
  readonly crashes: readonly Readonly<{ call: number; when: 'before' | 'during' | 'after'; downMs: number }>[]
  readonly visibilityLagMs: number
}

interface EnvironmentPlan {
  readonly launchAt: number
  readonly stopAfterMs: number | undefined
  readonly pendingMs: number
  /** After it ran this long, once. */
  readonly next: Readonly<{ what: 'nothing' | 'vanish' | 'requeue' | 'end'; afterMs: number }>
}

interface AnswerPlan {
  readonly effectMs: number
  readonly answerMs: number
  /** late: nothing is heard until the deadline; early: the connection breaks at once, whatever comes of it. */
  readonly lost: 'never' | 'late' | 'early'
}

export interface Outcome {
  readonly violations: readonly string[]
}

/** The deadline of the hub's actions: what takes longer was lost. */
const actionTimeoutMs = 30_000
const calmMs = 900_000
const host = '127.0.0.1'

interface Room {
  readonly spec: EnvironmentSpec
  phase: 'pending' | 'running' | 'stopping' | 'ended'
  visibleAt: number
  startedAt: number
  port: number
}

export async function live(plan: Plan, subject: Subject): Promise<Outcome> {
  const folder = await mkdtemp(join(await quickFolder(), 'hutch-world-'))
  const store = await subject.openStore({ type: 'sqlite' }, { stateFolder: folder, log: silentLog })
  try {
    return await run(plan, subject, store)
  } finally {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function quickFolder(): Promise<string> {
  const memory = '/dev/shm'
  return await import('node:fs/promises').then(({ access }) =>
    access(memory).then(
      () => memory,
      () => tmpdir(),
    ),
  )
}

async function run(plan: Plan, subject: Subject, store: Store): Promise<Outcome> {
  const clock = createClock()
  const violations = new Set<string>()
  const backend = createBackend(plan, clock, violations, store)
  const horizonMs = Math.max(
    0,
    ...plan.environments.map((each) => each.launchAt + (each.stopAfterMs ?? 0) + each.pendingMs + each.next.afterMs),
    ...plan.outages.map(([, to]) => to),
    ...plan.blind.map(([, to]) => to),
  )
  /** Nothing goes wrong any more from here on, deaths included. */
  const calmFrom = clock.now().getTime() + horizonMs
  let calls = 0
  let lives = 0
  let hub: Reconciled | undefined

  await store.db
    .insertInto('users')
    .values({
      id: 'u',
      name: 'alice',
      title: '',
      email: null,
      admin: 0,
      blocked_reason: null,
      created_at: 0,
      last_activity_at: null,
    })
    .execute()

  function start(): void {
    const life = { isOver: false, index: (lives += 1), calls: 0 }
    const crash = plan.crashes[life.index - 1]
    const die = (): void => {
      if (life.isOver) return
      life.isOver = true
      hub = undefined
      clock.after(crash?.downMs ?? 0, start)
    }
    /** Every call outside: the hub may die before it has an effect, or before it hears of it. */
    async function mortal<T>(work: () => Promise<T>): Promise<T> {
      calls += 1
      if (life.isOver) return await new Promise(() => undefined)
      life.calls += 1
      const isLast = crash !== undefined && life.calls === crash.call && clock.now().getTime() <= calmFrom
      if (isLast && crash.when === 'before') die()
      if (life.isOver) return await new Promise(() => undefined)
      const working = work()
      if (isLast && crash.when === 'during') die()
      const value = await working
      if (isLast) die()
      if (life.isOver) return await new Promise(() => undefined)
      return value
    }
    const timers: Timers = {
      after: (ms, call) =>
        clock.after(ms, () => {
          if (!life.isOver) call()
        }),
    }
    const made = subject.createEnvironments({
      store: mortalStore(store, mortal),
      spawners: new Map([['model', backend.spawner(mortal, () => life.isOver)]]),
      agentsKey: Buffer.alloc(32),
      settings: { hub: 'h', hosts: undefined, startTimeoutMs: () => 600_000, times: { actionTimeoutMs } },
      now: clock.now,
      newId: () => `hub${life.index}`,
      log: silentLog,
      metrics: new Registry(),
      timers,
      probe: async ({ id }, place) => ('port' in place && backend.answers(id, place.port) ? 'ready' : 'silent'),
    })
    hub = made
    void made.start()
  }

  plan.environments.forEach(({ launchAt, stopAfterMs }, index) => {
    const id = idOf(index)
    /** Whoever got no answer looks, and launches again if nothing came of it. */
    const launch = (): void => {
      clock.after(5_000, () => {
        void store.db
          .selectFrom('environments')
          .where('id', '=', id)
          .select('id')
          .executeTakeFirst()
          .then((row) => row === undefined && launch())
      })
      void hub?.environments.launch(newRow({ id, userId: 'u', spawner: 'model', now: clock.now() }), () => undefined)
    }
    const stop = (): void => {
      if (hub === undefined) return void clock.after(1_000, stop)
      // Before it is launched there is nothing to stop.
      hub.environments.stop(id, 'cancelled').catch(() => clock.after(5_000, stop))
    }
    clock.after(launchAt, launch)
    if (stopAfterMs !== undefined) clock.after(launchAt + stopAfterMs, stop)
  })
  backend.reportTo(() => hub)
  start()

  await clock.run(
    horizonMs + calmMs,
    () => calls,
    async () => {
      await store.writer.drain()
      await backend.check()
    },
  )
  await backend.checkFinally(hub)
  return { violations: [...violations] }
}

function idOf(index: number): EnvironmentId {
  return `env${index}` as EnvironmentId
}

function mortalStore(store: Store, mortal: <T>(work: () => Promise<T>) => Promise<T>): Store {
  const { writer, leases } = store
  return {
    ...store,
    writer: {
      write: (key, work, committed) => mortal(() => writer.write(key, work, committed)),
      note: (key, work, committed) => mortal(() => writer.note(key, work, committed)),
      drain: () => writer.drain(),
    },
    leases: { ...leases, take: (name, holder, options) => mortal(() => leases.take(name, holder, options)) },
  }
}

interface Clock {
  readonly now: () => Date
  after(ms: number, call: () => void): () => void
  run(untilMs: number, activity: () => number, settled: () => Promise<void>): Promise<void>
}

function createClock(): Clock {
  const epoch = Date.UTC(2026, 0, 1)
  let elapsed = 0
  let order = 0
  let queue: { at: number; order: number; call: () => void }[] = []

  /** Until nothing is asked of the world any more: then only time can bring something. */
  async function settle(activity: () => number): Promise<void> {
    for (let before = -1; before !== activity() + order;) {
      before = activity() + order
      for (let turns = 0; turns < 4; turns += 1) await turn()
    }
  }

  return {
    now: () => new Date(epoch + elapsed),
    after(ms, call) {
      const entry = { at: elapsed + Math.max(0, ms), order: (order += 1), call }
      queue.push(entry)
      return () => {
        queue = queue.filter((each) => each !== entry)
      }
    },
    async run(untilMs, activity, settled) {
      for (;;) {
        await settle(activity)
        await settled()
        await settle(activity)
        const next = queue.toSorted((a, b) => a.at - b.at || a.order - b.order)[0]
        if (next === undefined || next.at > untilMs) return
        queue = queue.filter((each) => each !== next)
        elapsed = Math.max(elapsed, next.at)
        next.call()
      }
    },
  }
}

function createBackend(plan: Plan, clock: Clock, violations: Set<string>, store: Store) {
  const rooms = new Map<string, Room>()
  const known = new Set<string>()
  const happened = new Set<string>()
  const start = clock.now().getTime()
  let answer = 0
  let ports = 10_000
  let hubOf: () => Reconciled | undefined = () => undefined

  const elapsed = (): number => clock.now().getTime() - start
  const within = (spans: readonly (readonly [number, number])[]): boolean =>
    spans.some(([from, to]) => elapsed() >= from && elapsed() < to)
  const planOf = (id: string): EnvironmentPlan | undefined => plan.environments[Number(id.slice(3))]
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))

  function create(spec: EnvironmentSpec): void {
    const { id } = spec
    if (rooms.has(id)) return
    const room: Room = { spec, phase: 'pending', visibleAt: elapsed() + plan.visibilityLagMs, startedAt: 0, port: 0 }
    rooms.set(id, room)
    clock.after(planOf(id)?.pendingMs ?? 0, () => begin(id, room))
  }

  function begin(id: string, room: Room): void {
    if (rooms.get(id) !== room || room.phase !== 'pending') return
    room.phase = 'running'
    room.startedAt = clock.now().getTime()
    room.port = ports += 1
    report(id, room, room.port)
    const next = planOf(id)?.next
    if (next === undefined || next.what === 'nothing' || happened.has(id)) return
    clock.after(next.afterMs, () => happen(id, room, next.what))
  }

  function happen(id: string, room: Room, what: EnvironmentPlan['next']['what']): void {
    if (rooms.get(id) !== room || room.phase !== 'running' || happened.has(id)) return
    happened.add(id)
    if (what === 'vanish') rooms.delete(id)
    if (what === 'end') room.phase = 'ended'
    if (what === 'requeue') {
      room.phase = 'pending'
      clock.after(planOf(id)?.pendingMs ?? 0, () => begin(id, room))
    }
  }

  /** As an agent: until the hub has taken it, and every minute. */
  function report(id: string, room: Room, port: number): void {
    if (rooms.get(id) !== room || room.phase !== 'running' || room.port !== port) return
    const hub = hubOf()
    const again = (ms: number): void => void clock.after(ms, () => report(id, room, port))
    if (hub === undefined) return again(1_000)
    const claim = { version: 1, port, run: 'r', application: 'ready' } as const
    hub.environments.reported(room.spec.id, claim, host).then(
      () => again(60_000),
      () => again(2_000),
    )
    // A hub that dies meanwhile answers nothing.
    clock.after(15_000, () => {
      if (hubOf() !== hub) again(1_000)
    })
  }

  function remove(id: string): void {
    const room = rooms.get(id)
    if (room === undefined) return
    room.phase = 'stopping'
    clock.after(2_000, () => {
      if (rooms.get(id) === room) rooms.delete(id)
    })
  }

  async function act(signal: AbortSignal, effect: () => void): Promise<void> {
    if (within(plan.outages)) return await unanswered(signal)
    const { effectMs, answerMs, lost } = plan.answers[answer++ % plan.answers.length] ?? ordinary
    clock.after(Math.min(effectMs, actionTimeoutMs - 1), effect)
    if (lost === 'late') return await unanswered(signal)
    if (lost === 'early') throw new Error('the connection broke')
    await sleep(Math.max(effectMs, answerMs))
    if (signal.aborted) throw new Error('too late')
  }

  async function unanswered(signal: AbortSignal): Promise<never> {
    return await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('no answer')), { once: true })
    })
  }

  function found(): Map<EnvironmentId, Found> {
    const entries = [...rooms.values()].filter((room) => room.visibleAt <= elapsed())
    return new Map(entries.map((room) => [room.spec.id, { observation: observationOf(room), owner: 'alice' }]))
  }

  function observationOf(room: Room): Found['observation'] {
    if (within(plan.blind)) return { phase: 'unknown', message: 'not now' }
    switch (room.phase) {
      case 'pending':
        return { phase: 'pending', stage: 'queued', message: 'queued' }
      case 'running':
        return { phase: 'running', hosts: [host], startedAt: new Date(room.startedAt) }
      case 'stopping':
        return { phase: 'stopping' }
      case 'ended':
        return { phase: 'ended', reason: 'completed', message: 'done' }
    }
  }

  return {
    reportTo(hub: () => Reconciled | undefined) {
      hubOf = hub
    },
    answers: (id: string, port: number) => rooms.get(id)?.phase === 'running' && rooms.get(id)?.port === port,

    spawner(mortal: <T>(work: () => Promise<T>) => Promise<T>, isOver: () => boolean): Spawner {
      /** The hub heard of it and had the time to write that down. */
      const heard = (id: string): void => {
        clock.after(2_000, () => {
          if (!isOver()) known.add(id)
        })
      }
      return {
        visibilityLagMs: plan.visibilityLagMs,
        ensure: (spec, signal) =>
          mortal(async () => {
            const row = await store.db
              .selectFrom('environments')
              .select('action')
              .where('id', '=', spec.id)
              .executeTakeFirst()
            if (row === undefined) violations.add(`law 1: ${spec.id} was launched without a row`)
            else if (row.action !== 'ensure') violations.add(`law 1: ${spec.id} was launched before that was written`)
            if (known.has(spec.id) && !rooms.has(spec.id)) {
              violations.add(`law 5: ${spec.id} was known, was gone, and was launched again`)
            }
            await act(signal, () => create(spec))
          }).then(() => heard(spec.id)),
        observe: (signal) =>
          mortal(async () => {
            if (within(plan.outages)) return await unanswered(signal)
            const seen = found()
            await sleep(50)
            return seen
          }).then((seen) => {
            for (const [id, { observation }] of seen) if (observation.phase !== 'unknown') heard(id)
            return seen
          }),
        remove: (id, signal) =>
          mortal(async () => {
            const row = await store.db.selectFrom('environments').selectAll().where('id', '=', id).executeTakeFirst()
            if (row !== undefined && row.wanted === 'present' && row.ended_at === null) {
              violations.add(`law 2: ${id} was removed though it is wanted`)
            }
            await act(signal, () => remove(id))
          }),
        logs: (id) => Promise.resolve(`a line of ${id}`),
      }
    },

    /** What must hold at every moment. */
    async check(): Promise<void> {
      for (const row of await store.db.selectFrom('environments').selectAll().execute()) {
        const phase = rooms.get(row.id)?.phase
        // The backend itself said that it ended; a launch that was lost on its way may come later, and is removed.
        const isSaid = row.end_reason === 'completed'
        if (row.ended_at !== null && !isSaid && (phase === 'pending' || phase === 'running')) {
          violations.add(`law 2, 6: ${row.id} was declared ended (${row.end_reason}) and lives`)
        }
        const isQueued = row.observation?.includes('"phase":"pending"') ?? false
        if (isQueued && row.ready_at !== null) violations.add(`${row.id} is queued, and people are led to it`)
      }
    },

    /** What must hold when everything has been quiet for long. */
    async checkFinally(hub: Reconciled | undefined): Promise<void> {
      const rows = await store.db.selectFrom('environments').selectAll().execute()
      if (rows.length !== plan.environments.length) violations.add('a row is missing')
      const routes = new Set(hub?.routes.routes().map(({ id }) => id))
      for (const row of rows) {
        const phase = rooms.get(row.id)?.phase
        const isReady = row.ended_at === null && row.ready_at !== null
        if (row.wanted === 'present' && phase === 'running' && !isReady)
          violations.add(`${row.id} runs and is not ready`)
        if (row.ended_at === null && phase === undefined) violations.add(`${row.id} is gone and its row lives on`)
        if (row.wanted === 'absent' && row.ended_at === null) violations.add(`${row.id} was never stopped`)
        if (row.ended_at !== null && phase !== undefined) violations.add(`${row.id} has ended and is still there`)
        if (isReady !== routes.has(row.id)) violations.add(`${row.id}: its route is wrong`)
        if (row.end_reason === 'vanished' && row.log_tail !== `a line of ${row.id}`) {
          violations.add(`law 5: the last lines of ${row.id} are lost`)
        }
        const mayVanish = happened.has(row.id) || row.end_reason !== 'vanished'
        if (!mayVanish) violations.add(`${row.id} is said to have vanished and did not`)
      }
      for (const id of rooms.keys()) if (!rows.some((row) => row.id === id)) violations.add(`${id} is an orphan`)
    },
  }
}

const ordinary: AnswerPlan = { effectMs: 10, answerMs: 20, lost: 'never' }
