/**
 * The contract suite: what every spawner must do, ours and a facility's own, whatever runs the tests.
 * Each case throws with a sentence that says which promise was broken. With any runner:
 *
 *     for (const { title, run } of spawnerContract) test(title, () => run(subject))
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { environmentId } from './common/environmentId.ts'
import {
  LaunchRefused,
  type EnvironmentId,
  type EnvironmentSpec,
  type Found,
  type Observation,
  type Spawner,
} from './spawner.ts'

/** What an environment of the suite does; the subject turns it into a spec. */
export type ContractBehaviour =
  /** Runs until it is removed. */
  | Readonly<{ does: 'run' }>
  /** Runs, prints at least so many bytes, and goes on running. */
  | Readonly<{ does: 'print'; bytes: number }>
  /** Starts and soon ends by itself with this exit code. */
  | Readonly<{ does: 'end'; exitCode: number }>
  /** Can never run on this backend, however often it is tried. */
  | Readonly<{ does: 'refuse' }>

/** One backend under test, on which spawners are made. */
export interface ContractSubject<Profile = unknown> {
  /** A new spawner object of this hub on the one backend, as after a restart of the hub. */
  spawner(hub: string): Promise<Spawner<Profile>>
  spec(hub: string, id: EnvironmentId, behaviour: ContractBehaviour): EnvironmentSpec<Profile>
  /** From now on the backend can't be reached, until the returned function is called. Cases that cut run alone. */
  cut(): Promise<() => Promise<void>>
  /** How many of this environment there really are, asked past the spawner. Absent: names are unique there anyhow. */
  count?(id: EnvironmentId): Promise<number>
  /** Longest wait for anything: a start, an end, a removal. Default 30 s. */
  readonly patienceMs?: number
}

export interface ContractCase {
  readonly title: string
  /** It disturbs the whole backend, so no other case may run beside it. */
  readonly alone: boolean
  readonly run: <Profile>(subject: ContractSubject<Profile>) => Promise<void>
}

/** Runs one case's steps with a room of its own, which is emptied afterwards whatever happened. */
function contractCase(
  title: string,
  steps: <Profile>(room: Room<Profile>) => Promise<void>,
  { alone = false } = {},
): ContractCase {
  return {
    title,
    alone,
    run: async (subject) => {
      const room = await openRoom(subject)
      try {
        await steps(room)
      } finally {
        await room.clear()
      }
    },
  }
}

