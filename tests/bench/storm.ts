/**
 * Launches per second and p99 with instant fake servers, 64 in flight, each by another person, through the proxy and
 * the hub's API; what the hub costs at rest, and how long it is away when it restarts. Ours beside JupyterHub, in one
 * run and alike: separate proxy, SQLite, the hub alone on one core. Ours is followed on the waiting page's event
 * stream and speaks TLS with each environment's agent; JupyterHub's answer to the POST tells that it is ready.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { moveTo, otherCore } from './cores.ts'
import { cpuMs, quantile, residentBytes, row } from './figures.ts'
import { stormHutch } from './storm-hutch.ts'
import { stormJupyterHub } from './storm-jupyterhub.ts'

/** What takes a storm. Numbers name people: each launches once. */
export interface StormSubject {
  readonly name: string
  /** The hub is measured; the others only told. */
  pids(): Promise<Readonly<Record<string, number>> & { readonly hub: number }>
  /** Returns when it is ready. */
  launch(person: number): Promise<void>
  /** What somebody else does meanwhile. */
  other(): Promise<void>
  /** kill -9, and another: ms until it answers a person. */
  restart(): Promise<number>
  close(): Promise<void>
}

const environments = 500
/** What they are launched by: rounds of the storm, and people who only are there. */
const people = 2_000
const inFlight = 64
const idleMs = 30_000

export async function benchStorm(folder: string): Promise<void> {
  moveTo(otherCore, process.pid)
  for (const start of [stormHutch, stormJupyterHub]) {
    const subject = await start(folder, people)
    if (subject === undefined) continue
    try {
      await storm(subject)
    } finally {
      await subject.close()
    }
  }
}

async function storm(subject: StormSubject): Promise<void> {
  const { name } = subject
  await launches(subject, 0, 'just started')
  await idle(subject, environments)
  await launches(subject, environments, 'as it runs')
  await idle(subject, 2 * environments)
  row(`${name}: restart with ${2 * environments}`, { until_it_answers_ms: await subject.restart() })
}

async function launches(subject: StormSubject, first: number, when: string): Promise<void> {
  const took: number[] = []
  const others: number[] = []
  let refused = 0
  const cpuBefore = await cpuOf(subject)
  const startedAt = performance.now()
  const over = new AbortController()
  const watching = (async () => {
    while (!over.signal.aborted) {
      const askedAt = performance.now()
      await subject.other().catch(() => (refused += 1))
      others.push(performance.now() - askedAt)
      await sleep(20)
    }
  })()
  let next = first
  const worker = async (): Promise<void> => {
    while (next < first + environments) {
      const person = next
      next += 1
      const clickedAt = performance.now()
      await subject.launch(person)
      took.push(performance.now() - clickedAt)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  const seconds = (performance.now() - startedAt) / 1000
  over.abort()
  await watching
  const cpu = await cpuOf(subject)
  const each = Object.entries(cpu).map(([process, ms]) => [
    `${process}_cpu_ms_each`,
    (ms - (cpuBefore[process] ?? 0)) / environments,
  ])
  row(`${subject.name}: ${inFlight} launches in flight, ${when}`, {
    per_second: environments / seconds,
    p50_ms: quantile(took, 0.5),
    p99_ms: quantile(took, 0.99),
    ...Object.fromEntries(each),
  })
  row('  another GET meanwhile', { p50_ms: quantile(others, 0.5), p99_ms: quantile(others, 0.99), refused })
}

async function cpuOf(subject: StormSubject): Promise<Readonly<Record<string, number>>> {
  const pids = Object.entries({ ...(await subject.pids()), client: process.pid })
  return Object.fromEntries(await Promise.all(pids.map(async ([name, pid]) => [name, await cpuMs(pid)] as const)))
}

async function idle(subject: StormSubject, count: number): Promise<void> {
  const { hub } = await subject.pids()
  // What the storm left behind is collected meanwhile.
  await sleep(20_000)
  const before = await cpuMs(hub)
  await sleep(idleMs)
  row(`${subject.name}: at rest, ${count} environments`, {
    cpu_percent: (((await cpuMs(hub)) - before) / idleMs) * 100,
    resident_MiB: (await residentBytes(hub)) / 2 ** 20,
  })
}
