/** The store, on SQLite and on a real PostgreSQL: migrations, admission under load, fencing, faults in words. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { sql } from 'kysely'
import { Registry } from 'prom-client'
import { Problem } from '../../hub/domain/problem.ts'
import { createEnvironments, type Reconciled } from '../../hub/reconcile/index.ts'
import { changeLiveRow, insertRow } from '../../hub/store/environments.ts'
import { openStore, type Store } from '../../hub/store/index.ts'
import { StateError } from '../../hub/store/state-error.ts'
import { createWriter, Fenced, type Writer } from '../../hub/store/writer.ts'
import { databases, openPostgresStore, startPostgres } from '../support/postgres.ts'
import { newRow } from '../support/rows.ts'
import { silentLog } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'

const id = (text: string): EnvironmentId => text as EnvironmentId

async function addUser(store: Store, userId: string): Promise<void> {
  await store.db
    .insertInto('users')
    .values({
      id: userId,
      name: userId,
      title: userId,
      email: null,
      admin: 0,
      blocked_reason: null,
      created_at: 1_790_000_000_000,
      last_activity_at: null,
    })
    .execute()
}

function hubOn(store: Store, holder = 'hub'): Reconciled {
  return createEnvironments({
    store,
    spawners: new Map(),
    agentsKey: Buffer.alloc(32),
    settings: { hub: 'h', hosts: undefined, startTimeoutMs: () => 60_000 },
    now: () => new Date(),
    newId: () => holder,
    log: silentLog,
    metrics: new Registry(),
  })
}

function atMost(most: number): (live: readonly unknown[]) => void {
  return (live) => {
    if (live.length >= most) throw new Problem('overQuota', 'full')
  }
}

test('what is written is read again: times as numbers, one live row for each URL, ended ones beside it', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    await addUser(store, 'u1')
    const user = await store.db.selectFrom('users').selectAll().executeTakeFirstOrThrow()
    t.is(user.created_at, 1_790_000_000_000, store.type)
    const row = newRow({ id: id('a'), userId: 'u1', spawner: 's', now: new Date() })
    const insert = (values: typeof row) => store.db.transaction().execute((trx) => insertRow(trx, values))
    t.is((await insert(row)).requested_at, row.requested_at)
    await t.throwsAsync(insert({ ...row, id: 'b' }), undefined, `${store.type}: the same URL twice`)
    await store.db.updateTable('environments').set({ ended_at: 5 }).where('id', '=', 'a').execute()
    t.is((await insert({ ...row, id: 'b' })).id, 'b')
    await t.throwsAsync(
      insert({ ...row, id: 'c', user_id: 'nobody', server: 'c' }),
      undefined,
      'a user that is not there',
    )
  }
})

test('a statement that is made once takes other values, nothing at all, and other columns', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    await addUser(store, 'u1')
    for (const each of ['a', 'b']) await insert(store, each)
    const change = (of: string, values: Parameters<typeof changeLiveRow>[2], generation?: number) =>
      store.db.transaction().execute((trx) => changeLiveRow(trx, id(of), values, generation))
    t.true(await change('a', { title: 'first', port: 1 }), store.type)
    t.true(await change('b', { title: 'second', port: null }))
    t.true(await change('a', { port: 7, title: 'third' }), 'the same columns in another order')
    t.true(await change('b', { host: 'h' }))
    t.false(await change('b', { host: 'other' }, 1), 'it is not of this generation')
    t.true(await change('b', { host: 'moved' }, 0))
    t.false(await change('c', { host: 'nowhere' }))
    const rows = await store.db.selectFrom('environments').select(['title', 'port', 'host']).orderBy('id').execute()
    t.deepEqual(rows, [
      { title: 'third', port: 7, host: null },
      { title: 'second', port: null, host: 'moved' },
    ])
  }

  async function insert(store: Store, of: string): Promise<void> {
    const row = newRow({ id: id(of), userId: 'u1', spawner: 's', now: new Date() })
    await store.db.transaction().execute((trx) => insertRow(trx, row))
  }
})

test('with SQLite what is written is on the disk before it is told', async (t) => {
  const { writer, order } = await openCounted(t)
  await Promise.all([writer.write('a', () => Promise.resolve()), writer.write('b', () => Promise.resolve())])
  t.deepEqual(order, ['committed', 'on the disk'], 'those that come together wait once')
  await writer.note(
    'c',
    () => Promise.resolve(),
    () => void order.push('told'),
  )
  t.deepEqual(order.slice(2), ['committed', 'told'], 'what is only noted waits for no disk')
  order.length = 0
  await writer.write(
    'd',
    () => Promise.resolve(),
    () => void order.push('told'),
  )
  t.deepEqual(order, ['committed', 'on the disk', 'told'])
})

test('a disk that takes nothing more is an error for who wrote, and the writer goes on', async (t) => {
  const { writer, fail } = await openCounted(t)
  fail(new StateError('the disk reports errors'))
  await t.throwsAsync(
    writer.write('a', () => Promise.resolve()),
    { instanceOf: StateError },
  )
  fail(undefined)
  await t.notThrowsAsync(writer.write('b', () => Promise.resolve()))
})

async function openCounted(
  t: ExecutionContext,
): Promise<{ writer: Writer; order: string[]; fail: (with_: Error | undefined) => void }> {
  const store = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: silentLog })
  t.teardown(() => store.close())
  const order: string[] = []
  let failure: Error | undefined
  const changes = { tell: () => Promise.resolve(void order.push('committed')) }
  const flush = (): Promise<void> => {
    order.push('on the disk')
    return failure === undefined ? Promise.resolve() : Promise.reject(failure)
  }
  return {
    writer: createWriter({ db: store.db, type: 'sqlite', changes, flush }),
    order,
    fail: (wanted) => (failure = wanted),
  }
}

test('a database of a newer release is refused with a sentence', async (t) => {
  t.timeout(120_000)
  const folder = await temporaryFolder(t)
  const store = await openStore({ type: 'sqlite' }, { stateFolder: folder, log: silentLog })
  await sql`insert into kysely_migration (name, timestamp) values ('9999-later', 'x')`.execute(store.db)
  await store.close()
  const error = await t.throwsAsync(openStore({ type: 'sqlite' }, { stateFolder: folder, log: silentLog }), {
    instanceOf: StateError,
  })
  t.regex(error?.message ?? '', /newer Hutch.*9999-later/)
})

test('faults of SQLite are one sentence each', async (t) => {
  const notADatabase = await temporaryFolder(t)
  await writeFile(join(notADatabase, 'hutch.sqlite'), 'x'.repeat(8_192))
  const rows: [string, string, RegExp][] = [
    ['no such folder', join(notADatabase, 'nowhere'), /can not be opened/],
    ['not a database', notADatabase, /not a database/],
  ]
  for (const [title, stateFolder, expected] of rows) {
    const opening = openStore({ type: 'sqlite' }, { stateFolder, log: silentLog })
    const error = await t.throwsAsync(opening, { instanceOf: StateError }, title)
    t.regex(error?.message ?? '', expected, title)
  }
  const folder = await temporaryFolder(t)
  const store = await openStore({ type: 'sqlite' }, { stateFolder: folder, log: silentLog })
  await sql`pragma max_page_count = 1`.execute(store.db)
  const filling = Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      store.db
        .insertInto('meta')
        .values({ key: `k${index}`, value: 'x'.repeat(4_000) })
        .execute(),
    ),
  )
  const full = await t.throwsAsync(filling, { instanceOf: StateError })
  t.regex(full?.message ?? '', /the disk is full/)
  t.true(full?.isFull)
  const within = store.db.transaction().execute(async (trx) => {
    const value = 'x'.repeat(4_000_000)
    await trx.insertInto('meta').values({ key: 'large', value }).execute()
  })
  t.regex((await t.throwsAsync(within, { instanceOf: StateError }))?.message ?? '', /the disk is full/)
  await store.close()
})

test('a PostgreSQL that is not there, and one that wants a password', async (t) => {
  t.timeout(120_000)
  const folder = await temporaryFolder(t)
  const nowhere = {
    type: 'postgresql',
    host: folder,
    port: 5432,
    database: 'hutch',
    user: 'hutch',
    tls: false,
    poolSize: 2,
  } as const
  const missing = await t.throwsAsync(openStore(nowhere, { stateFolder: folder, log: silentLog }), {
    instanceOf: StateError,
  })
  t.regex(missing?.message ?? '', /no such socket/)
  const guarded = await startPostgres(t, 'a secret')
  if (guarded === undefined) return
  const [right, wrong] = [join(folder, 'right'), join(folder, 'wrong')]
  await writeFile(right, 'a secret\n', { mode: 0o600 })
  await writeFile(wrong, 'another\n', { mode: 0o600 })
  const open = (passwordFile: string) =>
    openStore({ ...guarded, passwordFile }, { stateFolder: folder, log: silentLog })
  const store = await open(right)
  await store.close()
  const refused = await t.throwsAsync(open(wrong), { instanceOf: StateError })
  t.regex(refused?.message ?? '', /refuses the role/)
})

test('launches at once never overshoot the limit: one hub, and eight hubs with 64 connections', async (t) => {
  t.timeout(180_000)
  const sqlite = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: silentLog })
  t.teardown(() => sqlite.close())
  const postgres = await startPostgres(t)
  const hubs: Store[][] = [[sqlite]]
  if (postgres)
    hubs.push(await Promise.all(Array.from({ length: 8 }, () => openPostgresStore(t, { ...postgres, poolSize: 8 }))))
  for (const stores of hubs) {
    const [first = sqlite] = stores
    await addUser(first, 'u1')
    await addUser(first, 'u2')
    const services = stores.map((store, index) => hubOn(store, `hub${index}`).environments)
    const launches = Array.from({ length: 64 }, async (_, index) => {
      const [userId, service] = [index % 2 ? 'u1' : 'u2', services[index % services.length]]
      const row = newRow({ id: id(`e${index}`), userId, spawner: 's', now: new Date() })
      try {
        await service?.launch(row, atMost(5))
        return true
      } catch (error) {
        if (error instanceof Problem) return false
        throw error
      }
    })
    const accepted = (await Promise.all(launches)).filter(Boolean).length
    t.is(accepted, 10, first.type)
    const { count } = await first.db
      .selectFrom('environments')
      .select((row) => row.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    t.is(count, 10, first.type)
  }
})

test('an old leader writes nothing: every write is fenced by the epoch', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    await addUser(store, 'u1')
    await store.db
      .transaction()
      .execute((trx) => insertRow(trx, newRow({ id: id('a'), userId: 'u1', spawner: 's', now: new Date() })))
    const old = await store.leases.take('s', 'old', { ttlMs: 60_000, evenIfHeld: false })
    t.is(await store.leases.take('s', 'new', { ttlMs: 60_000, evenIfHeld: false }), undefined, 'it is held')
    const current = await store.leases.take('s', 'new', { ttlMs: 60_000, evenIfHeld: true })
    if (old === undefined || current === undefined) return t.fail('the lease was not given')
    t.is(current.epoch, old.epoch + 1)
    const writeAs = (lease: typeof old, title: string) =>
      store.writer.note('environment a', async (trx) => {
        await store.leases.check(trx, lease)
        return await changeLiveRow(trx, 'a', { title })
      })
    await t.throwsAsync(writeAs(old, 'old'), { instanceOf: Fenced }, store.type)
    t.true(await writeAs(current, 'new'))
    t.is((await store.db.selectFrom('environments').select('title').executeTakeFirstOrThrow()).title, 'new')
    t.false(await store.leases.renew(old, 1_000))
    t.true(await store.leases.renew(current, 1))
    await store.leases.release(current)
    t.truthy(
      await store.leases.take('s', 'third', { ttlMs: 1_000, evenIfHeld: false }),
      'what was given back can be taken',
    )
  }
})

test('one that fails does not fail the others that are committed with it', async (t) => {
  t.timeout(120_000)
  for (const store of await databases(t)) {
    const insert = (key: string) =>
      store.writer.write(key, async (trx) => void (await trx.insertInto('meta').values({ key, value: '' }).execute()))
    const results = await Promise.allSettled([insert('a'), insert('b'), insert('a'), insert('c')])
    t.deepEqual(
      results.map(({ status }) => status).toSorted(),
      ['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
      store.type,
    )
    const refused = store.writer.write('x', () => Promise.reject(new Problem('conflict', 'no')))
    await Promise.all([t.throwsAsync(refused, { instanceOf: Problem }), insert('d')])
    t.is((await store.db.selectFrom('meta').select('key').execute()).length, 4, store.type)
  }
})
