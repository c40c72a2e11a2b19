/** Five thousand pods on simulated nodes: what they cost the hub and the API server, at rest and after a restart. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { cpuMs, residentBytes } from '../bench/figures.ts'
import { startManyPods, type ManyPods } from '../support/kubernetesMany.ts'
import { until } from '../support/until.ts'

const many = Number(process.env['HUTCH_MANY'] ?? 5_000)
const atOnce = 32
const restMs = 120_000
const mostTries = 120
const patience = { timeoutMs: 1_200_000, everyMs: 500 }

test('five thousand pods: none is lost, the API server is left alone, the next hub knows them all', async (t) => {
  t.timeout(60 * 60_000, 'the first run builds kwok')
  const it = await startManyPods(t, many)
  if (it === undefined) return
  const pid = await it.hubPid()
  const emptyBytes = await residentBytes(pid)
  const [cpuBefore, startedAt] = [await cpuMs(pid), performance.now()]
  await launch(it)
  const reached = async (stage: string): Promise<boolean> =>
    (await it.metric(`hutch_launch_seconds_count{stage="${stage}",spawner="cluster"}`)) >= many
  await until('all are pods', () => reached('accepted'), patience)
  const launchedMs = performance.now() - startedAt
  const launchCpuMs = (await cpuMs(pid)) - cpuBefore
  await until('all run', () => reached('running'), patience)
  await sleep(30_000)
  const fullBytes = await residentBytes(pid)

  it.faults.asked()
  const cpuAtRest = await cpuMs(pid)
  await sleep(restMs)
  const asked = it.faults.asked()
  const restCpu = ((await cpuMs(pid)) - cpuAtRest) / restMs
  const perMinute = (asked.length / restMs) * 60_000
  const knowsMs = await it.restart()
  t.is(await it.metric('hutch_environments{spawner="cluster",state="starting"}'), many)
  t.false((await it.metric('hutch_orphans{spawner="cluster"}')) > 0)
  t.true(perMinute < 10, `${perMinute} requests a minute at rest: ${asked.map(({ path }) => path).join(' ')}`)
  t.log(
    `${many} launches in ${(launchedMs / 1_000).toFixed(0)} s: ${((many / launchedMs) * 1_000).toFixed(0)} a second`,
  )
  t.log(`CPU of the hub for each: ${(launchCpuMs / many).toFixed(2)} ms`)
  t.log(`memory for each: ${((fullBytes - emptyBytes) / many / 1_024).toFixed(1)} KiB (${fullBytes >> 20} MiB in all)`)
  t.log(`at rest: ${(restCpu * 100).toFixed(2)} % of a core, ${perMinute.toFixed(1)} requests a minute`)
  t.log(`restart to full knowledge: ${(knowsMs / 1_000).toFixed(2)} s`)
})

async function launch({ clients }: ManyPods): Promise<void> {
  let next = 0
  const worker = async (_: unknown, index: number): Promise<void> => {
    const client = clients[index % clients.length]
    if (client === undefined) return
    while (next < many) {
      next += 1
      const choices = { profile: 'simulated', flavour: 'small', proposals: [] }
      for (let tries = 1; ; tries += 1) {
        const { status, text } = await client.ask('POST', '/hub/api/v1/environments', choices)
        if (status === 201) break
        // An API server on a busy machine is slow to say how it is: whoever is asked to try again does.
        if (status !== 503 || tries === mostTries) throw new Error(`a launch was answered with ${status}: ${text}`)
        await sleep(1_000)
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
