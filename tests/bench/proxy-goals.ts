/** What the proxy is meant to reach, by row: a fixed figure, or a share of what configurable-http-proxy did in the same run. */
import { row } from './figures.ts'

type Figures = ReadonlyMap<string, number>

interface Goal {
  readonly text: string
  met(own: number, chp: number): boolean
}

const atMost = (limit: number): Goal => ({ text: `≤ ${limit}`, met: (own) => own <= limit })
const atLeast = (limit: number): Goal => ({ text: `≥ ${limit}`, met: (own) => own >= limit })
const fourTimes: Goal = { text: '≥ 4 × chp', met: (own, chp) => own >= 4 * chp }
const aQuarter: Goal = { text: '≤ chp / 4', met: (own, chp) => own <= chp / 4 }

const goals: Readonly<Record<string, Goal>> = {
  'small GET, c=1: p99 ms': aQuarter,
  'small GET, c=32: per second': fourTimes,
  'small GET, c=32: p99 ms': aQuarter,
  'small GET, c=32: CPU µs each': atMost(75),
  'small GET, c=256: per second': fourTimes,
  'small GET, c=256: p99 ms': aQuarter,
  'download: MB/s': atLeast(650),
  'download: CPU s per GB': atMost(1.5),
  'download: peak resident MiB': atMost(100),
  'upload: MB/s': atLeast(800),
  'upload: CPU s per GB': atMost(1),
  'WebSocket echo of 1 kB: CPU µs': atMost(28),
  'idle WebSocket: KiB each': atMost(10),
  'kept 3 s after they closed: MiB': atMost(10),
  '30 readers left: connections behind after 10 s': atMost(0),
  'route add, one at a time: ms': atMost(0.3),
  'route add, 50 in flight: ms': atMost(0.1),
}

/** One line for each row: every subject's median, and for ours whether the goal is reached. */
export function printTable(subjects: ReadonlyMap<string, Figures>): void {
  const titles = new Set([...subjects.values()].flatMap((figures) => [...figures.keys()]))
  for (const title of titles) {
    const goal = goals[title]
    const chp = subjects.get('chp')?.get(title) ?? Number.NaN
    const cells: [string, string | number][] = []
    for (const [name, figures] of subjects) {
      const value = figures.get(title)
      if (value === undefined) continue
      const isOurs = goal !== undefined && name.startsWith('hutch')
      const mark = isOurs ? (goal.met(value, chp) ? ' ✔' : ' ✘') : ''
      cells.push([name, `${Number(value.toPrecision(3))}${mark}`])
    }
    row(title, Object.fromEntries([...cells, ...(goal === undefined ? [] : [['goal', goal.text] as const])]))
  }
}
