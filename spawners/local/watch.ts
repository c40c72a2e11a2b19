/** Tells which environments may have changed, by a look at each once a second. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EnvironmentId, Found } from '../spawner.ts'

export interface Watched {
  readonly list: () => Promise<readonly EnvironmentId[]>
  readonly observe: (ids: readonly EnvironmentId[]) => Promise<ReadonlyMap<EnvironmentId, Found>>
  /** A cheaper look at one that ran a second ago: true when it certainly runs still. */
  readonly stillRuns: (id: EnvironmentId) => Promise<boolean>
}

const everyMs = 1_000

/**
 * Calls back for what came, went, or is in another phase than a second ago. Polled, because the kernel notifies of
 * a file's change but not of a keeper that was killed.
 */
export async function watchPhases(
  watched: Watched,
  changed: (id: EnvironmentId) => void,
  signal: AbortSignal,
): Promise<void> {
  let before = await phasesOf(watched, new Map()).catch(() => undefined)
  while (!signal.aborted) {
    await sleep(everyMs, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return
    // What can't be read now is compared later: the loop's own observation meets the same error, and says so.
    const now = await phasesOf(watched, before ?? new Map()).catch(() => undefined)
    if (before && now) {
      for (const id of new Set([...before.keys(), ...now.keys()])) if (before.get(id) !== now.get(id)) changed(id)
    }
    before = now ?? before
  }
}

type Phases = ReadonlyMap<EnvironmentId, string>

async function phasesOf({ list, observe, stillRuns }: Watched, before: Phases): Promise<Phases> {
  const same = new Map<EnvironmentId, string>()
  const rest: EnvironmentId[] = []
  for (const id of await list()) {
    if (before.get(id) === 'running' && (await stillRuns(id))) same.set(id, 'running')
    else rest.push(id)
  }
  const found = await observe(rest)
  for (const [id, { observation }] of found) same.set(id, observation.phase)
  return same
}
