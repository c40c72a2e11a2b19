/** The real hub before a real SLURM with 5,000 jobs of others: two minutes without slurmctld, then without slurmdbd. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { slurmMissing, type SlurmCluster } from '../clusters/slurm/cluster.ts'
import { available } from '../support/component.ts'
import type { Scientist } from '../support/scientist.ts'
import { startSlurmHub } from '../support/slurmHub.ts'
import { until } from '../support/until.ts'

const outageMs = 120_000
const foreignJobs = 5_000
const patience = { timeoutMs: 300_000, everyMs: 500 }

test('two minutes without slurmctld, and without slurmdbd, beside 5,000 foreign jobs: what ran runs, what was asked for comes, once', async (t) => {
  t.timeout(2_400_000)
  const missing = slurmMissing()
  if (!available(t, 'SLURM', missing === undefined, `${missing ?? ''}; see tests/setup/packages.ts`)) return
  const hub = await startSlurmHub(t)
  t.teardown(() => hub.close())
  const { cluster } = hub.site
  const [ada, marie] = [await hub.logIn('ada'), await hub.logIn('marie')]
  const is = async (who: Scientist, id: string, state: string): Promise<void> => {
    await until(`${id} is ${state}`, async () => (await who.state(id)) === state, patience)
  }
  const jobs = async (): Promise<string[]> =>
    (await cluster.run(['squeue', '-h', '-t', 'PD,R', '-o', '%A %j']))
      .split('\n')
      .filter((line) => line.includes(' hutch-'))
  // All of it beside the jobs of others, which wait and stay.
  await cluster.run(['scontrol', 'update', 'partitionname=short', 'state=down'])
  await fillQueue(cluster, 'emmy', foreignJobs)
  t.is((await cluster.run(['squeue', '-h', '-u', 'emmy', '-o', '%A'])).trim().split('\n').length, foreignJobs)

  const terminal = { profile: 'terminal', flavour: 'tight' }

  const running = await ada.launch(terminal)
  const ending = await marie.launch(terminal)
  await is(ada, running.id, 'ready')
  await is(marie, ending.id, 'ready')
  const [before] = (await jobs()).filter((line) => line.includes(running.id))

  await cluster.stop('slurmctld')
  const asked = await ada.launch(terminal)
  await marie.api('POST', `/environments/${ending.id}/stop`)
  for (const endsAt = Date.now() + outageMs; Date.now() < endsAt; await sleep(1_000)) {
    t.is(await ada.state(running.id), 'ready', 'what runs is not touched')
    t.not(await marie.state(ending.id), 'ended', 'and nothing ends that nobody has seen to end')
  }
  await cluster.start('slurmctld')
  await is(ada, asked.id, 'ready')
  await is(marie, ending.id, 'ended')
  const after = await jobs()
  t.deepEqual(
    after.filter((line) => line.includes(running.id)),
    [before],
  )
  t.is(after.filter((line) => line.includes(asked.id)).length, 1)
  t.is(after.length, 2)

  await cluster.stop('slurmdbd')
  const late = await marie.launch(terminal)
  await is(marie, late.id, 'ready')
  const [job = ''] = (await jobs()).find((line) => line.includes(asked.id))?.split(' ') ?? []
  await cluster.run(['scancel', job])
  for (const endsAt = Date.now() + outageMs; Date.now() < endsAt; await sleep(1_000)) {
    t.is(await ada.state(running.id), 'ready')
    t.not(await marie.state(late.id), 'ended')
  }
  await cluster.start('slurmdbd')
  await is(ada, asked.id, 'ended')
  t.is(await ada.state(running.id), 'ready')
  t.is(await marie.state(late.id), 'ready')
  t.false(/orphan/.test(hub.hutch.output()), 'nobody is taken for somebody else')
})

/** Jobs that wait, over slurmrestd: a process for each of so many would take many minutes. */
async function fillQueue(cluster: SlurmCluster, user: string, count: number): Promise<void> {
  const headers = {
    'Content-Type': 'application/json',
    'X-SLURM-USER-NAME': user,
    'X-SLURM-USER-TOKEN': await cluster.token(user),
  }
  const job = {
    partition: 'short',
    tasks: 1,
    memory_per_node: 10,
    current_working_directory: '/tmp',
    standard_output: '/dev/null',
    environment: { PATH: '/usr/bin:/bin' },
  }
  const body = JSON.stringify({ script: '#!/bin/sh\ntrue\n', job })
  let left = count
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const answer = await fetch(`${cluster.restUrl}/slurm/v0.0.38/job/submit`, { method: 'POST', headers, body })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`a job was not taken: ${answer.status} ${text.slice(0, 500)}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
}
