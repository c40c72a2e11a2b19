/** Who enters with this request: its entry cookie, or an entry as a bearer token for programs. */
import type { Request } from '../forward/request.ts'
import { cookieValues } from '../http/cookies.ts'
import { joined, single } from '../http/head.ts'
import { verifyEntry, type Entry } from '../ticket.ts'

export interface Entries {
  find(request: Request, environment: string): { entry: Entry; by: 'cookie' | 'token' } | undefined
}

export const entryCookie = 'hutch-entry'
const mostVerified = 10_000

/** Signatures are checked once for each cookie; the clock and the environment each time. */
export function createEntries({ key, now }: { key: Buffer; now: () => number }): Entries {
  const verified = new Map<string, Entry>()
  return {
    find(request, environment) {
      for (const text of cookieValues(joined(request.head, 'cookie', '; '), entryCookie)) {
        const entry = verify(text, environment)
        if (entry !== undefined) return { entry, by: 'cookie' }
      }
      const [, token] = /^(?:bearer|token) +(\S+)$/i.exec(single(request.head, 'authorization') ?? '') ?? []
      const entry = token === undefined ? undefined : verify(token, environment)
      return entry === undefined ? undefined : { entry, by: 'token' }
    },
  }

  function verify(text: string, environment: string): Entry | undefined {
    const known = verified.get(text)
    const entry = known ?? verifyEntry(key, text, now())
    if (entry === undefined || entry.environment !== environment || entry.expiresAt <= now()) return undefined
    if (known === undefined) {
      if (verified.size >= mostVerified) verified.clear()
      verified.set(text, entry)
    }
    return entry
  }
}
