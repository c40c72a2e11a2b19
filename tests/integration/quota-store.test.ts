/** Limits on real databases: no interleaving of launches gets past one, and what ended is counted as it was. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { Registry } from 'prom-client'
import type { ProfileConfiguration } from '../../config/schema.ts'
import { readEnvironment } from '../../hub/domain/environment.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Proposal } from '../../hub/domain/services.ts'
import { createExtending } from '../../hub/launch/extend.ts'
import { createQuotaAdmission } from '../../hub/quota/admission.ts'
import type { Ask } from '../../hub/quota/admit.ts'
import { spentOf } from '../../hub/quota/ledger.ts'
import type { Limit } from '../../hub/quota/limit.ts'
import { createLimits, type Limits } from '../../hub/quota/limits.ts'
import { createEnvironments, type Reconciled } from '../../hub/reconcile/index.ts'
import { rowOf } from '../../hub/store/environments.ts'
import { openStore, type Store } from '../../hub/store/index.ts'
import type { EnvironmentRow } from '../../hub/store/schema.ts'
import { type EnvironmentId, type Found, LaunchRefused, type Spawner } from '../../spawners/spawner.ts'
import { databases, openPostgresStore, startPostgres } from '../support/postgres.ts'
import { limitOf } from '../support/quota.ts'
import { newRow } from '../support/rows.ts'
import { contractSpec, silentLog } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const hour = 3_600_000

async function addUsers(store: Store, count: number, prefix = 'u'): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `${prefix}${index}`)
  const person = { title: '', email: null, admin: 0, blocked_reason: null, created_at: 0, last_activity_at: null }
  await store.db
    .insertInto('users')
    .values(names.map((id) => ({ ...person, id, name: id })))
    .execute()
  return names
}

interface Hub {
  readonly store: Store
  readonly limits: Limits
  readonly reconciled: Reconciled
  launch(id: string, userId: string, changes?: Partial<Ask>): Promise<boolean>
  /** By eight hours, knowing its end; false: over a limit, or its end is another already. */
  extend(id: EnvironmentId, userId: string, endsAt: number): Promise<boolean>
}

function hubOn(store: Store, spawners: ReadonlyMap<string, Spawner> = new Map(), capacities = noCapacity): Hub {
  const now = () => new Date()
  const limits = createLimits({ store, perUser: 1_000, now, newId: randomUUID })
  const quota = createQuotaAdmission({ store, limits, contact: 'x', now })
  const reconciled = createEnvironments({
    store,
    spawners,
    agentsKey: Buffer.alloc(32),
    settings: {
      hub: 'h',
      hosts: undefined,
      capacities,
      startTimeoutMs: () => 60_000,
      times: { shortestObserveMs: 50 },
    },
    now,
    log: silentLog,
    metrics: new Registry(),
  })
  return {
    store,
    limits,
    reconciled,
    async launch(text, userId, changes = {}) {
      const id = text as EnvironmentId
      const walltimeMs = 8 * hour
      const proposals = [{ id: 'p1', fields: {} }]
      const asked = { user: { id: userId, name: userId }, groups: ['staff'], proposals, profile: 'notebook' }
      const resources = { cpu: 1, memoryBytes: 2 ** 30, gpus: 0, walltimeMs }
      const ask: Ask = { ...asked, ...resources, gpuType: '', ...changes }
      const spec = contractSpec('h', id, {}, { owner: userId, resources: { ...resources, cpu: ask.cpu } })
      const row = {
        ...newRow({ id, userId, spawner: 's', now: now(), owner: userId }),
        spec: JSON.stringify(spec),
        proposals: JSON.stringify(ask.proposals.map((proposal) => proposal.id)),
        owner_groups: JSON.stringify(ask.groups),
      }
      const { admit, together } = quota.admission(ask, row, [])
      try {
        await reconciled.environments.launch(row, admit, { together })
        return true
      } catch (error) {
        if (error instanceof Problem && error.type === 'overQuota') return false
        throw error
      }
    },
    extend: async (id, userId, endsAt) =>
      await createExtending({
        configuration: { profiles: { notebook: { longest: 30 * 24 * hour } as ProfileConfiguration } },
        environments: reconciled.environments,
        catalogue: { entitled: (_user, ids) => Promise.resolve(ids.map((each) => proposal(each))) },
        authorisation: { require: () => Promise.resolve() },
        spawners: new Map([...spawners].map(([name, spawner]) => [name, { spawner }])),
        quota,
        audit: { write: () => Promise.resolve(), note: () => undefined },
        now,
      })
        .extend(
          { user: { id: userId, name: userId, title: '', admin: false }, groups: [], by: 'cookie', login: 'l' },
          (await environmentOf(store, id)) ?? raise(id),
          { endsAt: new Date(endsAt) },
          AbortSignal.timeout(60_000),
        )
        .then(
          () => true,
          (error: unknown) => {
            if (error instanceof Problem && ['overQuota', 'conflict'].includes(error.type)) return false
            throw error
          },
        ),
  }
}

