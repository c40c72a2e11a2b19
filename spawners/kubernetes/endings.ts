/**
 * How pods that were taken away came to their end: an eviction or a lost node deletes the pod, and with it the reason.
 * Kept until the hub has removed the environment, and never for long.
 */
import { isEnvironmentId, type EnvironmentId, type Found } from '../spawner.ts'
import { foundOf } from './found.ts'
import { readGone } from './read.ts'
import type { SeenPod } from './seen.ts'

export interface Endings {
  gone(pod: SeenPod): void
  has(id: EnvironmentId): boolean
  all(): Iterable<readonly [EnvironmentId, Found]>
  forget(id: EnvironmentId): void
  /** We removed it ourselves: its going is nothing to tell. */
  removed(id: EnvironmentId): void
}

const keptMs = 30 * 60_000
const mostKept = 10_000

export function createEndings(now: () => Date): Endings {
  const kept = new Map<EnvironmentId, Readonly<{ found: Found; at: number }>>()
  const ours = new Map<EnvironmentId, number>()

  function tidy(): void {
    const before = now().getTime() - keptMs
    for (const [id, { at }] of kept) if (at < before || kept.size > mostKept) kept.delete(id)
    for (const [id, at] of ours) if (at < before || ours.size > mostKept) ours.delete(id)
  }

  return {
    gone(pod) {
      const { name } = pod.metadata
      if (!isEnvironmentId(name) || ours.delete(name)) return
      const observation = readGone(pod)
      if (observation === undefined) return
      kept.set(name, { found: foundOf(pod, observation), at: now().getTime() })
      tidy()
    },
    has: (id) => kept.has(id),
    *all() {
      for (const [id, { found }] of kept) yield [id, found] as const
    },
    forget: (id) => void kept.delete(id),
    removed(id) {
      ours.set(id, now().getTime())
      tidy()
    },
  }
}