export const spawnerContract: readonly ContractCase[] = [
  contractCase('an accepted environment is seen, runs, and tells where', async (room) => {
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    const first = await room.look(spec.id)
    assert.ok(first, 'it was accepted, and the next observation (after the visibility lag) does not have it')
    assert.ok(['pending', 'running'].includes(first.observation.phase), `it is ${first.observation.phase} at first`)
    const { observation } = await room.sees(spec.id, 'running')
    assert.ok(observation.hosts.length > 0 || observation.address, 'it runs, and nothing says on which host')
    assert.ok(!Number.isNaN(observation.startedAt.getTime()), 'startedAt is not a time')
  }),

  contractCase("names are ids: the observation's key is the id that the hub made", async (room) => {
    const specs = [room.spec({ does: 'run' }), room.spec({ does: 'run' })]
    for (const spec of specs) await room.ensure(spec)
    const keys = [...(await room.observe()).keys()].toSorted()
    assert.deepEqual(keys, specs.map((spec) => spec.id).toSorted())
  }),

  contractCase('owner and digest come back', async (room) => {
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    const found = await room.sees(spec.id, 'running')
    assert.equal(found.owner, spec.owner)
    assert.equal(found.digest, spec.digest)
  }),

  contractCase('ensure twice is once', async (room) => {
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    const before = await room.sees(spec.id, 'running')
    await room.ensure(spec)
    const after = await room.sees(spec.id, 'running')
    assert.equal(after.observation.startedAt.getTime(), before.observation.startedAt.getTime(), 'it was started again')
    await room.isOne(spec.id)
  }),

  contractCase('ensure at the same time, also by two spawner objects, is once', async (room) => {
    const spec = room.spec({ does: 'run' })
    const second = await room.open()
    await Promise.allSettled([1, 2, 3].flatMap(() => [room.ensure(spec), room.ensure(spec, second)]))
    await room.ensure(spec)
    await room.sees(spec.id, 'running')
    await room.isOne(spec.id)
  }),

  contractCase('a new spawner object, as after a restart of the hub, finds everything', async (room) => {
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    const before = await room.sees(spec.id, 'running')
    await room.spawner.close?.()
    const next = await room.open()
    const after = await room.sees(spec.id, 'running', next)
    assert.equal(after.observation.startedAt.getTime(), before.observation.startedAt.getTime())
    await room.ensure(spec, next)
    await room.isOne(spec.id)
    await room.remove(spec.id, next)
    await room.seesNothing(spec.id, next)
  }),

  contractCase('remove makes it not exist, and a second remove is success', async (room) => {
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    await room.sees(spec.id, 'running')
    await room.remove(spec.id)
    await room.remove(spec.id)
    await room.seesNothing(spec.id)
    await room.remove(spec.id)
    assert.equal((await room.subject.count?.(spec.id)) ?? 0, 0, 'something of it is left in the backend')
  }),

  contractCase('remove of what never was is success', async (room) => {
    await room.remove(room.newId())
  }),

  contractCase('remove directly after ensure leaves nothing', async (room) => {
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    await room.remove(spec.id)
    await room.seesNothing(spec.id)
    assert.equal((await room.subject.count?.(spec.id)) ?? 0, 0, 'something of it is left in the backend')
  }),

  contractCase('what ended with 0 has completed, and stays to be seen until it is removed', async (room) => {
    const spec = room.spec({ does: 'end', exitCode: 0 })
    await room.ensure(spec)
    const { observation } = await room.sees(spec.id, 'ended')
    assert.equal(observation.reason, 'completed')
    await room.ensure(spec)
    assert.equal((await room.look(spec.id))?.observation.phase, 'ended', 'ensure started again what had ended')
    await room.remove(spec.id)
    await room.seesNothing(spec.id)
  }),

  contractCase('what ended with 3 has failed, and says 3', async (room) => {
    const spec = room.spec({ does: 'end', exitCode: 3 })
    await room.ensure(spec)
    const { observation } = await room.sees(spec.id, 'ended')
    assert.equal(observation.reason, 'failed')
    assert.equal(observation.exitCode, 3)
    assert.ok(observation.message.length > 0, 'it says nothing about how it ended')
  }),

  contractCase('what can never run is refused for good, and leaves nothing', async (room) => {
    const spec = room.spec({ does: 'refuse' })
    const error = await room.ensure(spec).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (error === undefined) {
      // A backend may find out only when it looks at it: then it has ended, and says so.
      const { observation } = await room.sees(spec.id, 'ended')
      assert.ok(observation.message.length > 0)
      return
    }
    assert.ok(error instanceof LaunchRefused, 'ensure threw something else than LaunchRefused')
    assert.ok(error.message.length > 0, 'the refusal says nothing')
    assert.equal(await room.look(spec.id), undefined)
  }),

  contractCase("another hub's environments are invisible, and its removals don't reach ours", async (room) => {
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    await room.sees(spec.id, 'running')
    const foreign = await room.open(room.newId())
    const seen = await foreign.observe(room.deadline())
    assert.ok(!seen.has(spec.id), "a foreign hub sees this hub's environment")
    await foreign.remove(spec.id, room.deadline()).catch(() => undefined)
    await sleep(500)
    await room.sees(spec.id, 'running')
  }),

  contractCase('logs are there and are bounded', async (room) => {
    if (!room.spawner.logs) return
    const spec = room.spec({ does: 'print', bytes: 300_000 })
    await room.ensure(spec)
    await room.sees(spec.id, 'running')
    const logs = await room.until('its log has 32 kB', async () => {
      const text = (await room.spawner.logs?.(spec.id, room.deadline())) ?? ''
      return text.length > 32_000 ? text : undefined
    })
    assert.ok(Buffer.byteLength(logs) <= 65_536, `logs gave ${Buffer.byteLength(logs)} bytes, more than 64 KiB`)
  }),

  contractCase('an aborted call ends at once and does nothing', async (room) => {
    const spec = room.spec({ does: 'run' })
    const running = room.spec({ does: 'run' })
    await room.ensure(running)
    await room.sees(running.id, 'running')
    const aborted = AbortSignal.abort(new Error('no longer wanted'))
    const calls = {
      ensure: () => room.spawner.ensure(spec, aborted),
      observe: () => room.spawner.observe(aborted),
      remove: () => room.spawner.remove(running.id, aborted),
      logs: () => room.spawner.logs?.(running.id, aborted) ?? Promise.reject(new Error('has none')),
      watch: () => room.spawner.watch?.(() => undefined, aborted).then(() => Promise.reject(new Error('resolved'))),
    }
    for (const [name, call] of Object.entries(calls)) {
      const outcome = await Promise.race([
        Promise.resolve(call()).then(
          () => 'succeeded',
          () => 'aborted',
        ),
        sleep(atOnceMs, 'went on', { ref: false }),
      ])
      if (name === 'watch' && !room.spawner.watch) continue
      assert.equal(outcome, 'aborted', `${name} ${outcome} although its signal was aborted`)
    }
    await sleep(300)
    assert.equal(await room.look(spec.id), undefined, 'an aborted ensure made something')
    await room.sees(running.id, 'running')
  }),

  contractCase('a change is called back', async (room) => {
    if (!room.spawner.watch) return
    const seen = new Set<EnvironmentId>()
    const stop = new AbortController()
    const watching = room.spawner.watch((id) => seen.add(id), stop.signal)
    const spec = room.spec({ does: 'end', exitCode: 0 })
    await sleep(500)
    await room.ensure(spec)
    await room.sees(spec.id, 'ended')
    await room.until('the end was called back', async () => seen.has(spec.id))
    stop.abort()
    await Promise.race([watching, sleep(atOnceMs, undefined, { ref: false }).then(() => assert.fail('watch goes on'))])
  }),

  contractCase('the end time can be moved', async (room) => {
    if (!room.spawner.extend) return
    const spec = room.spec({ does: 'run' })
    await room.ensure(spec)
    await room.sees(spec.id, 'running')
    const endsAt = new Date(Date.now() + 3_600_000)
    await room.spawner.extend(spec.id, endsAt, room.deadline())
    await room.until('it ends at the new time', async () => {
      const observation = (await room.look(spec.id))?.observation
      const told = observation?.phase === 'running' ? observation.endsAt?.getTime() : undefined
      return told !== undefined && Math.abs(told - endsAt.getTime()) < 60_000
    })
  }),

  contractCase(
    'a backend that can tell nothing never says that there is nothing',
    async (room) => {
      const spec = room.spec({ does: 'run' })
      await room.ensure(spec)
      await room.sees(spec.id, 'running')
      const heal = await room.subject.cut()
      try {
        const seen = await room.spawner.observe(AbortSignal.timeout(5_000)).catch(() => undefined)
        assert.ok(
          seen === undefined || seen.get(spec.id)?.observation.phase === 'unknown',
          'the backend was cut off, and observe neither threw nor said unknown',
        )
        await assert.rejects(
          room.spawner.remove(spec.id, AbortSignal.timeout(5_000)),
          'the backend was cut off, and remove claims to have succeeded',
        )
      } finally {
        await heal()
      }
      await room.sees(spec.id, 'running')
      await room.isOne(spec.id)
    },
    { alone: true },
  ),
]

