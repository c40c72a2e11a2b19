/** A process told apart from a later one with the same pid: pid, start time and boot. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseStat, processInfo, readBootId } from '../../spawners/local/processes.ts'

export interface ProcessIdentity {
  readonly pid: number
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  readonly startTicks: string
  readonly bootId: string
}

/** Undefined when there is no such process, or only its zombie. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const info = await processInfo(pid)
  if (info === undefined || info.isZombie) return undefined
  return { pid, startTicks: info.startTime, bootId: await readBootId() }
}

export async function isAlive(wanted: ProcessIdentity): Promise<boolean> {
  const there = await identify(wanted.pid)
  return there !== undefined && there.startTicks === wanted.startTicks && there.bootId === wanted.bootId
}

/**
 * The same for what was identified since the boot, without waiting: it is asked several times a second, and the pool
 * of threads that reads files would be most of what a hub at rest does.
 */
export function isStillAlive({ pid, startTicks }: ProcessIdentity): boolean {
  try {
    const { startTime, isZombie } = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    return !isZombie && startTime === startTicks
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Whatever else keeps us from seeing it does not end it.
    return code !== 'ENOENT' && code !== 'ESRCH'
  }
}

/** SIGTERM, then SIGKILL after `graceMs`; returns when it is gone. Gone already is success. */
export async function stopProcess(wanted: ProcessIdentity, graceMs: number): Promise<void> {
  const killAt = performance.now() + graceMs
  if (await isAlive(wanted)) signal(wanted.pid, 'SIGTERM')
  while (await isAlive(wanted)) {
    if (performance.now() > killAt) signal(wanted.pid, 'SIGKILL')
    await sleep(25)
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
