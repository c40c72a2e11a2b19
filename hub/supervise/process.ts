/** A process told apart from a later one with the same pid: pid, start time and boot. */
import { setTimeout as sleep } from 'node:timers/promises'
import { processInfo, readBootId } from '../../spawners/local/processes.ts'

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