const noCapacity: ReadonlyMap<string, { cpu: number; memoryBytes: number }> = new Map()

async function environmentOf(store: Store, id: EnvironmentId) {
  const row = await rowOf(store.db, id)
  return row && readEnvironment(row)
}

function raise(id: string): never {
  throw new Error(`there is no ${id}`)
}

const proposal = (id: string): Proposal => ({ id, title: id, instrument: '', fields: {} })

/** SQLite with one hub, PostgreSQL with 64 of one connection each. */
async function installations(t: ExecutionContext): Promise<Hub[][]> {
  const sqlite = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: silentLog })
  t.teardown(() => sqlite.close())
  const postgres = await startPostgres(t)
  if (postgres === undefined) return [[hubOn(sqlite)]]
  const stores: Store[] = []
  for (let index = 0; index < 64; index += 1) {
    stores.push(await openPostgresStore(t, { ...postgres, poolSize: 1 }))
  }
  return [[hubOn(sqlite)], stores.map((store) => hubOn(store))]
}

const proposalOf = { kind: 'proposal', name: 'p1' } as const

const storms: readonly (readonly [string, readonly Limit[], number, number])[] = [
  ['200 launches in one instant by one user', [limitOf({ resource: 'cpus', most: 7 })], 1, 7],
  ['hours of one user', [limitOf({ resource: 'cpuHours', period: 'month', most: 41 })], 1, 5],
  [
    'what a proposal holds together, 64 connections of ten people',
    [
      limitOf({ resource: 'cpus', most: 9, share: 'together', subject: proposalOf }),
      limitOf({ resource: 'cpus', most: 4 }),
    ],
    10,
    9,
  ],
  [
    'hours of everybody together',
    [limitOf({ resource: 'cpuHours', period: 'ever', most: 88, share: 'together' })],
    10,
    11,
  ],
]

test('launches in one instant take what there is and no more: one hub on SQLite, 64 connections on PostgreSQL', async (t) => {
  t.timeout(600_000)
  for (const hubs of await installations(t)) {
    const [first] = hubs
    if (first === undefined) continue
    const { store } = first
    let serial = 0
    for (const [storm, [name, limits, people, fit]] of storms.entries()) {
      const users = await addUsers(store, people, `s${storm}`)
      const before = (await first.limits.fresh()).flatMap(({ id }) => (id === '' ? [] : [id]))
      await first.limits.change(limits, before, 'test')
      // Others hear of it by what their own transactions read, or a page.
      const accepted = await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const [hub, user] = [hubs[index % hubs.length], users[index % users.length]]
          serial += 1
          return hub !== undefined && user !== undefined && (await hub.launch(`e${serial}`, user))
        }),
      )
      t.is(accepted.filter(Boolean).length, fit, `${store.type}: ${name}`)
      await store.db.deleteFrom('environments').execute()
    }
  }
})

