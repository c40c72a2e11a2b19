/** Observations as text in the row, and what a new one changes there. Pure. */
import type { Observation } from '../../spawners/spawner.ts'
import type { EnvironmentRow, NewEnvironment } from '../store/schema.ts'
import type { Told } from './decide.ts'

export type RowChange = Partial<Omit<NewEnvironment, 'id'>>

function writeObservation(observation: Observation): string {
  return JSON.stringify(observation)
}

/** Whether both would be written alike; quicker than writing them, and asked for all that a backend has. */
export function isSameObservation(a: Told, b: Told): boolean {
  return isSame(a, b)
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (a instanceof Date || b instanceof Date) {
    return a instanceof Date && b instanceof Date && a.getTime() === b.getTime()
  }
  if (a instanceof URL || b instanceof URL) return a instanceof URL && b instanceof URL && a.href === b.href
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  const [inA, inB] = [a as Record<string, unknown>, b as Record<string, unknown>]
  for (const name of names) if (!Object.hasOwn(inB, name) || !isSame(inA[name], inB[name])) return false
  return true
}

/** Dates are ISO 8601 in the text. */
export function readObservation(text: string | null): Told | undefined {
  if (text === null) return undefined
  const observation: Record<string, unknown> = JSON.parse(text)
  // By name and not with a reviver: this is read for every environment, again and again.
  for (const name of ['startedAt', 'endedAt', 'endsAt', 'startEstimateAt']) {
    const at = observation[name]
    if (typeof at === 'string') observation[name] = new Date(at)
  }
  const { address } = observation
  if (typeof address === 'string') observation['address'] = new URL(address)
  return observation as Told
}

/** What this observation changes in the row; undefined: nothing. */
export function recordObservation(
  row: EnvironmentRow,
  observation: Told,
  at: number,
  walltime: () => number | undefined,
): RowChange | undefined {
  const text = writeObservation(observation)
  if (text === row.observation) return undefined
  const change: RowChange = { observation: text, observed_at: at }
  // It is there, so it was accepted, even if that answer was lost.
  if (row.accepted_at === null) change.accepted_at = at
  switch (observation.phase) {
    case 'pending':
      // The backend requeued it: it starts anew, maybe elsewhere.
      if (row.started_at !== null) Object.assign(change, { started_at: null, ends_at: null, ...noAddress(row) })
      return change
    case 'running': {
      const startedAt = row.started_at ?? observation.startedAt.getTime()
      change.started_at = startedAt
      if (observation.endsAt !== undefined) change.ends_at = observation.endsAt.getTime()
      else if (row.ends_at === null) {
        const walltimeMs = walltime()
        if (walltimeMs !== undefined) change.ends_at = startedAt + walltimeMs
      }
      if (isElsewhere(readObservation(row.observation), observation)) Object.assign(change, noAddress(row))
      return change
    }
    case 'stopping':
      return change
    case 'ended':
      if (observation.startedAt !== undefined && row.started_at === null) {
        change.started_at = observation.startedAt.getTime()
      }
      return change
  }
}

/** Its agent will report again, from where it is now. */
function noAddress(row: EnvironmentRow): RowChange {
  if (row.port === null && row.ready_at === null) return {}
  return {
    host: null,
    port: null,
    ready_at: null,
    unreachable_since: null,
    claim: null,
    generation: row.generation + 1,
  }
}

/** Hosts that came or went; their order means nothing. */
function isElsewhere(before: Told | undefined, after: Extract<Told, { phase: 'running' }>): boolean {
  if (before?.phase !== 'running') return false
  return places(before) !== places(after)
}

function places({ hosts, address }: Extract<Told, { phase: 'running' }>): string {
  return JSON.stringify([hosts.toSorted(), address?.href])
}
