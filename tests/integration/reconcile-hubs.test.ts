/** Two hubs on one PostgreSQL, and stores that are not what they were: nothing doubled, nobody's work removed. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { startFakeBackend } from '../support/fakeBackend.ts'
import { freePort } from '../support/hutch.ts'
import { startPostgres } from '../support/postgres.ts'
import { type Reconciler, startReconciler } from '../support/reconcilerProcess.ts'
import { newRow } from '../support/rows.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'

const patience = { timeoutMs: 120_000, everyMs: 100 }

async function addUser(hub: Reconciler): Promise<void> {
  const user = { id: 'u', name: 'alice', title: '', email: null, admin: 0, blocked_reason: null, created_at: 0 }
  await hub.store.db
    .insertInto('users')
    .values({ ...user, last_activity_at: null })
    .execute()
}

async function launch(hub: Reconciler, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const row = newRow({ id: id as EnvironmentId, userId: 'u', spawner: 'fake', now: new Date() })
    await hub.environments.launch(row, () => undefined)
  }
}

const routesOf = (hub: Reconciler): string[] =>
  hub.routes
    .routes()
    .map(({ id }) => id)
    .toSorted()

test('two hubs on one PostgreSQL: one reconciles, both serve; when it stops the other takes over', async (t) => {
  t.timeout(300_000)
  const database = await startPostgres(t)
  if (database === undefined) return
  const backend = await startFakeBackend()
  t.teardown(() => backend.close())
  const folder = await temporaryFolder(t)
  const [portA, portB] = [await freePort(), await freePort()]
  const first = await startReconciler(folder, backend.url, portA, database)
  const second = await startReconciler(folder, backend.url, portB, database)
  await addUser(first)
  await launch(first, ['a1', 'a2'])
  await launch(second, ['b1', 'b2'])
  const four = ['a1', 'a2', 'b1', 'b2']
  await until('both know all four', () => [first, second].every((hub) => routesOf(hub).length === 4), patience)
  t.deepEqual(routesOf(second), four)
  await second.environments.stop('a1' as EnvironmentId, 'cancelled')
  await until('it is gone from both', () => [first, second].every((hub) => routesOf(hub).length === 3), patience)
  const revocation = { kind: 'login', subject: 'l', at: Date.now(), until: Date.now() + 60_000 } as const
  const heard: string[] = []
  second.routes.follow((message) => heard.push(message.type))
  await first.routes.revoke(revocation)
  await until('the other hub heard of the revocation', () => heard.includes('revoke'), patience)

  await first.stop()
  await launch(second, ['c1'])
  await until('the other hub launches', () => routesOf(second).includes('c1'), patience)
  const { ensured, removed } = backend.state()
  t.deepEqual(ensured, { a1: 1, a2: 1, b1: 1, b2: 1, c1: 1 })
  t.deepEqual(Object.keys(removed), ['a1'])
  await second.stop()
})

test('an empty store removes nobody: an alarm, until somebody says adopt or remove; a few are removed', async (t) => {
  t.timeout(300_000)
  const backend = await startFakeBackend()
  t.teardown(() => backend.close())
  const port = await freePort()
  const ids = ['e1', 'e2', 'e3', 'e4', 'e5']
  const first = await startReconciler(await temporaryFolder(t), backend.url, port)
  await addUser(first)
  await launch(first, ids)
  await until('all run', () => routesOf(first).length === 5, patience)
  await first.stop()

  const folder = await temporaryFolder(t)
  let hub = await startReconciler(folder, backend.url, port)
  await until('there is an alarm', async () => (await hub.orphans()).length > 0, patience)
  await hub.stop()
  // The alarm outlives the hub, though now there are few.
  backend.lose('e5')
  backend.lose('e4')
  hub = await startReconciler(folder, backend.url, port)
  await addUser(hub)
  await sleep(2_000)
  t.deepEqual(backend.state().removed, {})
  const [alarm] = await hub.orphans()
  t.deepEqual(alarm?.orphans.map(({ id }) => id).toSorted(), ['e1', 'e2', 'e3'])
  await hub.decideOrphans('fake', ['e1', 'e2'], 'adopt')
  await hub.decideOrphans('fake', ['e3'], 'remove')
  await until('the adopted are ready again', () => routesOf(hub).length === 2, patience)
  await until('the other is gone', () => backend.state().removed['e3'] === 1, patience)
  await until('the alarm is over', async () => (await hub.orphans()).length === 0, patience)
  t.deepEqual(Object.keys(backend.state().removed), ['e3'])
  t.is(backend.state().ensured['e1'], 1, 'it was not launched again')
  await hub.environments.stop('e1' as EnvironmentId, 'cancelled')
  await until('an adopted one can be stopped', () => backend.state().removed['e1'] === 1, patience)
  await hub.stop()

  const third = await startReconciler(await temporaryFolder(t), backend.url, port)
  await until('one orphan is removed', () => backend.state().removed['e2'] === 1, patience)
  t.deepEqual(await third.orphans(), [])
  await third.stop()
})
