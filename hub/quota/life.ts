/** What limits let one person have: how long an environment may live and be unused, and how much at once. Pure. */
import type { OwnerLimits } from '../../spawners/spawner.ts'
import type { Limit } from './limit.ts'
import { type Asker, rulesFor } from './rules.ts'

/** The most specific limit for this person on one environment's own time; undefined: none. */
export function timeLimit(
  asker: Asker,
  limits: readonly Limit[],
  resource: 'lifetimeMs' | 'idleMs' | 'homeBytes',
  now: number,
): { most: number; limit: Limit } | undefined {
  const those = limits.filter((limit) => limit.resource === resource)
  const rules = rulesFor(asker, those, now)
  // With several proposals there may be a rule for those together too: the shortest holds.
  const [first] = rules
    .flatMap(({ most, limit }) => (most === undefined ? [] : [{ most, limit }]))
    .toSorted((a, b) => a.most - b.most)
  return first
}

/**
 * Of all kinds of GPUs and profiles together; the smallest, where several hold. `launched`: what was found when the
 * catalogue's fields were known, for limits that are derived from them.
 */
export function ownerLimits(
  asker: Asker,
  limits: readonly Limit[],
  now: number,
  launched: Readonly<{ ownerLimits?: OwnerLimits }> = {},
): OwnerLimits {
  const mine = rulesFor(asker, limits, now).filter(({ limit }) => limit.share === 'each' && limit.of === '')
  const least = (resource: Limit['resource'], known: keyof OwnerLimits): number | undefined => {
    const amounts = mine.flatMap(({ limit, most = launched.ownerLimits?.[known] }) =>
      limit.resource === resource && most !== undefined ? [most] : [],
    )
    return amounts.length === 0 ? undefined : Math.min(...amounts)
  }
  const known = {
    cpu: least('cpus', 'cpu'),
    memoryBytes: least('memoryBytes', 'memoryBytes'),
    gpus: least('gpus', 'gpus'),
    environments: least('environments', 'environments'),
  }
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined))
}