interface Wanted {
  readonly user: number
  readonly cpu: number
  readonly proposal: 'p1' | 'p2'
  readonly isStaff: boolean
}

const most = fc.integer({ min: 1, max: 14 })
const storm = fc.record({
  each: most,
  own: fc.option(most, { nil: undefined }),
  proposal: most,
  staff: most,
  launches: fc.array(
    fc.record<Wanted>({
      user: fc.nat(3),
      cpu: fc.integer({ min: 1, max: 4 }),
      proposal: fc.constantFrom('p1', 'p2'),
      isStaff: fc.boolean(),
    }),
    { minLength: 64, maxLength: 64 },
  ),
})

test('law: whatever the limits and the order, what is admitted at once is within all of them, and nothing is refused that fits', async (t) => {
  t.timeout(600_000)
  let serial = 0
  for (const hubs of await installations(t)) {
    const [first] = hubs
    if (first === undefined) continue
    const { store } = first
    let round = 0
    const property = fc.asyncProperty(storm, async ({ each, own, proposal: together, staff, launches }) => {
      // Others each time: with SQLite a hub remembers what is taken out of the database behind its back.
      round += 1
      const of = `law${round}x`
      const users = await addUsers(store, 4, of)
      const limits = [
        limitOf({ resource: 'cpus', most: each }),
        limitOf({
          resource: 'cpus',
          most: together,
          share: 'together',
          subject: { kind: 'proposal', name: `${of}p1` },
        }),
        limitOf({
          resource: 'environments',
          most: staff,
          share: 'together',
          subject: { kind: 'group', name: of },
        }),
        ...(own === undefined
          ? []
          : [limitOf({ resource: 'cpus', most: own, subject: { kind: 'user', name: `${of}0` } })]),
      ]
      const before = (await first.limits.fresh()).flatMap(({ id }) => (id === '' ? [] : [id]))
      await first.limits.change(limits, before, 'test')
      await store.db.deleteFrom('environments').execute()
      const admitted = await Promise.all(
        launches.map(async ({ user, cpu, proposal: id, isStaff }, index) => {
          const asked = { cpu, proposals: [{ id: of + id, fields: {} }], groups: isStaff ? [of] : [] }
          serial += 1
          return (await hubs[index % hubs.length]?.launch(`l${serial}`, users[user] ?? '', asked)) === true
        }),
      )
      /** Said without the code that is tested. */
      const fits = (held: readonly Wanted[]): boolean => {
        const cores = (some: readonly Wanted[]) => some.reduce((sum, { cpu }) => sum + cpu, 0)
        const within = [0, 1, 2, 3].every(
          (user) => cores(held.filter((one) => one.user === user)) <= (user === 0 ? (own ?? each) : each),
        )
        const ofProposal = cores(held.filter((one) => one.proposal === 'p1')) <= together
        return within && ofProposal && held.filter(({ isStaff }) => isStaff).length <= staff
      }
      const held = launches.filter((_, index) => admitted[index])
      const rows = await store.db.selectFrom('environments').select('id').where('ended_at', 'is', null).execute()
      return (
        rows.length === held.length &&
        fits(held) &&
        launches.every((one, index) => admitted[index] === true || !fits([...held, one]))
      )
    })
    await t.notThrowsAsync(fc.assert(property, { numRuns: 6, endOnFailure: true }), store.type)
  }
})

test('limits that change are known to the next launch of every hub', async (t) => {
  t.timeout(120_000)
  const postgres = await startPostgres(t)
  if (postgres === undefined) return
  const [one, two] = [hubOn(await openPostgresStore(t, postgres)), hubOn(await openPostgresStore(t, postgres))]
  await addUsers(one.store, 1)
  t.true(await two.launch('a', 'u0'))
  await one.limits.change([limitOf({ resource: 'cpus', most: 1 })], [], 'test')
  t.false(await two.launch('b', 'u0'))
  const [, limit] = await two.limits.fresh()
  await two.limits.change([], [limit?.id ?? ''], 'test')
  t.true(await one.launch('c', 'u0'))
})

