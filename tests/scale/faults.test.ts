/** The real hub with five hundred environments: long outages, and deaths amid launches. None is lost, stopped or orphaned. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { createStormClient, type StormClient } from '../bench/storm-client.ts'
import { stormConfiguration } from '../support/stormConfiguration.ts'
import { type FakeBackendProcess, spawnFakeBackend } from '../support/fakeBackendProcess.ts'
import { freePort, type RunningHutch, runHutch } from '../support/hutch.ts'
import { logInAs } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const many = 500
const atOnce = 32
const patience = { timeoutMs: 300_000, everyMs: 500 }

interface Row {
  readonly id: string
  readonly wanted: string
  readonly ready_at: number | null
  readonly ended_at: number | null
  readonly unreachable_since: number | null
}

interface Scene {
  readonly backend: FakeBackendProcess
  readonly clients: readonly StormClient[]
  hub: RunningHutch
  /** kill -9, and another one. */
  readonly restart: (meanwhile?: () => Promise<unknown>) => Promise<void>
  readonly rows: () => readonly Row[]
}

async function scene(t: ExecutionContext): Promise<Scene> {
  t.timeout(1_800_000)
  const folder = await temporaryFolder(t)
  const backend = await spawnFakeBackend()
  t.teardown(() => backend.close())
  const state = join(folder, 'state')
  const options = {
    state,
    port: await freePort(),
    args: ['--config', await stormConfiguration(folder, { url: backend.url, perUser: 2 * many })],
  }
  const clients: StormClient[] = []
  const made: Scene = {
    backend,
    clients,
    hub: await runHutch(options),
    async restart(meanwhile) {
      await made.hub.kill()
      await meanwhile?.()
      made.hub = await runHutch(options)
    },
    rows() {
      const database = new DatabaseSync(join(state, 'hutch.sqlite'), { readOnly: true })
      const rows = database
        .prepare('select id, wanted, ready_at, ended_at, unreachable_since from environments')
        .all() as unknown as Row[]
      database.close()
      return rows
    },
  }
  t.teardown(() => made.hub.stop())
  for (const [name, password] of Object.entries(await made.hub.passwords())) {
    const { jar } = await logInAs(made.hub.url, name, password)
    clients.push(createStormClient(made.hub.url, jar.cookie('hutch-login') ?? ''))
  }
  t.teardown(() => clients.forEach((client) => client.close()))
  return made
}

/** The ids of the launches that were answered; `over`: no more of them. */
async function launch(scene: Scene, count: number, answered: Set<string>, over?: AbortSignal): Promise<void> {
  let next = 0
  const worker = async (_: unknown, index: number): Promise<void> => {
    const client = scene.clients[index % scene.clients.length]
    if (client === undefined) return
    while (next < count) {
      if (over?.aborted === true) return
      next += 1
      const choices = { profile: 'fake', flavour: 'small', proposals: [] }
      // A hub that dies meanwhile answers nothing, or its proxy says that it is away.
      const answer = await client.ask('POST', '/hub/api/v1/environments', choices).catch(() => undefined)
      if (answer?.status !== 201) continue
      const { id }: { id: string } = JSON.parse(answer.text)
      answered.add(id)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

const isWell = (row: Row): boolean =>
  row.wanted === 'present' && row.ended_at === null && row.ready_at !== null && row.unreachable_since === null

/** Each row is there and ready, the backend has those and no other, and none was ever removed. Returns a figure. */
async function noneLost(
  t: ExecutionContext,
  { backend, rows }: Scene,
  answered: ReadonlySet<string>,
): Promise<{ environments: number; repeated: number }> {
  const { environments, removed, ensured } = await backend.controls.state()
  const known = rows()
  const ids = known.map(({ id }) => id).toSorted()
  t.deepEqual(Object.keys(environments).toSorted(), ids, 'no orphan, none lost')
  t.deepEqual(
    [...answered].filter((id) => !ids.includes(id)),
    [],
    'what was answered is in the store',
  )
  t.deepEqual(removed, {}, 'none was stopped')
  t.deepEqual(
    known.filter(({ ended_at, wanted }) => ended_at !== null || wanted !== 'present'),
    [],
    'none was ended',
  )
  return { environments: ids.length, repeated: Object.values(ensured).filter((times) => times > 1).length }
}

test.serial('a hub that restarts while the backend is silent for 30 s, then environments for 40 s', async (t) => {
  const it = await scene(t)
  const answered = new Set<string>()
  await launch(it, many, answered)
  t.is(answered.size, many)
  await until('all are ready', () => it.rows().filter(isWell).length === many, patience)

  await it.restart(() => it.backend.controls.behave({ silentForMs: 30_000 }))
  const silentUntil = performance.now() + 31_000
  while (performance.now() < silentUntil) {
    t.is(it.rows().filter(({ ended_at }) => ended_at === null).length, many)
    await sleep(2_000)
  }
  const afterSilence = await noneLost(t, it, answered)
  t.is(afterSilence.repeated, 0, 'none was launched twice')

  await it.restart(() => it.backend.controls.behave({ agentsSilentForMs: 40_000, reports: false }))
  await sleep(42_000)
  await it.backend.controls.behave({ reports: true })
  await until('all are well again', () => it.rows().filter(isWell).length === many, patience)
  const afterAgents = await noneLost(t, it, answered)
  t.is(afterAgents.repeated, 0, 'none was launched twice')
  t.log({ afterSilence, afterAgents })
})

test.serial('kill -9 amid launches, six times', async (t) => {
  const it = await scene(t)
  const answered = new Set<string>()
  for (let life = 0; life < 6; life += 1) {
    const death = new AbortController()
    const goal = answered.size + 20 + life * 10
    const launching = launch(it, many, answered, death.signal)
    await until('launches are under way', () => answered.size >= goal, { ...patience, everyMs: 5 })
    await it.restart(() => {
      death.abort()
      return launching
    })
  }
  await until('every row is ready', () => it.rows().every(isWell), patience)
  const figures = await noneLost(t, it, answered)
  t.log({ ...figures, answered: answered.size })
})
