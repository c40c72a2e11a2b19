/**
 * The proxy beside configurable-http-proxy and haproxy, in one run, admission switched on: medians of interleaved
 * rounds. The measured process has one core; what asks and what answers share the other.
 * `node tests/bench/proxy.ts [rounds] [subject or scenario …]`; nginx, the access log and CHP's mode when named.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { agentKey } from '../../images/agent/link.ts'
import { cpuMs, median, residentBytes, row } from './figures.ts'
import { printTable } from './proxy-goals.ts'
import type { Command, Measured } from './proxy-load.ts'
import { compatible, haproxy, hutch, nginx, type Subject } from './proxy-subjects.ts'

interface Load {
  do(command: Command): Promise<Measured>
  end(): void
}

const transferBytes = 2 ** 29
const measureMs = 1_500
const manyRoutes = 50_000
/** Measured when nobody names any. */
const usual: ReadonlySet<string> = new Set(['chp', 'haproxy', 'hutch', 'hutch to agents (PSK)'])

export async function benchProxy(rounds: number, only: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'hutch-bench-'))
  const server = startLoad()
  const clients = startLoad()
  try {
    const { port: plain = 0 } = await server.do({ do: 'serve' })
    const psk = async (key: Buffer): Promise<{ kind: 'psk'; host: string; port: number; identity: string }> => {
      const { port = 0 } = await server.do({ do: 'serve', pskKey: agentKey(key, 'e1').toString('base64url') })
      return { kind: 'psk', host: '127.0.0.1', port, identity: 'e1' }
    }
    const target = async (): Promise<{ kind: 'http'; url: string }> => ({
      kind: 'http',
      url: `http://127.0.0.1:${plain}`,
    })
    const subjects: Readonly<Record<string, () => Promise<Subject | undefined>>> = {
      nginx: () => nginx(folder, plain),
      haproxy: () => haproxy(folder, plain),
      chp: () => compatible('chp', plain),
      hutch: () => hutch(folder, { name: 'hutch', target }),
      'hutch with access log': () => hutch(folder, { name: 'hutch with access log', target, access: true }),
      'hutch to agents (PSK)': () => hutch(folder, { name: 'hutch to agents (PSK)', target: psk }),
      'hutch as chp': () => compatible('hutch as chp', plain),
    }
    const figures = new Map<string, Map<string, number[]>>()
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, start] of Object.entries(subjects)) {
        const named = only.some((word) => word in subjects)
        if (named ? !only.includes(name) : !usual.has(name)) continue
        const subject = await start()
        if (subject === undefined) continue
        try {
          const found = await measure(
            subject,
            { clients, server, round },
            only.filter((word) => word in scenarios),
          )
          const known = figures.get(name) ?? new Map<string, number[]>()
          for (const [title, value] of Object.entries(found)) known.set(title, [...(known.get(title) ?? []), value])
          figures.set(name, known)
        } finally {
          await subject.stop()
        }
      }
    }
    printTable(
      new Map(
        [...figures].map(([name, all]) => [name, new Map([...all].map(([title, each]) => [title, median(each)]))]),
      ),
    )
    if (only.length === 0 || only.includes('extras')) await extras(folder, clients, target, plain)
  } finally {
    server.end()
    clients.end()
    await rm(folder, { recursive: true, force: true })
  }
}

const scenarios: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  requests,
  transfers,
  websockets,
  readers,
  routes,
}

interface Bench {
  readonly subject: Subject
  readonly clients: Load
  readonly server: Load
  readonly round: number
  readonly figures: Record<string, number>
  readonly head: (method: string, path: string, more?: string) => string
  readonly cpu: () => Promise<number>
  readonly resident: () => Promise<number>
}

