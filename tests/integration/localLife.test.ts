import { spawn } from 'node:child_process'
import { readFile, readdir, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { hasVariable, listProcesses, processInfo, readBootId, signal } from '../../spawners/local/processes.ts'
import { readLatest, type LocalRecord } from '../../spawners/local/record.ts'
import { available, program } from '../support/component.ts'
import { localSite, type LocalSite } from '../support/localSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const deadline = () => AbortSignal.timeout(60_000)

async function openSite(t: ExecutionContext): Promise<LocalSite | undefined> {
  if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return undefined
  const site = await localSite(await temporaryFolder(t))
  t.teardown(site.close)
  return site
}

test('what prints without end fills no disk, and its last lines are kept', async (t) => {
  const site = await openSite(t)
  if (!site) return
  const spawner = await site.open()
  const spec = site.spec(['print', String(200e6)])
  await spawner.ensure(spec, deadline())
  let most = 0
  const folder = join(site.stateFolder, spec.id)
  await until(
    'it has printed all',
    async () => {
      most = Math.max(most, await bytesIn(folder))
      return (await spawner.logs?.(spec.id, deadline()))?.endsWith('the last line\n')
    },
    { timeoutMs: 90_000, everyMs: 5 },
  )
  t.true(most < 5e6, `${most} bytes at most`)
  t.true(most > 1e6, 'it was looked at while it printed')
})

for (const when of ['as it begins', 'as it runs']) {
  test(`a keeper that is killed ${when}: that is told, and nothing is left`, async (t) => {
    const site = await openSite(t)
    if (!site) return
    const spawner = await site.open()
    const spec = site.spec(['run'])
    await spawner.ensure(spec, deadline())
    if (when === 'as it runs') await until('it runs', async () => spawner.logs?.(spec.id, deadline()))
    const { record } = await recordOf(site, spec.id)
    signal(record.keeper.pid, 'SIGKILL')
    await until('it has vanished', async () => {
      const observation = (await spawner.observe(deadline())).get(spec.id)?.observation
      return observation?.phase === 'ended' && observation.reason === 'vanished'
    })
    if (when === 'as it begins') await spawner.remove(spec.id, deadline())
    await until('nothing of it runs', async () => {
      const processes = (await listProcesses()).filter((info) => !info.isZombie)
      const mine = await Promise.all(processes.map(({ pid }) => hasVariable(pid, `HUTCH_ENVIRONMENT=${spec.id}`)))
      return !mine.includes(true)
    })
    t.pass()
  })
}

const strangers: readonly (readonly [string, (record: LocalRecord) => LocalRecord, string])[] = [
  [
    'another start time: its pid is somebody else now',
    (record) => ({ ...record, keeper: { ...record.keeper, startTime: '1' } }),
    'vanished',
  ],
  ['another boot', (record) => ({ ...record, keeper: { ...record.keeper, bootId: 'an earlier one' } }), 'nodeLost'],
]
for (const [title, changed, reason] of strangers) {
  test(`a record with ${title}: it has ended, and the stranger is left alone`, async (t) => {
    const site = await openSite(t)
    if (!site) return
    const stranger = spawn('sleep', ['600'], { stdio: 'ignore', detached: true })
    t.teardown(() => stranger.kill('SIGKILL'))
    const pid = stranger.pid ?? 0
    const spawner = await site.open()
    const spec = site.spec(['end', '0'])
    await spawner.ensure(spec, deadline())
    await until('it has ended', async () => {
      return (await spawner.observe(deadline())).get(spec.id)?.observation.phase === 'ended'
    })
    const { record, path, run } = await recordOf(site, spec.id)
    const startTime = (await processInfo(pid))?.startTime ?? ''
    await writeFile(
      path,
      JSON.stringify(changed({ ...record, keeper: { pid, startTime, bootId: await readBootId() } })),
    )
    await writeFile(join(run, 'running'), '')
    for (const name of await readdir(run)) if (name.startsWith('ended.')) await unlink(join(run, name))
    const observation = (await spawner.observe(deadline())).get(spec.id)?.observation
    t.like(observation, { phase: 'ended', reason })
    await spawner.remove(spec.id, deadline())
    await until('it is gone', async () => !(await spawner.observe(deadline())).has(spec.id))
    t.is((await processInfo(pid))?.isZombie, false, 'a stranger was killed')
  })
}

test('a record that can not be read is unknown, hides none of the others, and can be removed with what it kept', async (t) => {
  const site = await openSite(t)
  if (!site) return
  const spawner = await site.open()
  const [broken, whole] = [site.spec(['run']), site.spec(['run'])]
  for (const spec of [broken, whole]) await spawner.ensure(spec, deadline())
  const { record, path } = await recordOf(site, broken.id)
  await writeFile(path, '{"version":')
  const seen = await spawner.observe(deadline())
  t.is(seen.get(broken.id)?.observation.phase, 'unknown')
  t.is(seen.get(whole.id)?.observation.phase, 'running')
  await t.throwsAsync(spawner.ensure(broken, deadline()), { message: /can't be read/ })
  await spawner.remove(broken.id, deadline())
  t.false((await spawner.observe(deadline())).has(broken.id))
  const keeper = await processInfo(record.keeper.pid)
  t.true(keeper === undefined || keeper.isZombie)
})

test('a record is private and never changed', async (t) => {
  const site = await openSite(t)
  if (!site) return
  const spawner = await site.open()
  const spec = site.spec(['run'])
  await spawner.ensure(spec, deadline())
  const { path } = await recordOf(site, spec.id)
  const before = await readFile(path, 'utf8')
  t.is((await stat(path)).mode & 0o777, 0o600)
  t.is((await stat(join(site.stateFolder, spec.id))).mode & 0o777, 0o700)
  await spawner.extend?.(spec.id, new Date(), deadline())
  await spawner.ensure(spec, deadline())
  t.is(await readFile(path, 'utf8'), before)
})

test('check: says in a sentence what this machine can do, and what is free', async (t) => {
  const site = await openSite(t)
  if (!site) return
  const health = await (await site.open()).check?.(deadline())
  t.true(health?.ok)
  t.regex(health?.message ?? '', /^Environments run on this machine .* sandboxed by bubblewrap.*\.$/)
  t.true((health?.free?.memoryBytes ?? 0) > 2 ** 20)
})

async function recordOf(site: LocalSite, id: Parameters<typeof readLatest>[1]) {
  const latest = await readLatest(site.stateFolder, id)
  if (latest.is !== 'there') throw new Error(`there is no record of ${id}`)
  const { record, number } = latest
  return {
    record,
    path: join(site.stateFolder, id, `record.${number}`),
    run: join(site.stateFolder, id, record.run),
  }
}

async function bytesIn(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = files.map(async (file) => {
    return file.isFile()
      ? await stat(join(file.parentPath, file.name)).then(
          (info) => info.size,
          () => 0,
        )
      : 0
  })
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
