/** A bounded cache of answers that came a moment ago. Failures are not kept. */

export interface Cache<Value> {
  get(key: string, fetch: () => Promise<Value>): Promise<Value>
}

interface Entry<Value> {
  readonly at: number
  readonly value: Value
}

export function createCache<Value>(options: { now: () => Date; keptMs: number; mostKept: number }): Cache<Value> {
  const entries = new Map<string, Entry<Value>>()
  return {
    async get(key, fetch) {
      const kept = entries.get(key)
      const age = kept === undefined ? Number.NaN : options.now().getTime() - kept.at
      // A clock that went backwards makes a negative age: ask again.
      if (kept !== undefined && age >= 0 && age < options.keptMs) return kept.value
      const at = options.now().getTime()
      const value = await fetch()
      entries.delete(key)
      entries.set(key, { at, value })
      for (const oldest of entries.keys()) {
        if (entries.size <= options.mostKept) break
        entries.delete(oldest)
      }
      return value
    },
  }
}
