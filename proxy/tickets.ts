/** Which tickets were used. The primary process alone keeps them, so that a ticket is used once. */
export interface UsedTickets {
  /** True for the first who asks. */
  use(id: string, issuedAt: number, expiresAt: number): boolean
}

const mostTickets = 100_000

/** A ticket from before this process began may have been used at the one before it. */
export function createUsedTickets(now: () => number): UsedTickets {
  const startedAt = now()
  const used = new Map<string, number>()
  return {
    use(id, issuedAt, expiresAt) {
      if (issuedAt < startedAt || used.has(id)) return false
      if (used.size >= mostTickets) forgetExpired()
      // Forgetting one that still holds would let it be used twice: the newcomer is refused instead.
      if (used.size >= mostTickets) return false
      used.set(id, expiresAt)
      return true
    },
  }

  function forgetExpired(): void {
    const time = now()
    for (const [id, expiresAt] of used) if (expiresAt <= time) used.delete(id)
  }
}