async function measure(
  subject: Subject,
  ends: Pick<Bench, 'clients' | 'server' | 'round'>,
  wanted: readonly string[],
): Promise<Record<string, number>> {
  const bench: Bench = {
    subject,
    ...ends,
    figures: {},
    head: (method, path, more = '') =>
      `${method} /user/alice/e1/${path} HTTP/1.1\r\nHost: 127.0.0.1:${subject.port}\r\n` +
      `User-Agent: bench\r\nAccept: */*\r\n${more}${subject.fields}\r\n`,
    cpu: async () => await total(subject, cpuMs),
    resident: async () => await total(subject, residentBytes),
  }
  for (const [name, run] of Object.entries(scenarios)) {
    if (wanted.length === 0 || wanted.includes(name)) await run(bench)
  }
  return bench.figures
}

async function requests({ subject: { port }, clients, figures, head, cpu, resident }: Bench): Promise<void> {
  const text = head('GET', 'api')
  await clients.do({ do: 'requests', port, head: text, connections: 32, ms: 1_000 })
  for (const connections of [1, 32, 256]) {
    // Its connections to the server are open then: what is measured is how it goes on.
    await clients.do({ do: 'requests', port, head: text, connections, ms: 500 })
    const before = await cpu()
    const measured = await clients.do({ do: 'requests', port, head: text, connections, ms: measureMs })
    const { count = 0, seconds = 1, p99Ms = 0 } = measured
    figures[`small GET, c=${connections}: per second`] = count / seconds
    figures[`small GET, c=${connections}: p99 ms`] = p99Ms
    figures[`small GET, c=${connections}: CPU µs each`] = (((await cpu()) - before) * 1_000) / count
    figures[`small GET, c=${connections}: resident MiB`] = (await resident()) / 2 ** 20
  }
}

async function transfers({ subject: { port }, clients, figures, head, cpu, resident }: Bench): Promise<void> {
  for (const kind of ['download', 'upload'] as const) {
    const text =
      kind === 'download'
        ? head('GET', `down/${transferBytes}`)
        : head('PUT', 'up', `Content-Length: ${transferBytes}\r\n`)
    let peak = 0
    const watching = setInterval(() => void resident().then((bytes) => (peak = Math.max(peak, bytes))), 50)
    const before = await cpu()
    const { seconds = 1 } = await clients.do({ do: kind, port, head: text, bytes: transferBytes })
    clearInterval(watching)
    figures[`${kind}: MB/s`] = transferBytes / 1e6 / seconds
    figures[`${kind}: CPU s per GB`] = ((await cpu()) - before) / 1_000 / (transferBytes / 1e9)
    figures[`${kind}: peak resident MiB`] = peak / 2 ** 20
  }
}

async function websockets({ subject: { port }, clients, figures, head, cpu, resident }: Bench): Promise<void> {
  const text = head('GET', 'ws', upgrade)
  const before = await cpu()
  const { count = 1 } = await clients.do({ do: 'echo', port, head: text, connections: 16, ms: measureMs })
  figures['WebSocket echo of 1 kB: CPU µs'] = (((await cpu()) - before) * 1_000) / count
  await sleep(500)
  const quiet = await resident()
  const { count: idle = 1 } = await clients.do({ do: 'open', port, head: text, connections: 2_000 })
  await sleep(500)
  figures['idle WebSocket: KiB each'] = ((await resident()) - quiet) / 1_024 / idle
  await clients.do({ do: 'close' })
  await sleep(3_000)
  figures['kept 3 s after they closed: MiB'] = ((await resident()) - quiet) / 2 ** 20
}

const upgrade =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

/** Once: where they leak, what is left must not be counted again. */
async function readers({ subject: { port, name }, clients, server, figures, head, round }: Bench): Promise<void> {
  if (round > 0 || name.includes('PSK')) return
  const { count: before = 0 } = await server.do({ do: 'streams' })
  await clients.do({ do: 'readers', port, head: head('GET', 'stream', upgrade), connections: 30 })
  const until = performance.now() + 10_000
  let left = 30
  while (left > 0 && performance.now() < until) {
    await sleep(200)
    left = ((await server.do({ do: 'streams' })).count ?? 0) - before
  }
  figures['30 readers left: connections behind after 10 s'] = left
}

