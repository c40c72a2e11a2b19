/** Logins, users and shares that no longer count, until what was issued to them would have expired anyhow. */
import type { Revocation } from './feed.ts'
import type { Entry } from './ticket.ts'

export interface Revocations {
  add(revocation: Revocation): void
  replace(revocations: readonly Revocation[]): void
  isRevoked(entry: Pick<Entry, 'login' | 'user' | 'share' | 'issuedAt'>): boolean
  /** Those that still matter. */
  readonly all: () => readonly Revocation[]
}

export function createRevocations(now: () => number): Revocations {
  const known = new Map<string, Revocation>()

  const revocations: Revocations = {
    add(revocation) {
      const before = known.get(keyOf(revocation.kind, revocation.subject))
      // A later word never weakens an earlier one.
      known.set(keyOf(revocation.kind, revocation.subject), {
        ...revocation,
        at: Math.max(revocation.at, before?.at ?? 0),
        until: Math.max(revocation.until, before?.until ?? 0),
      })
    },
    replace(all) {
      known.clear()
      for (const revocation of all) revocations.add(revocation)
    },
    isRevoked({ login, user, share, issuedAt }) {
      if (known.size === 0) return false
      return (
        covers('login', login, issuedAt) ||
        covers('user', user.id, issuedAt) ||
        (share !== undefined && covers('share', share, issuedAt))
      )
    },
    all() {
      const time = now()
      for (const [key, { until }] of known) if (until < time) known.delete(key)
      return [...known.values()]
    },
  }
  return revocations

  function covers(kind: Revocation['kind'], subject: string, issuedAt: number): boolean {
    return issuedAt <= (known.get(keyOf(kind, subject))?.at ?? Number.NEGATIVE_INFINITY)
  }
}

function keyOf(kind: Revocation['kind'], subject: string): string {
  return `${kind} ${subject}`
}