test('extensions in one instant take what there is and no more, and asking twice is asking once', async (t) => {
  t.timeout(600_000)
  for (const hubs of await installations(t)) {
    const [first] = hubs
    if (first === undefined) continue
    const { store } = first
    await addUsers(store, 1)
    const ids = Array.from({ length: 10 }, (_, index) => `e${index}` as EnvironmentId)
    for (const id of ids) await first.launch(id, 'u0')
    const startedAt = Date.now()
    const running = { started_at: startedAt, ends_at: startedAt + 8 * hour }
    await store.db.updateTable('environments').set(running).execute()
    // With SQLite it is the board that a launch looks at.
    if (store.type === 'sqlite') await first.reconciled.start()
    await first.limits.change([limitOf({ resource: 'cpuHours', period: 'ever', most: 121 })], [], 'test')
    const wanted = [...ids, ...ids, ...ids].map(async (id, index) => {
      return (await hubs[index % hubs.length]?.extend(id, 'u0', running.ends_at)) ?? false
    })
    t.is((await Promise.all(wanted)).filter(Boolean).length, 5, store.type)
    const rows = await store.db.selectFrom('environments').select(['id', 'extensions', 'ends_at']).execute()
    const longer = rows.filter(({ extensions }) => extensions !== '[]')
    t.is(longer.length, 5)
    t.true(longer.every(({ ends_at }) => ends_at === running.ends_at + 8 * hour))
    const holding = (await first.limits.fresh()).flatMap(({ id }) => (id === '' ? [] : [id]))
    await first.limits.change([limitOf({ resource: 'cpuHours', period: 'ever', most: 10_000 })], holding, 'test')
    const other = rows.find(({ extensions }) => extensions === '[]')?.id as EnvironmentId
    const clicks = [0, 1, 2].map(async (index) => await hubs[index % hubs.length]?.extend(other, 'u0', running.ends_at))
    t.is((await Promise.all(clicks)).filter(Boolean).length, 1, 'one end, one extension')
    await first.reconciled.close()
  }
})

test('a full backend never has more than its capacity, whatever comes and goes, and everybody has a turn', async (t) => {
  t.timeout(300_000)
  for (const store of await databases(t)) {
    const there = new Map<EnvironmentId, number>()
    const startedAt = new Date()
    let most = 0
    let turns = 0
    const spawner: Spawner = {
      async ensure({ id, resources }) {
        // Taken from the moment in which it is asked for, however long the answer takes.
        there.set(id, resources.cpu)
        turns += 1
        most = Math.max(
          most,
          [...there.values()].reduce((sum, cpu) => sum + cpu, 0),
        )
        await sleep(20)
      },
      remove: (id) => Promise.resolve(void there.delete(id)),
      observe: () =>
        Promise.resolve(
          new Map<EnvironmentId, Found>(
            [...there.keys()].map((id) => [id, { observation: { phase: 'running', hosts: ['127.0.0.1'], startedAt } }]),
          ),
        ),
    }
    const hub = hubOn(store, new Map([['s', spawner]]), new Map([['s', { cpu: 4, memoryBytes: 2 ** 40 }]]))
    await addUsers(store, 3)
    t.teardown(() => hub.reconciled.close())
    await hub.reconciled.start()
    const ids = Array.from({ length: 30 }, (_, index) => `q${index}` as EnvironmentId)
    await Promise.all(ids.map((id, index) => hub.launch(id, `u${index % 3}`, { cpu: 1 + (index % 4) })))
    const ended = async () =>
      (await store.db.selectFrom('environments').select('id').where('ended_at', 'is not', null).execute()).length
    await until(
      'all had a turn',
      async () => {
        const [first] = there.keys()
        if (first !== undefined) await hub.reconciled.environments.stop(first, 'cancelled')
        return (await ended()) === ids.length
      },
      { timeoutMs: 120_000, everyMs: 20 },
    )
    t.is(turns, ids.length)
    t.is(most, 4, store.type)
  }
})

