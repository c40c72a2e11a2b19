/**
 * A bounded cache of answers that came a moment ago. Failures are not kept; where `staleMs` says so, an older answer
 * stands in for them.
 */
import { Problem } from '../domain/problem.ts'

export interface Cache<Value> {
  /** What `fetch` said at most `keptMs` ago. A Problem is an answer: no older one stands in for it. */
  get(key: string, fetch: () => Promise<Value>): Promise<Value>
}

export interface CacheOptions {
  readonly now: () => Date
  readonly keptMs: number
  readonly mostKept: number
  /** How much older than `keptMs` an answer may be that stands in for a failure. Absent: none does. */
  readonly staleMs?: number
  /** Told whenever one did. */
  readonly stoodIn?: (failure: { error: unknown; ageMs: number }) => void
}

interface Entry<Value> {
  readonly at: number
  readonly value: Value
}

export function createCache<Value>(options: CacheOptions): Cache<Value> {
  const { now, keptMs, mostKept, staleMs = 0, stoodIn } = options
  const entries = new Map<string, Entry<Value>>()

  function keep(key: string, entry: Entry<Value>): void {
    entries.delete(key)
    entries.set(key, entry)
    for (const oldest of entries.keys()) {
      if (entries.size <= mostKept) break
      entries.delete(oldest)
    }
  }

  return {
    async get(key, fetch) {
      const kept = entries.get(key)
      const at = now().getTime()
      // A clock that went backwards makes a negative age: ask again.
      if (kept !== undefined && at >= kept.at && at - kept.at < keptMs) return kept.value
      try {
        const value = await fetch()
        keep(key, { at, value })
        return value
      } catch (error) {
        const ageMs = kept === undefined ? Number.NaN : now().getTime() - kept.at
        if (error instanceof Problem || kept === undefined || !(ageMs >= 0 && ageMs < keptMs + staleMs)) throw error
        stoodIn?.({ error, ageMs })
        return kept.value
      }
    },
  }
}