/** A second, and four for a test machine that is busy with other things. */
const atOnceMs = 5_000

type Seen<Phase extends Observation['phase']> = Omit<Found, 'observation'> & {
  readonly observation: Extract<Observation, { phase: Phase }>
}

interface Room<Profile> {
  readonly subject: ContractSubject<Profile>
  readonly spawner: Spawner<Profile>
  newId(): EnvironmentId
  spec(behaviour: ContractBehaviour): EnvironmentSpec<Profile>
  /** One more spawner object, of this hub unless another is named. */
  open(hub?: string): Promise<Spawner<Profile>>
  deadline(): AbortSignal
  ensure(spec: EnvironmentSpec<Profile>, by?: Spawner<Profile>): Promise<void>
  remove(id: EnvironmentId, by?: Spawner<Profile>): Promise<void>
  observe(by?: Spawner<Profile>): Promise<ReadonlyMap<EnvironmentId, Found>>
  look(id: EnvironmentId, by?: Spawner<Profile>): Promise<Found | undefined>
  sees<Phase extends Observation['phase']>(id: EnvironmentId, phase: Phase, by?: Spawner<Profile>): Promise<Seen<Phase>>
  seesNothing(id: EnvironmentId, by?: Spawner<Profile>): Promise<void>
  isOne(id: EnvironmentId): Promise<void>
  until<T>(what: string | (() => string), check: () => Promise<T>): Promise<NonNullable<Exclude<T, false>>>
  clear(): Promise<void>
}