/** A backend with an end of its own for each, which it moves or not. */
function endingBackend(answer: () => void) {
  const ends = new Map<EnvironmentId, Date>()
  const startedAt = new Date()
  const observation = (endsAt: Date) => ({ phase: 'running', hosts: ['127.0.0.1'], startedAt, endsAt }) as const
  const spawner: Spawner = {
    ensure: ({ id }) => Promise.resolve(void ends.set(id, new Date(startedAt.getTime() + 8 * hour))),
    remove: (id) => Promise.resolve(void ends.delete(id)),
    observe: () =>
      Promise.resolve(
        new Map<EnvironmentId, Found>([...ends].map(([id, endsAt]) => [id, { observation: observation(endsAt) }])),
      ),
    async extend(id, endsAt) {
      await Promise.resolve()
      answer()
      ends.set(id, endsAt)
    },
  }
  return { ends, spawner }
}

test('the backend is told of a later end until it has it; one that refuses gives the hours back', async (t) => {
  t.timeout(300_000)
  for (const store of await databases(t)) {
    let asked = 0
    const backend = endingBackend(() => {
      asked += 1
      if (asked === 1) throw new Error('lost')
      if (asked === 3) throw new LaunchRefused('The partition allows 16 hours.')
    })
    const hub = hubOn(store, new Map([['s', backend.spawner]]))
    await addUsers(store, 1)
    t.teardown(() => hub.reconciled.close())
    await hub.reconciled.start()
    const id = 'e1' as EnvironmentId
    await hub.launch(id, 'u0')
    const { environments } = hub.reconciled
    const endsAt = async () => (await environments.get(id))?.endsAt?.getTime() ?? 0
    await until('it runs', async () => (await endsAt()) > 0, { timeoutMs: 60_000 })
    const first = await endsAt()
    t.true(await hub.extend(id, 'u0', first))
    t.is(await endsAt(), first, 'the backend has the last word')
    await until('the second try moved it', async () => (await endsAt()) === first + 8 * hour, { timeoutMs: 60_000 })
    t.true(await hub.extend(id, 'u0', first + 8 * hour))
    const refused = async () => (await environments.get(id))?.extensions.at(-1)?.refused
    await until('it was refused', async () => (await refused()) !== undefined, { timeoutMs: 60_000 })
    t.is(await refused(), 'The partition allows 16 hours.')
    t.deepEqual(
      (await environments.get(id))?.extensions.map(({ ms }) => ms),
      [8 * hour, 0],
      store.type,
    )
    t.is(asked, 3)
  }
})

/** A backend whose clock is an hour behind, and which remembers when each began and ended. */
function recordingBackend() {
  const offset = -hour
  const seen = new Map<EnvironmentId, { startedAt: Date; endedAt?: Date }>()
  const spawner: Spawner = {
    ensure: ({ id }) => Promise.resolve(void seen.set(id, { startedAt: new Date(Date.now() + offset) })),
    remove: (id) => Promise.resolve(void seen.delete(id)),
    observe: () =>
      Promise.resolve(
        new Map<EnvironmentId, Found>(
          [...seen].map(([id, { startedAt, endedAt }]) => [
            id,
            endedAt === undefined
              ? { observation: { phase: 'running', hosts: ['127.0.0.1'], startedAt } }
              : { observation: { phase: 'ended', reason: 'completed', message: '', startedAt, endedAt } },
          ]),
        ),
      ),
  }
  return { seen, spawner }
}

