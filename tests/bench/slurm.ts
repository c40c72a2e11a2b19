/** SLURM: what a full queue costs. Goal: one look at a time, however many start. */
import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { environmentId } from '../../spawners/common/environmentId.ts'
import type { SlurmProfile } from '../../spawners/slurm/config.ts'
import type { Spawner } from '../../spawners/spawner.ts'
import { slurmSpec, startSlurmSite, type SlurmSite } from '../support/slurmSite.ts'
import { median, row } from './figures.ts'

const newId = environmentId(randomBytes)

export async function benchSlurmQueue(): Promise<void> {
  const site = await startSlurmSite({ minJobAgeSeconds: 300 })
  try {
    await benchQueue(site)
  } finally {
    await site.close()
  }
}

const [ownJobs, foreignJobs, startingJobs] = [1_000, 5_000, 50]

/** 1,000 jobs of ours and 5,000 of others in the queue; then 50 of ours start. */
async function benchQueue(site: SlurmSite): Promise<void> {
  const { cluster } = site
  // Jobs of one user each would be refused beyond a number that SLURM has by itself.
  await cluster.run(['scontrol', 'update', 'partitionname=short', 'state=down'])
  const spawner = await site.open('bench', {}, {})
  const counted = await countedCalls(site)
  // As a site has it.
  const busy = await site.open('bench', { endpoint: counted.url, interval: '5s' }, {})
  await fillQueue(site, foreignJobs)
  const launch = (partition: string): Promise<void> =>
    spawner.ensure(
      slurmSpec(site, 'ada', { id: newId(), hub: 'bench', profile: { partition }, variables: { HUTCH_TEST: 'run' } }),
      AbortSignal.timeout(60_000),
    )
  for (let done = 0; done < ownJobs; done += 25) await Promise.all(Array.from({ length: 25 }, () => launch('short')))

  await benchLooks('slurmrestd', busy, () => counted.largestBytes())
  counted.reset()
  await looksForAMinute(busy)
  row('calls in a minute at rest', { looks: counted.calls() })

  counted.reset()
  const starting = Promise.all(Array.from({ length: startingJobs }, () => launch('main')))
  // The hub's own: each job that starts says so, and wakes it.
  await looksForAMinute(busy, 5_000)
  await starting
  row(`calls in a minute while ${startingJobs} start`, {
    looks: counted.calls(),
    submits: startingJobs,
    batchspawner_would: startingJobs * 2 * 60,
  })
  await spawner.close?.()
  await busy.close?.()
  counted.close()
}

async function benchLooks(by: string, spawner: Spawner<SlurmProfile>, largestBytes: () => number): Promise<void> {
  const [took, cpu, pauses]: [number[], number[], number[]] = [[], [], []]
  for (let look = 0; look < 5; look += 1) {
    await sleep(Math.max(0, (spawner.observeNotBefore?.() ?? 0) - Date.now()))
    const delays = monitorEventLoopDelay({ resolution: 5 })
    delays.enable()
    const [startedAt, before] = [performance.now(), process.cpuUsage()]
    const found = await spawner.observe(AbortSignal.timeout(60_000))
    took.push(performance.now() - startedAt)
    const { user, system } = process.cpuUsage(before)
    cpu.push((user + system) / 1_000)
    delays.disable()
    pauses.push(delays.max / 1e6)
    if (found.size !== ownJobs) throw new Error(`${found.size} of ${ownJobs} were seen`)
  }
  row(`one look at ${ownJobs} own and ${foreignJobs} foreign jobs, by ${by}`, {
    ms: median(took),
    cpu_ms: median(cpu),
    megabytes: largestBytes() / 1e6,
    longest_pause_ms: Math.max(...pauses),
  })
}

/** As the hub's loop does: when the spawner welcomes it. */
async function looksForAMinute(spawner: Spawner<SlurmProfile>, leastMs = 0): Promise<void> {
  const endsAt = Date.now() + 60_000
  for (;;) {
    const waitMs = Math.max(leastMs, (spawner.observeNotBefore?.() ?? 0) - Date.now())
    if (Date.now() + waitMs > endsAt) return await sleep(endsAt - Date.now())
    await sleep(waitMs)
    await spawner.observe(AbortSignal.timeout(60_000))
  }
}

/** By SLURM's own command, in one shell: 5,000 REST calls would take as long. */
async function fillQueue({ cluster }: SlurmSite, count: number): Promise<void> {
  const script = `seq ${count} | xargs -P4 -I_ sbatch -Q -p short --mem=10M -D /tmp -o /dev/null --wrap=true`
  for (let done = 0; done < count; done += 500) {
    await cluster.run(['bash', '-c', script.replace(String(count), '500')], 'marie')
  }
}

interface Counted {
  readonly url: string
  calls(): number
  largestBytes(): number
  reset(): void
  close(): void
}

/** Passes requests on to slurmrestd, and counts them. */
async function countedCalls({ cluster }: SlurmSite): Promise<Counted> {
  const { createServer } = await import('node:http')
  let calls = 0
  let largest = 0
  const server = createServer((incoming, outgoing) => {
    calls += 1
    const { hostname, port } = new URL(cluster.restUrl)
    const { method, url: path, headers } = incoming
    const passing = request({ hostname, port, method, path, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      let bytes = 0
      answer.on('data', (data: Buffer) => (bytes += data.length))
      answer.on('end', () => (largest = Math.max(largest, bytes)))
      answer.pipe(outgoing)
    })
    passing.on('error', () => outgoing.destroy())
    incoming.pipe(passing)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    calls: () => calls,
    largestBytes: () => largest,
    reset: () => void (calls = 0),
    close: () => server.close(),
  }
}
