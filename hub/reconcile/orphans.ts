/**
 * Law 4: what the backend has and the store does not know. A few are left over from something and are removed; many
 * mean that the store is not what it was (empty, restored), and then nothing is removed until somebody decides.
 */
import { z } from 'zod'
import type { Found } from '../../spawners/spawner.ts'

export interface Orphan {
  readonly id: string
  readonly owner?: string | undefined
  readonly digest?: string | undefined
  readonly phase: string
}

/** Kept in the store's meta table, so that a restart forgets neither the alarm nor a decision. */
export const alarmSchema = z.object({
  since: z.number(),
  orphans: z.array(
    z.object({ id: z.string(), owner: z.string().optional(), digest: z.string().optional(), phase: z.string() }),
  ),
  /** By id: what an administrator said. */
  decisions: z.record(z.string(), z.enum(['adopt', 'remove'])),
})
export type Alarm = z.infer<typeof alarmSchema>

export function alarmKey(spawner: string): string {
  return `orphans:${spawner}`
}

export interface OrphanPlan {
  readonly remove: readonly string[]
  readonly adopt: readonly string[]
  /** What is to be in the store from now on. */
  readonly alarm: Alarm | undefined
}

const fewest = 3
const share = 0.05
/** More are told by their number alone. */
const mostTold = 2_000

/**
 * `total`: how many the backend has of this hub. `removedLately`: how many orphans were removed within the last hour,
 * because a store that is wrong may show them one by one.
 */
export function planOrphans(
  orphans: readonly Orphan[],
  { total, removedLately, alarm, now }: { total: number; removedLately: number; alarm: Alarm | undefined; now: number },
): OrphanPlan {
  if (orphans.length === 0) return { remove: [], adopt: [], alarm: undefined }
  const isMany = orphans.length + removedLately > Math.max(fewest, total * share)
  if (alarm === undefined && !isMany) return { remove: orphans.map(({ id }) => id), adopt: [], alarm: undefined }
  const decisions = alarm?.decisions ?? {}
  const decided = (wanted: 'adopt' | 'remove'): string[] =>
    orphans.flatMap(({ id }) => (Object.hasOwn(decisions, id) && decisions[id] === wanted ? [id] : []))
  const kept = { since: alarm?.since ?? now, orphans: orphans.slice(0, mostTold), decisions }
  return { remove: decided('remove'), adopt: decided('adopt'), alarm: kept }
}

export function orphanOf(id: string, { owner, digest, observation }: Found): Orphan {
  return { id, owner, digest, phase: observation.phase }
}
