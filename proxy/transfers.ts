/**
 * Long uploads and downloads. Nobody need sit before them, so that they are no activity; but whoever decides what is
 * idle should know that something is still under way, and for how long.
 */
import type { Live } from './forward/forwarding.ts'

export interface Transfers {
  /** To be called once in `transferLookMs`: tells of every environment whose transfer moved since the last look. */
  look(live: Iterable<Live>): void
  /** How many were under way at the last look. */
  readonly count: number
}

export const transferLookMs = 10_000
/** An event stream that lives on heartbeats stays below it. */
const leastBytesBetweenLooks = 65_536

export function createTransfers(transferring: (id: string) => void): Transfers {
  const before = new WeakMap<Live, number>()
  let count = 0
  return {
    get count() {
      return count
    },
    look(live) {
      count = 0
      for (const each of live) {
        if (each.route === undefined || each.kind !== 'http') continue
        const moved = each.moved()
        const seen = before.get(each)
        before.set(each, moved)
        // The first look only begins to count: what is done within two was not long.
        if (seen === undefined || moved - seen < leastBytesBetweenLooks) continue
        count += 1
        transferring(each.route.id)
      }
    },
  }
}
