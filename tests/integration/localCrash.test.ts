import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import { available, program } from '../support/component.ts'
import type { CrashTask } from '../support/localCrash.ts'
import { countKeepers, localSite, type LocalSite } from '../support/localSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const script = join(import.meta.dirname, '../support/localCrash.ts')
const deadline = () => AbortSignal.timeout(60_000)
/** More than there are; a test ends with the first that is not reached. */
const mostSteps = 80

async function crashSite(t: ExecutionContext): Promise<LocalSite | undefined> {
  if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return undefined
  const site = await localSite(await temporaryFolder(t))
  t.teardown(site.close)
  return site
}

test.serial('ensure, killed before each of its effects: asked again, it is there once', async (t) => {
  const site = await crashSite(t)
  if (!site) return
  const specs = []
  for (let hasCrashed = true; hasCrashed && specs.length < mostSteps;) {
    const spec = site.spec(['run'])
    specs.push(spec)
    hasCrashed = await crash(site, { call: 'ensure', spec }, specs.length)
  }
  t.log(`${specs.length - 1} crashes`)
  t.true(specs.length > 12 && specs.length < mostSteps)

  const spawner = await site.open()
  await until('no keeper waits any longer for its word', async () => {
    const seen = await spawner.observe(deadline())
    return [...seen.values()].every(({ observation }) => observation.phase === 'running')
  })
  for (const [index, spec] of specs.entries()) {
    const after = `after step ${index + 1}`
    await spawner.ensure(spec, deadline())
    await until(`it runs, once, ${after}`, async () => {
      const found = (await spawner.observe(deadline())).get(spec.id)
      return (
        found?.observation.phase === 'running' && found.digest === spec.digest && (await countKeepers(spec.id)) === 1
      )
    })
    await spawner.remove(spec.id, deadline())
    await until(`nothing is left ${after}`, async () => {
      return !(await spawner.observe(deadline())).has(spec.id) && (await countKeepers(spec.id)) === 0
    })
  }
  t.deepEqual(await readdir(site.stateFolder), [])
  await spawner.close?.()
})

test.serial('remove, killed before each of its effects: the next hub ends it, and nothing is left', async (t) => {
  const site = await crashSite(t)
  if (!site) return
  let crashes = 0
  for (let step = 1; step < mostSteps; step += 1) {
    const spec = site.spec(['run'])
    const before = await site.open()
    await before.ensure(spec, deadline())
    await before.close?.()
    const hasCrashed = await crash(site, { call: 'remove', spec }, step)
    const spawner = await site.open()
    // What was accepted is gone on with; what was not is asked for again.
    const phase = (await spawner.observe(deadline())).get(spec.id)?.observation.phase
    if (phase !== 'stopping') await spawner.remove(spec.id, deadline())
    await until(`nothing is left after step ${step}`, async () => {
      return !(await spawner.observe(deadline())).has(spec.id) && (await countKeepers(spec.id)) === 0
    })
    await spawner.close?.()
    if (!hasCrashed) break
    crashes += 1
  }
  t.log(`${crashes} crashes`)
  t.true(crashes >= 3 && crashes < mostSteps - 1)
})

test.serial('ensure by several hubs at the same moment is once', async (t) => {
  const site = await crashSite(t)
  if (!site) return
  const spec = site.spec(['run'])
  const crashed = await Promise.all([1, 2, 3].map(() => crash(site, { call: 'ensure', spec }, 0)))
  t.deepEqual(crashed, [false, false, false])
  await until('it is there once', async () => (await countKeepers(spec.id)) === 1)
})

/** False: there was no such step, and the call came through. */
async function crash(site: LocalSite, part: Pick<CrashTask, 'call' | 'spec'>, step: number): Promise<boolean> {
  const { agent } = site.context('tested')
  const task: CrashTask = { ...part, config: site.config(), stateFolder: site.stateFolder, agent }
  const child = spawn(process.execPath, [script, String(step)], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(JSON.stringify(task))
  const [said] = await Promise.all([text(child.stdout), new Promise((resolve) => child.once('close', resolve))])
  if (said !== 'done\n' && child.signalCode !== 'SIGKILL') throw new Error(`it ended with ${child.exitCode}`)
  return said !== 'done\n'
}
