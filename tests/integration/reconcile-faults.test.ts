/** Five hundred environments on the instant fake backend, and a hub that dies in the worst moments: none is lost. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { openStore } from '../../hub/store/index.ts'
import { type FakeBackend, startFakeBackend } from '../support/fakeBackend.ts'
import { freePort } from '../support/hutch.ts'
import { type Reconciler, startReconciler } from '../support/reconcilerProcess.ts'
import { newRow } from '../support/rows.ts'
import { silentLog } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'

const many = 500
const ids = Array.from({ length: many }, (_, index) => `e${index}` as EnvironmentId)
const patience = { timeoutMs: 240_000, everyMs: 200 }

interface Scene {
  readonly folder: string
  readonly backend: FakeBackend
  readonly port: number
}

async function scene(t: ExecutionContext): Promise<Scene> {
  t.timeout(600_000)
  const folder = await temporaryFolder(t)
  const store = await openStore({ type: 'sqlite' }, { stateFolder: folder, log: silentLog })
  for (let index = 0; index < 100; index += 1) {
    const user = { id: `u${index}`, name: `user${index}`, title: '', email: null, admin: 0, blocked_reason: null }
    await store.db
      .insertInto('users')
      .values({ ...user, created_at: 0, last_activity_at: null })
      .execute()
  }
  await store.close()
  const backend = await startFakeBackend()
  t.teardown(() => backend.close())
  return { folder, backend, port: await freePort() }
}

async function runAll(hub: Reconciler): Promise<void> {
  await Promise.all(
    ids.map((id, index) =>
      hub.environments.launch(
        newRow({ id, userId: `u${index % 100}`, spawner: 'fake', now: new Date() }),
        () => undefined,
      ),
    ),
  )
  await until('all are ready', () => hub.routes.routes().length === many, patience)
}

/** Each was launched once, none was removed, each is there and has its route. */
async function noneLost(t: ExecutionContext, hub: Reconciler, backend: FakeBackend): Promise<void> {
  const { ensured, removed, environments } = backend.state()
  t.is(Object.keys(environments).length, many)
  t.deepEqual(removed, {})
  t.true(
    ids.every((id) => ensured[id] === 1),
    'none was launched twice',
  )
  t.is(hub.routes.routes().length, many)
  const ended = await hub.store.db.selectFrom('environments').select('id').where('ended_at', 'is not', null).execute()
  t.is(ended.length, 0)
}

test.serial(
  'a restart while the backend can not answer, and one while no environment answers, lose none',
  async (t) => {
    const { folder, backend, port } = await scene(t)
    const first = await startReconciler(folder, backend.url, port)
    await runAll(first)
    await first.stop()

    backend.behave({ silentForMs: 6_000 })
    const second = await startReconciler(folder, backend.url, port)
    t.is(second.routes.routes().length, many, 'the routes are there before the backend has answered')
    await sleep(7_000)
    await noneLost(t, second, backend)
    await second.stop()

    backend.behave({ agentsSilentForMs: 30_000, reports: false })
    const third = await startReconciler(folder, backend.url, port)
    const states = async (): Promise<Set<string | undefined>> =>
      new Set(await Promise.all(ids.map(async (id) => (await third.environments.get(id))?.state.is)))
    await until('some are seen not to answer', async () => (await states()).has('unreachable'), patience)
    await noneLost(t, third, backend)
    backend.behave({ reports: true })
    await until('all answer again', async () => (await states()).size === 1 && (await states()).has('ready'), patience)
    await noneLost(t, third, backend)
    await third.stop()
  },
)

test.serial('kill -9 amid launches loses, doubles and orphans none', async (t) => {
  const { folder, backend, port } = await scene(t)
  const committed = new Set<string>()
  let next = 0
  for (let life = 0; life < 4; life += 1) {
    const child = await startProcess(t, folder, backend.url, port, committed)
    const some = ids.slice(next, (next += 60))
    child.stdin?.write(`${JSON.stringify({ launch: some })}\n`)
    const goal = committed.size + 5 + life * 8
    await until('launches are under way', () => committed.size >= goal, patience)
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  const hub = await startReconciler(folder, backend.url, port)
  const rows = await hub.store.db.selectFrom('environments').select('id').execute()
  t.true(
    [...committed].every((id) => rows.some((row) => row.id === id)),
    'what was answered is in the store',
  )
  await until('every row is ready', () => hub.routes.routes().length === rows.length, patience)
  const { environments, removed, ensured } = backend.state()
  t.deepEqual(Object.keys(environments).toSorted(), rows.map(({ id }) => id).toSorted(), 'no orphan, none lost')
  t.deepEqual(removed, {})
  t.true(Object.keys(ensured).length === rows.length)
  await hub.stop()
})

async function startProcess(
  t: ExecutionContext,
  folder: string,
  url: string,
  port: number,
  committed: Set<string>,
): Promise<ChildProcess> {
  const program = join(import.meta.dirname, '../support/reconcilerProcess.ts')
  const child = spawn(process.execPath, [program, folder, url, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let isReady = false
  child.stdout?.on('data', (data: Buffer) => {
    for (const line of data.toString().split('\n')) {
      if (line === 'ready') isReady = true
      else if (line !== '') committed.add(line)
    }
  })
  await until('the hub is ready', () => isReady, patience)
  return child
}
