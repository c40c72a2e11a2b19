/** The processes of this environment, read from /proc, and how to end those that stay. */
import { readFile, readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly session: number
  /** Clock ticks since boot: tells it from a later process with the same pid. */
  readonly startTicks: number
  /** User and system time, in clock ticks. */
  readonly cpuTicks: number
  readonly residentPages: number
}

/** Every process that can be seen, without zombies. */
export async function readProcesses(): Promise<Process[]> {
  const found: Process[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => undefined)
    const read = stat === undefined ? undefined : parseStat(stat)
    if (read) found.push(read)
  }
  return found
}

/** proc_pid_stat(5). The command's name may hold spaces and parentheses: count from the last one. */
export function parseStat(stat: string): Process | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0]
  if (state === undefined || state === 'Z' || state === 'X' || fields.length < 22) return undefined
  const number = (index: number): number => Number(fields[index])
  return {
    pid: Number.parseInt(stat, 10),
    parent: number(1),
    session: number(3),
    startTicks: number(19),
    cpuTicks: number(11) + number(12),
    residentPages: number(21),
  }
}

/** `root` itself, what descends from it, and what shares a session with one of those (a parent may have died). */
export function treeOf(root: number, all: readonly Process[]): Process[] {
  const own = new Set([root])
  const sessions = new Set<number>()
  const rootSession = all.find(({ pid }) => pid === root)?.session
  for (let before = -1; before !== own.size;) {
    before = own.size
    for (const { pid, parent, session } of all) {
      if (!own.has(pid) && !own.has(parent) && !sessions.has(session)) continue
      own.add(pid)
      // The agent's own session may be shared with whoever started it.
      if (session !== rootSession) sessions.add(session)
    }
  }
  return all.filter(({ pid }) => own.has(pid))
}

/**
 * Ends everything that this environment started and that is still there: descendants of the agent, and, wherever
 * they went after their parents died, processes that carry `marker` (NAME=value) in their environment.
 * SIGTERM, then SIGKILL after `graceMs`. Returns how many had to be ended.
 */
export async function endStragglers(marker: string, { graceMs = 1_500, rounds = 40 } = {}): Promise<number> {
  const seen = new Set<number>()
  const killAt = performance.now() + graceMs
  for (let round = 0; round < rounds; round += 1) {
    const left = await stragglers(marker)
    if (left.length === 0) break
    const isLate = performance.now() >= killAt
    for (const { pid } of left) {
      if (isLate || !seen.has(pid)) sendSignal(pid, isLate ? 'SIGKILL' : 'SIGTERM')
      seen.add(pid)
    }
    await sleep(50)
  }
  return seen.size
}

async function stragglers(marker: string): Promise<Process[]> {
  const all = await readProcesses()
  const own = new Set(treeOf(process.pid, all).map(({ pid }) => pid))
  const found: Process[] = []
  for (const each of all) {
    if (each.pid === process.pid) continue
    if (own.has(each.pid) || (await carries(each.pid, marker))) found.push(each)
  }
  return found
}

/** Readable for processes of the same user only. */
async function carries(pid: number, marker: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
  return environment.split('\0').includes(marker)
}

/** Gone already is success; a negative pid is a process group. */
export function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ESRCH' && code !== 'EPERM') throw error
  }
}