test('what is in the ledger sums up to the time line of the backend; the record outlives the row', async (t) => {
  t.timeout(300_000)
  for (const store of await databases(t)) {
    const backend = recordingBackend()
    const hub = hubOn(store, new Map([['s', backend.spawner]]))
    await addUsers(store, 3)
    t.teardown(() => hub.reconciled.close())
    await hub.reconciled.start()
    const cpuOf = (index: number): number => 1 + (index % 4) / 2
    const ids = Array.from({ length: 20 }, (_, index) => `e${index}` as EnvironmentId)
    await Promise.all(ids.map((id, index) => hub.launch(id, `u${index % 3}`, { cpu: cpuOf(index) })))
    await until('all run', () => backend.seen.size === ids.length, { timeoutMs: 60_000 })
    await hub.limits.change([limitOf({ resource: 'cpuHours', period: 'month', most: 1_000 })], [], 'test')
    // They end one after the other, after lengths of time that only the backend knows.
    let expected = 0
    const mine = new Map<string, number>()
    for (const [index, id] of ids.entries()) {
      const one = backend.seen.get(id)
      if (one === undefined) throw new Error(`${id} is not there`)
      const ms = 1_000_000 + index * 123_456
      one.endedAt = new Date(one.startedAt.getTime() + ms)
      expected += cpuOf(index) * ms
      mine.set(`u${index % 3}`, (mine.get(`u${index % 3}`) ?? 0) + cpuOf(index) * ms)
    }
    const ended = async (): Promise<EnvironmentRow[]> =>
      await store.db.selectFrom('environments').selectAll().where('ended_at', 'is not', null).execute()
    await until('all ended', async () => (await ended()).length === ids.length, { timeoutMs: 60_000 })
    const total = (await spentOf(store.db, { kind: 'everyone', name: '' }, -Infinity)).cpuMs
    t.is(total, expected, store.type)
    t.is((await spentOf(store.db, { kind: 'proposal', name: 'p1' }, -Infinity)).cpuMs, expected)
    t.is((await spentOf(store.db, { kind: 'group', name: 'staff' }, 0)).cpuMs, expected)
    for (const [user, ms] of mine) t.is((await spentOf(store.db, { kind: 'user', name: user }, 0)).cpuMs, ms)
    t.is((await spentOf(store.db, { kind: 'user', name: 'u0' }, Date.now() + hour)).cpuMs, 0)

    await hub.reconciled.environments.forget(ids[0] ?? ('' as EnvironmentId))
    const records = await store.db.selectFrom('records').selectAll().execute()
    t.is(records.length, ids.length)
    t.like(JSON.parse(records.find((each) => each.environment_id === 'e3')?.used ?? ''), {
      ranMs: 1_370_368,
      cpuMs: Math.round(1_370_368 * 2.5),
    })
  }
})

test('an end counts from when the backend says, also when somebody nudges it before that is written', async (t) => {
  const opened = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: silentLog })
  t.teardown(() => opened.close())
  let slowMs = 0
  const note: Store['writer']['note'] = async (key, work, committed) => {
    await sleep(slowMs)
    return await opened.writer.note(key, work, committed)
  }
  const store = { ...opened, writer: { ...opened.writer, note } }
  const backend = recordingBackend()
  const hub = hubOn(store, new Map([['s', backend.spawner]]))
  await addUsers(store, 1)
  t.teardown(() => hub.reconciled.close())
  await hub.reconciled.start()
  const id = 'e0' as EnvironmentId
  await hub.launch(id, 'u0')
  const isSeen = async (): Promise<boolean> => /"running"/.test((await rowOf(store.db, id))?.observation ?? '')
  await until('it is seen running', isSeen)
  slowMs = 400
  const one = backend.seen.get(id)
  if (one === undefined) throw new Error('it is not there')
  one.endedAt = new Date(one.startedAt.getTime() + 1_000_000)
  // The first looks see the end; what they saw is not written yet.
  for (let index = 0; index < 40; index += 1) {
    await hub.reconciled.environments.rename(id, `title ${index}`).catch(() => undefined)
    await sleep(20)
  }
  await until('it is over', async () => (await rowOf(store.db, id))?.ended_at !== null)
  const { cpuMs } = await spentOf(store.db, { kind: 'user', name: 'u0' }, -Infinity)
  t.is(cpuMs, 1_000_000)
  slowMs = 0
})
