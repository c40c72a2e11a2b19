/** What an environment that ended really took, by its backend's clock. Pure. */
import { readObservation } from '../domain/observation.ts'
import type { EnvironmentRow } from '../store/schema.ts'
import type { Slice } from './admit.ts'

/** Longer than anything runs; a clock that says more is wrong. */
const longestMs = 10 * 366 * 86_400_000

export type EndedRow = Pick<EnvironmentRow, 'observation' | 'started_at' | 'ends_at' | 'ended_at'>

/**
 * From start to end. The backend's word for both if it gave it; an end that it does not tell was at the latest when the
 * time was over, or when the hub saw that it is gone. What never started took nothing.
 */
export function ranMs(row: EndedRow): number {
  const told = readObservation(row.observation)
  const began = told?.phase === 'ended' ? (told.startedAt?.getTime() ?? row.started_at) : row.started_at
  if (began === null) return 0
  const seen = row.ended_at ?? began
  const end = (told?.phase === 'ended' ? told.endedAt?.getTime() : undefined) ?? Math.min(seen, row.ends_at ?? Infinity)
  const ms = end - began
  return Number.isFinite(ms) ? Math.round(Math.min(Math.max(ms, 0), longestMs)) : 0
}

/** The time that it ran, on the slices in the order in which they were admitted; what is over belongs to the last. */
export function settle(slices: readonly Slice[], ms: number): readonly Slice[] {
  let left = ms
  return slices.map((slice, index) => {
    const taken = index === slices.length - 1 ? left : Math.min(left, slice.ms)
    left -= taken
    return { at: slice.at, ms: taken }
  })
}
