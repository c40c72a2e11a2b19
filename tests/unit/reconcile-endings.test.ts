/** A backend that is looked at seldom: what an agent says or leaves out brings the look that tells how it ended. */
import test from 'ava'
import { Registry } from 'prom-client'
import { createEnvironments, type Reconciled } from '../../hub/reconcile/index.ts'
import { openStore } from '../../hub/store/index.ts'
import type { EnvironmentId, Observation, Spawner } from '../../spawners/spawner.ts'
import { newRow } from '../support/rows.ts'
import { silentLog } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const id = 'e1' as EnvironmentId
const report = { version: 1, port: 4_000, run: 'r' } as const
const hourMs = 3_600_000

const ways: readonly (readonly [title: string, leave: (hub: Reconciled) => Promise<void> | void])[] = [
  [
    'its agent says goodbye',
    (hub) => hub.environments.reported(id, { ...report, application: 'ended', message: 'Stopped.' }, '127.0.0.1'),
  ],
  [
    'its application failed',
    (hub) => hub.environments.reported(id, { ...report, application: 'failed', message: 'No.' }, '127.0.0.1'),
  ],
  ['its agent hangs up', (hub) => hub.hungUp(id)],
]

for (const [title, leave] of ways) {
  test(`the backend is looked at when ${title}, though it wants to rest`, async (t) => {
    const store = await openStore({ type: 'sqlite' }, { stateFolder: await temporaryFolder(t), log: silentLog })
    const user = { id: 'u', name: 'alice', title: '', email: null, admin: 0, blocked_reason: null } as const
    await store.db
      .insertInto('users')
      .values({ ...user, created_at: 0, last_activity_at: null })
      .execute()
    let observation: Observation | undefined
    let restsUntil = 0
    let looks = 0
    const told: string[] = []
    const spawner: Spawner = {
      async ensure() {
        observation = { phase: 'running', hosts: ['127.0.0.1'], startedAt: new Date() }
      },
      async observe() {
        looks += 1
        return new Map(observation === undefined ? [] : [[id, { observation }]])
      },
      remove: async () => undefined,
      observeNotBefore: () => restsUntil,
      ending(which) {
        told.push(which)
        restsUntil = 0
      },
    }
    const hub = createEnvironments({
      store,
      spawners: new Map([['seldom', spawner]]),
      agentsKey: Buffer.alloc(32),
      settings: { hub: 'h', hosts: undefined, startTimeoutMs: () => hourMs },
      now: () => new Date(),
      log: silentLog,
      metrics: new Registry(),
      probe: async () => 'ready',
    })
    t.teardown(async () => {
      await hub.close()
      await store.close()
    })
    await hub.start()
    await hub.environments.launch(newRow({ id, userId: 'u', spawner: 'seldom', now: new Date() }), () => undefined)
    const state = async (): Promise<string | undefined> => (await hub.environments.get(id))?.state.is
    await hub.environments.reported(id, { ...report, application: 'ready' }, '127.0.0.1')
    await until('it is ready', async () => (await state()) === 'ready')

    restsUntil = Date.now() + hourMs
    await until('nobody looks any more', async () => {
      const before = looks
      await new Promise((resolve) => setTimeout(resolve, 700))
      return looks === before
    })
    const before = looks
    await hub.environments.reported(id, { ...report, application: 'ready' }, '127.0.0.1')
    t.deepEqual([told, looks], [[], before], 'an ordinary report is no reason')

    observation = { phase: 'ended', reason: 'cancelled', message: 'It was cancelled.' }
    await leave(hub)
    await until('it has ended', async () => (await state()) === 'ended')
    t.deepEqual(told, [id])
  })
}
