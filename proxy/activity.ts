/** What people do, by environment: the newest moment of each, handed on in batches. */
export interface Activity {
  readonly seen: (id: string) => void
  /** What is new since the last call, ms since the epoch by environment id. */
  take(): Record<string, number>
  /** A worker's batch, or one that could not be handed on: newer moments win. */
  add(batch: Readonly<Record<string, number>>): void
}

const mostEnvironments = 100_000

export function createActivity(now: () => number): Activity {
  let newest = new Map<string, number>()
  const note = (id: string, at: number): void => {
    if (newest.size < mostEnvironments || newest.has(id)) newest.set(id, Math.max(at, newest.get(id) ?? 0))
  }
  return {
    seen: (id) => note(id, now()),
    take() {
      const batch = Object.fromEntries(newest)
      newest = new Map()
      return batch
    },
    add(batch) {
      for (const [id, at] of Object.entries(batch)) note(id, at)
    },
  }
}