async function openRoom<Profile>(subject: ContractSubject<Profile>): Promise<Room<Profile>> {
  const newId = environmentId(randomBytes)
  const hub: string = newId()
  const patienceMs = subject.patienceMs ?? 30_000
  const spawners: Spawner<Profile>[] = []
  const made = new Set<EnvironmentId>()

  const room: Room<Profile> = {
    subject,
    spawner: await open(),
    newId,
    open,
    deadline: () => AbortSignal.timeout(patienceMs),
    spec(behaviour) {
      const spec = subject.spec(hub, newId(), behaviour)
      made.add(spec.id)
      return spec
    },
    ensure: (spec, by = room.spawner) => by.ensure(spec, room.deadline()),
    remove: (id, by = room.spawner) => by.remove(id, room.deadline()),
    async observe(by = room.spawner) {
      await sleep(by.visibilityLagMs ?? 0)
      return await by.observe(room.deadline())
    },
    look: async (id, by) => (await room.observe(by)).get(id),
    async sees(id, phase, by) {
      let last = 'nothing'
      return await room.until(
        () => `${id} is ${phase} (it is ${last})`,
        async () => {
          const found = await room.look(id, by)
          last = found ? JSON.stringify(found.observation) : 'nothing'
          return found && isIn(found, phase) ? found : undefined
        },
      )
    },
    async seesNothing(id, by) {
      await room.until(`${id} is gone`, async () => !(await room.observe(by)).has(id))
    },
    async isOne(id) {
      if (subject.count) assert.equal(await subject.count(id), 1, 'how many of it there are in the backend')
    },
    async until(what, check) {
      return await waitUntil(what, check, patienceMs)
    },
    async clear() {
      const last = await open()
      for (const id of made) await room.remove(id, last)
      for (const id of made) await room.seesNothing(id, last)
      for (const spawner of spawners) await spawner.close?.()
    },
  }
  return room

  async function open(of = hub): Promise<Spawner<Profile>> {
    const spawner = await subject.spawner(of)
    spawners.push(spawner)
    return spawner
  }
}

function isIn<Phase extends Observation['phase']>(found: Found, phase: Phase): found is Seen<Phase> {
  return found.observation.phase === phase
}

async function waitUntil<T>(
  what: string | (() => string),
  check: () => Promise<T>,
  patienceMs: number,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const value = await check()
    if (isThere(value)) return value
    if (performance.now() > deadline)
      throw new Error(`waited ${patienceMs} ms in vain: ${typeof what === 'string' ? what : what()}`)
    await sleep(100)
  }
}

function isThere<T>(value: T): value is NonNullable<Exclude<T, false>> {
  return value !== undefined && value !== null && value !== false
}
