/** Tells which environments may have changed, by a look at each once in a while. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EnvironmentId, Found } from '../spawner.ts'

const everyMs = 1_000

/**
 * An environment that came, went or is in another phase than a second ago. `observe` costs about 0.1 ms for each
 * environment, so this is cheap enough to need no notification from the kernel, which would miss a killed keeper.
 */
export async function watchPhases(
  observe: () => Promise<ReadonlyMap<EnvironmentId, Found>>,
  changed: (id: EnvironmentId) => void,
  signal: AbortSignal,
): Promise<void> {
  let before = new Map<EnvironmentId, string>()
  for (let isFirst = true; !signal.aborted;) {
    try {
      const found = await observe()
      const now = new Map([...found].map(([id, { observation }]) => [id, observation.phase]))
      const ids = new Set([...before.keys(), ...now.keys()])
      if (!isFirst) for (const id of ids) if (before.get(id) !== now.get(id)) changed(id)
      before = now
      isFirst = false
    } catch {
      // The loop's own observation meets the same error, and says so.
    }
    await sleep(everyMs, undefined, { signal }).catch(() => undefined)
  }
}
