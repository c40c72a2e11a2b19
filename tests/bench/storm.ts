/**
 * Launches per second and p99 with the instant fake backend, 64 in flight, through the proxy and the hub's API; then
 * a restart of the hub with 500 environments. Beside JupyterHub 6.1.1: 26 launches/s, p99 4.1 s; 5.1 s to healthy.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startFakeBackend } from '../support/fakeBackend.ts'
import { runHutch } from '../support/hutch.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { until } from '../support/until.ts'
import { cpuMs, quantile, residentBytes, row } from './figures.ts'

const environments = 500
const inFlight = 64
const idleMs = 30_000

export async function benchStorm(folder: string): Promise<void> {
  const backend = await startFakeBackend()
  const state = join(folder, 'storm')
  const args = ['--config', await configuration(folder, backend.url)]
  let hutch = await runHutch({ state, args })
  const port = Number(new URL(hutch.url).port)
  try {
    const scientist = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
    await launches(scientist, Number(await readFile(join(state, 'run', 'hub.pid'), 'utf8')))
    await idle(Number(await readFile(join(state, 'run', 'hub.pid'), 'utf8')))
    await hutch.kill()
    const startedAt = performance.now()
    hutch = await runHutch({ state, args, port })
    const loginMs = performance.now() - startedAt
    await until('home answers', async () => (await scientist.jar.ask(`${hutch.url}/hub/home`)).status === 200)
    row(`hub restart with ${environments} environments`, { login_ms: loginMs, home_ms: performance.now() - startedAt })
    const known = Object.keys(backend.state().environments).length
    row('after the restart', { in_the_backend: known, removed: Object.keys(backend.state().removed).length })
  } finally {
    await hutch.kill()
    await backend.close()
  }
}

async function launches(scientist: Scientist, hub: number): Promise<void> {
  const took: number[] = []
  const others: number[] = []
  const cpuBefore = await cpuMs(hub)
  const startedAt = performance.now()
  let next = 0
  let busy = true
  const watching = (async () => {
    while (busy) {
      const askedAt = performance.now()
      await scientist.api('GET', '/offers')
      others.push(performance.now() - askedAt)
      await sleep(20)
    }
  })()
  const worker = async (): Promise<void> => {
    while (next < environments) {
      next += 1
      const clickedAt = performance.now()
      const { id } = await scientist.launch({ profile: 'fake', flavour: 'small' })
      await until('it is ready', async () => (await scientist.state(id)) === 'ready', {
        timeoutMs: 120_000,
        everyMs: 25,
      })
      took.push(performance.now() - clickedAt)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  const seconds = (performance.now() - startedAt) / 1000
  busy = false
  await watching
  row('launches, 64 in flight', {
    per_second: environments / seconds,
    p50_ms: quantile(took, 0.5),
    p99_ms: quantile(took, 0.99),
    hub_cpu_ms_each: ((await cpuMs(hub)) - cpuBefore) / environments,
  })
  row('another GET during the storm', { p50_ms: quantile(others, 0.5), p99_ms: quantile(others, 0.99) })
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

async function configuration(folder: string, url: string): Promise<string> {
  const file = join(folder, 'storm.json')
  const content = {
    hub: { id: 'storm' },
    login: { demo: true },
    environments: { perUser: 2 * environments, outliveHub: true },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: { fake: { type: fileURLToPath(new URL('../support/fakeSpawner.ts', import.meta.url)), url } },
    profiles: { fake: { title: 'Fake', kind: 'terminal', flavours: ['small'], on: { fake: {} } } },
  }
  await writeFile(file, JSON.stringify(content))
  return file
}
