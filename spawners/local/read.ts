/** What was found of one environment → what it means. Pure. */
import type { Observation } from '../spawner.ts'
import type { LocalRecord } from './record.ts'

/** What is on disk and in /proc of one attempt. */
export interface Facts {
  /** The same boot of this machine, or an earlier one. */
  readonly sameBoot: boolean
  readonly keeperLives: boolean
  /** The file that keeper.sh renames. `waiting`: it is not there yet. */
  readonly marker:
    | Readonly<{ is: 'waiting' }>
    | Readonly<{ is: 'running'; startedAt: Date }>
    | Readonly<{ is: 'ended'; code: number; startedAt: Date; endedAt: Date }>
  readonly stopping: boolean
  /** When it is to end, if it was told so after its start. */
  readonly movedEnd: Date | undefined
  /** Of its own control group; undefined: it has none. */
  readonly groupOomKills: number | undefined
  /** Of the whole machine. */
  readonly machineOomKills: number
}

/** Undefined: the attempt came to nothing, so the environment does not exist. */
export function readFacts(record: LocalRecord, facts: Facts): Observation | undefined {
  const { marker, keeperLives, sameBoot } = facts
  if (facts.stopping) return { phase: 'stopping' }
  switch (marker.is) {
    case 'waiting':
      return keeperLives
        ? { phase: 'pending', stage: 'starting', message: 'The environment is being started' }
        : undefined
    case 'running': {
      const { startedAt } = marker
      if (keeperLives) {
        return {
          phase: 'running',
          hosts: ['127.0.0.1'],
          ...addressOf(record),
          startedAt,
          ...endOf(record, facts, startedAt),
        }
      }
      return sameBoot
        ? { phase: 'ended', reason: 'vanished', message: 'It was killed from outside of the hub', startedAt }
        : { phase: 'ended', reason: 'nodeLost', message: 'The machine was restarted', startedAt }
    }
    case 'ended': {
      const { code, startedAt, endedAt } = marker
      const times = { startedAt, endedAt }
      if (code === 0) return { phase: 'ended', reason: 'completed', message: 'It ended', exitCode: 0, ...times }
      if (wasOutOfMemory(record, facts, code)) {
        const message = 'It needed more memory than it was given.'
        return { phase: 'ended', reason: 'outOfMemory', message, exitCode: code, ...times }
      }
      return { phase: 'ended', reason: 'failed', message: inWords(code), exitCode: code, ...times }
    }
  }
}

function addressOf({ port }: LocalRecord): { address?: URL } {
  return port === undefined ? {} : { address: new URL(`http://127.0.0.1:${port}/`) }
}

function endOf(record: LocalRecord, { movedEnd }: Facts, startedAt: Date): { endsAt?: Date } {
  if (movedEnd) return { endsAt: movedEnd }
  return record.walltimeMs === undefined ? {} : { endsAt: new Date(startedAt.getTime() + record.walltimeMs) }
}

/** Without a control group, only the machine's own count and the kernel's signal together say so. */
function wasOutOfMemory(record: LocalRecord, facts: Facts, code: number): boolean {
  if (facts.groupOomKills !== undefined) return facts.groupOomKills > 0
  return facts.sameBoot && code === 128 + 9 && facts.machineOomKills > record.oomKills
}

function inWords(code: number): string {
  return code > 128 && code < 128 + 65 ? `It was ended by signal ${code - 128}` : `It ended with exit code ${code}`
}
