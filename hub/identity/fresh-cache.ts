/** Answers that may be a moment old, so that a page with twenty requests asks the store once. Bounded. */
export interface FreshCache<T> {
  /** What `load` said at most `freshMs` ago. Absence is never kept. */
  get(key: string, load: () => Promise<T | undefined>): Promise<T | undefined>
  /** Forgets everything, and whatever is being loaded just now: it may have been read before the change. */
  clear(): void
}

export function createFreshCache<T>(options: { freshMs: number; most: number; now: () => number }): FreshCache<T> {
  const { freshMs, most, now } = options
  const entries = new Map<string, { value: T; at: number }>()
  let epoch = 0

  async function get(key: string, load: () => Promise<T | undefined>): Promise<T | undefined> {
    const entry = entries.get(key)
    if (entry && now() - entry.at < freshMs) return entry.value
    const begunIn = epoch
    const begunAt = now()
    const value = await load()
    if (value !== undefined && begunIn === epoch) keep(key, { value, at: begunAt })
    return value
  }

  function keep(key: string, entry: { value: T; at: number }): void {
    entries.delete(key)
    const [oldest] = entries.keys()
    if (entries.size >= most && oldest !== undefined) entries.delete(oldest)
    entries.set(key, entry)
  }

  return {
    get,
    clear() {
      epoch += 1
      entries.clear()
    },
  }
}
