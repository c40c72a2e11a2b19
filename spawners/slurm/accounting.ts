/** What SLURM's accounting lets people have: one look for everybody, kept for a while. */
import type { AccountingLimits, Cluster } from './cluster.ts'
import { callTimeoutMs } from './tools.ts'

export interface Accounting {
  of(signal: AbortSignal): Promise<AccountingLimits>
}

/** Limits change seldom, and a large site has a hundred thousand associations. */
const keptMs = 600_000
/** Where it did not answer. */
const failedMs = 60_000

export function createAccounting({ limits }: Pick<Cluster, 'limits'>, now: () => Date): Accounting {
  let kept: { limits: Promise<AccountingLimits>; until: number } | undefined
  return {
    async of(signal) {
      signal.throwIfAborted()
      if (kept === undefined || kept.until <= now().getTime()) {
        const asked = limits?.(AbortSignal.timeout(callTimeoutMs)) ?? Promise.resolve({ associations: [], qos: [] })
        const mine = { limits: asked, until: now().getTime() + keptMs }
        kept = mine
        asked.catch(() => (mine.until = now().getTime() + failedMs))
      }
      return await kept.limits
    },
  }
}
