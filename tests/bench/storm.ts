/**
 * Launches per second and p99 with the instant fake backend, 64 in flight, through the proxy and the hub's API, each
 * followed on its waiting page's event stream; then a restart of the hub with 500 environments.
 * Beside JupyterHub 6.1.1: 26 launches/s, p99 4.1 s; 5.1 s to healthy.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FakeBackendProcess, spawnFakeBackend } from '../support/fakeBackendProcess.ts'
import { type RunningHutch, runHutch } from '../support/hutch.ts'
import { logInAs } from '../support/scientist.ts'
import { stormConfiguration } from '../support/stormConfiguration.ts'
import { until } from '../support/until.ts'
import { cpuMs, quantile, residentBytes, row } from './figures.ts'
import { createStormClient, type StormClient } from './storm-client.ts'

const environments = 500
const inFlight = 64
const idleMs = 30_000
const people = 3
/** A login may follow a dozen pages at once, and one that is left counts for a moment. */
const loginsEach = 3

export async function benchStorm(folder: string): Promise<void> {
  const backend = await spawnFakeBackend()
  // As often as real agents do.
  await backend.controls.behave({ reportEveryMs: 60_000 })
  const state = join(folder, 'storm')
  const args = ['--config', await stormConfiguration(folder, { url: backend.url, perUser: 2 * environments })]
  let hutch = await runHutch({ state, args })
  const port = Number(new URL(hutch.url).port)
  try {
    const clients = await logIn(hutch)
    await launches(clients, await processes(state, backend))
    await idle((await processes(state, backend)).hub)
    await hutch.kill()
    const startedAt = performance.now()
    hutch = await runHutch({ state, args, port })
    const loginMs = performance.now() - startedAt
    await until('home answers', async () => (await clients[0]?.ask('GET', '/hub/home'))?.status === 200)
    row(`hub restart with ${environments} environments`, { login_ms: loginMs, home_ms: performance.now() - startedAt })
    const known = await backend.controls.state()
    const count = (those: object): number => Object.keys(those).length
    row('after the restart', { in_the_backend: count(known.environments), removed: count(known.removed) })
    for (const client of clients) client.close()
  } finally {
    await hutch.stop()
    await backend.close()
  }
}

async function logIn(hutch: RunningHutch): Promise<StormClient[]> {
  const passwords = await hutch.passwords()
  const clients: StormClient[] = []
  for (const name of Object.keys(passwords).slice(0, people)) {
    for (let login = 0; login < loginsEach; login += 1) {
      const { jar } = await logInAs(hutch.url, name, passwords[name] ?? '')
      clients.push(createStormClient(hutch.url, jar.cookie('hutch-login') ?? ''))
    }
  }
  return clients
}

type Pids = Readonly<Record<'hub' | 'proxy' | 'backend' | 'client', number>>

async function processes(state: string, backend: FakeBackendProcess): Promise<Pids> {
  const proxy: { pid: number } = JSON.parse(await readFile(join(state, 'run', 'proxy-process.json'), 'utf8'))
  const hub = Number(await readFile(join(state, 'run', 'hub.pid'), 'utf8'))
  return { hub, proxy: proxy.pid, backend: backend.pid, client: process.pid }
}

async function launches(clients: readonly StormClient[], pids: Pids): Promise<void> {
  const took: number[] = []
  const others: number[] = []
  const [other] = clients
  if (other === undefined) throw new Error('nobody is logged in')
  const cpuBefore = await cpuOf(pids)
  const startedAt = performance.now()
  let next = 0
  const over = new AbortController()
  const watching = (async () => {
    while (!over.signal.aborted) {
      const askedAt = performance.now()
      await other.ask('GET', '/hub/api/v1/offers')
      others.push(performance.now() - askedAt)
      await sleep(20)
    }
  })()
  const worker = async (_: unknown, index: number): Promise<void> => {
    const client = clients[index % clients.length] ?? other
    while (next < environments) {
      next += 1
      const clickedAt = performance.now()
      await client.launch({ profile: 'fake', flavour: 'small', proposals: [] })
      took.push(performance.now() - clickedAt)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  const seconds = (performance.now() - startedAt) / 1000
  over.abort()
  await watching
  const cpu = await cpuOf(pids)
  const each = (name: keyof Pids): number => (cpu[name] - cpuBefore[name]) / environments
  row('launches, 64 in flight', {
    per_second: environments / seconds,
    p50_ms: quantile(took, 0.5),
    p99_ms: quantile(took, 0.99),
    hub_cpu_ms_each: each('hub'),
    proxy_cpu_ms_each: each('proxy'),
    backend_cpu_ms_each: each('backend'),
    client_cpu_ms_each: each('client'),
  })
  row('another GET during the storm', { p50_ms: quantile(others, 0.5), p99_ms: quantile(others, 0.99) })
}

async function cpuOf({ hub, proxy, backend, client }: Pids): Promise<Pids> {
  return {
    hub: await cpuMs(hub),
    proxy: await cpuMs(proxy),
    backend: await cpuMs(backend),
    client: await cpuMs(client),
  }
}

async function idle(hub: number): Promise<void> {
  await sleep(2_000)
  const before = await cpuMs(hub)
  await sleep(idleMs)
  row(`idle with ${environments} environments`, {
    cpu_percent: (((await cpuMs(hub)) - before) / idleMs) * 100,
    hub_MB: (await residentBytes(hub)) / 1e6,
  })
}
