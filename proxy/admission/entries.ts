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
const nameLength = 16

/** Signatures are checked once for each cookie; the clock and the environment each time. */
export function createEntries({ key, now }: { key: Buffer; now: () => number }): Entries {
  // By the last characters, which are of the signature: a map hashes what it is asked for, anew with each request.
  const verified = new Map<string, { text: string; entry: Entry }>()
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
    const name = text.slice(-nameLength)
    const known = verified.get(name)
    const isKnown = known?.text === text
    const entry = isKnown ? known.entry : verifyEntry(key, text, now())
    if (entry === undefined || entry.environment !== environment || entry.expiresAt <= now()) return undefined
    if (!isKnown) {
      if (verified.size >= mostVerified) verified.clear()
      verified.set(name, { text, entry })
    }
    return entry
  }
}
