/** What this environment uses now: its own control group's figures, or those of its processes. */
import { readFile } from 'node:fs/promises'
import type { AgentReport } from './bootstrap.ts'
import { readOwnGroup } from './cgroup.ts'
import type { GpuUse } from './gpus.ts'
import { readProcesses, treeOf, type Process } from './processes.ts'

type Usage = NonNullable<AgentReport['usage']>
type Used = NonNullable<AgentReport['used']>

export interface UsageReader {
  /** At most one reading in `leastIntervalMs`; in between the last one. */
  read(): Promise<Usage>
  /** Of all readings so far. */
  used(): Used
}

interface Sample {
  readonly atMs: number
  /** CPU time so far, by process (key: pid and start); one entry '' when a control group tells. */
  readonly cpuMs: ReadonlyMap<string, number>
  readonly memoryBytes: number
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const msPerTick = 10
const pageBytes = 4_096
/** Reading shares costs the kernel a walk of the page tables: beyond this many processes residents do. */
const mostExact = 128

export function createUsageReader({
  id,
  readGpus,
  leastIntervalMs = 5_000,
  nowMs = () => performance.now(),
}: {
  id: string
  readGpus: () => readonly GpuUse[] | undefined
  leastIntervalMs?: number
  nowMs?: () => number
}): UsageReader {
  let before: Sample | undefined
  let latest: Promise<Usage> | undefined
  let readAtMs = -Infinity
  const used = { cpuMs: 0, gpuMs: 0, peakMemoryBytes: 0 }
  const measure = async (): Promise<Usage> => {
    const gpus = readGpus()
    const sample = await takeSample(id, nowMs)
    const cpu = before && coresBetween(before, sample)
    // What ran before the first reading counts as well.
    used.cpuMs += usedMs(before, sample)
    used.gpuMs += (before === undefined ? 0 : sample.atMs - before.atMs) * busyShare(gpus ?? [])
    used.peakMemoryBytes = Math.max(used.peakMemoryBytes, sample.memoryBytes)
    before = sample
    return {
      ...(cpu === undefined ? {} : { cpu }),
      memoryBytes: sample.memoryBytes,
      ...(gpus === undefined ? {} : { gpus: [...gpus] }),
    }
  }
  return {
    used: () => ({ ...used }),
    async read() {
      if (latest === undefined || nowMs() - readAtMs >= leastIntervalMs) {
        readAtMs = nowMs()
        latest = measure()
      }
      return await latest
    },
  }
}

async function takeSample(id: string, nowMs: () => number): Promise<Sample> {
  const group = await readOwnGroup(id)
  if (group) return { atMs: nowMs(), cpuMs: new Map([['', group.cpuMs]]), memoryBytes: group.memoryBytes }
  const own = treeOf(process.pid, await readProcesses())
  const cpuMs = new Map(own.map((each) => [`${each.pid}:${each.startTicks}`, each.cpuTicks * msPerTick]))
  return { atMs: nowMs(), cpuMs, memoryBytes: await memoryOf(own) }
}

/** Cores in use between two samples; what ended in between is missed unless a control group tells. */
export function coresBetween(before: Sample, after: Sample): number | undefined {
  const elapsedMs = after.atMs - before.atMs
  if (elapsedMs <= 0) return undefined
  return usedMs(before, after) / elapsedMs
}

function usedMs(before: Sample | undefined, after: Sample): number {
  let ms = 0
  for (const [key, cpuMs] of after.cpuMs) ms += Math.max(0, cpuMs - (before?.cpuMs.get(key) ?? 0))
  return ms
}

/** How many GPUs were busy, in whole ones. */
function busyShare(gpus: readonly GpuUse[]): number {
  return gpus.reduce((sum, { utilisation }) => sum + Math.min(utilisation, 100) / 100, 0)
}

/** Proportional shares, so that pages that kernels share with their parent count once. */
async function memoryOf(processes: readonly Process[]): Promise<number> {
  let bytes = 0
  for (const [index, { pid, residentPages }] of processes.entries()) {
    const rollup = index < mostExact ? await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '') : ''
    const kibibytes = /^Pss:\s+(\d+) kB/m.exec(rollup)?.[1]
    bytes += kibibytes === undefined ? residentPages * pageBytes : Number(kibibytes) * 1024
  }
  return bytes
}