async function routes({ subject: { addRoute }, figures }: Bench): Promise<void> {
  if (addRoute === undefined) return
  let index = 0
  const startedAt = performance.now()
  for (; index < 1_000; index += 1) await addRoute(index)
  figures['route add, one at a time: ms'] = (performance.now() - startedAt) / 1_000
  const together = performance.now()
  const add = async (): Promise<void> => {
    while (index < 4_000) await addRoute((index += 1))
  }
  await Promise.all(Array.from({ length: 50 }, add))
  figures['route add, 50 in flight: ms'] = (performance.now() - together) / 3_000
}

type TargetOf = Parameters<typeof hutch>[1]['target']

/** What has no peer: two workers, a large table, and what admission adds. */
async function extras(folder: string, clients: Load, target: TargetOf, plain: number): Promise<void> {
  const ask = async (subject: Subject, connections: number, ms = measureMs): Promise<Measured & { cpuUs: number }> => {
    const text = `GET /user/alice/e1/api HTTP/1.1\r\nHost: 127.0.0.1:${subject.port}\r\n${subject.fields}\r\n`
    await clients.do({ do: 'requests', port: subject.port, head: text, connections, ms: 500 })
    const before = await total(subject, cpuMs)
    const measured = await clients.do({ do: 'requests', port: subject.port, head: text, connections, ms })
    return { ...measured, cpuUs: (((await total(subject, cpuMs)) - before) * 1_000) / (measured.count ?? 1) }
  }
  const rate = ({ count = 0, seconds = 1 }: Measured): number => count / seconds
  for (const workers of [1, 2]) {
    const subject = await hutch(folder, { name: 'hutch', target, workers })
    const measured = await ask(subject, 64)
    row(`${workers} worker(s) on ${workers} core(s), c=64`, { per_second: rate(measured), cpu_us: measured.cpuUs })
    await subject.stop()
  }
  await large(await hutch(folder, { name: 'hutch', target }), ask)
  const admitting = await hutch(folder, { name: 'hutch', target })
  const open = await compatible('hutch as chp', plain)
  const added: Record<string, number[]> = {}
  for (let round = 0; round < 3; round += 1) {
    const [with1, without1] = [await ask(admitting, 1), await ask(open, 1)]
    const [with32, without32] = [await ask(admitting, 32), await ask(open, 32)]
    ;(added['p50_ms_c1'] ??= []).push((with1.p50Ms ?? 0) - (without1.p50Ms ?? 0))
    ;(added['cpu_us_c32'] ??= []).push(with32.cpuUs - without32.cpuUs)
  }
  row('admission adds', Object.fromEntries(Object.entries(added).map(([name, values]) => [name, median(values)])))
  await admitting.stop()
  await open.stop()
}

async function large(subject: Subject, ask: (subject: Subject, connections: number) => Promise<{ cpuUs: number }>) {
  const { cpuUs: before } = await ask(subject, 32)
  const quiet = await total(subject, residentBytes)
  const startedAt = performance.now()
  await subject.fill?.(manyRoutes)
  const tableMs = performance.now() - startedAt
  await sleep(3_000)
  const grownMiB = ((await total(subject, residentBytes)) - quiet) / 2 ** 20
  const { cpuUs } = await ask(subject, 32)
  row(`${manyRoutes} routes`, { table_ms: tableMs, grown_MiB: grownMiB, cpu_us_before: before, cpu_us: cpuUs })
  await subject.stop()
}

async function total(subject: Subject, of: (pid: number) => Promise<number>): Promise<number> {
  const all = await Promise.all((await subject.pids()).map(of))
  return all.reduce((sum, value) => sum + value, 0)
}

/** On the second core. */
function startLoad(): Load {
  const child: ChildProcess = fork(new URL('proxy-load.ts', import.meta.url), {
    execPath: 'taskset',
    execArgv: ['-c', '1', process.execPath],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  return {
    async do(command) {
      const answered = once(child, 'message')
      child.send(command)
      const [{ measured, error }] = (await answered) as [{ measured?: Measured; error?: string }]
      if (measured === undefined) throw new Error(error)
      return measured
    },
    end: () => void child.kill(),
  }
}

if (import.meta.main) await benchProxy(Number(process.argv[2] ?? 3), process.argv.slice(3))
