/** How long an environment may live, and how long unused. Pure. */
import type { Limit } from './limit.ts'
import { type Asker, rulesFor } from './rules.ts'

/** The most specific limit for this person on one environment's own time; undefined: none. */
export function timeLimit(
  asker: Asker,
  limits: readonly Limit[],
  resource: 'lifetimeMs' | 'idleMs' | 'homeBytes',
  now: number,
): { most: number; limit: Limit } | undefined {
  const rules = rulesFor(asker, limits, now).filter(({ limit }) => limit.resource === resource)
  // With several proposals there may be a rule for those together too: the shortest holds.
  const [first] = rules
    .flatMap(({ most, limit }) => (most === undefined ? [] : [{ most, limit }]))
    .toSorted((a, b) => a.most - b.most)
  return first
}
