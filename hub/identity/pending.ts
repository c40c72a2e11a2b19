/**
 * Logins that have begun and not yet come back. Each lives in a cookie of its own, sealed with the hub's key: so
 * two tabs do not break each other, a hub may restart or another one answer, and only the browser that began a
 * login can end it. A handle is taken once per hub; the provider's code, which it needs, is good once anywhere.
 */
import { randomBytes } from 'node:crypto'
import { EncryptJWT, jwtDecrypt } from 'jose'
import { z } from 'zod'
import type { CookieRules } from './cookies.ts'

export interface Pending {
  /** The provider's short name: an answer that comes to another provider's callback is refused. */
  readonly provider: string
  readonly nonce: string
  readonly verifier: string
  /** Where to go afterwards, already checked. */
  readonly next: string
  readonly purpose: Purpose
}

/** `renew`: only the same person's answer counts; `silent` asks the provider to show nothing. `link`: for this user. */
export type Purpose =
  | Readonly<{ for: 'login' }>
  | Readonly<{ for: 'renew'; userId: string; silent: boolean }>
  | Readonly<{ for: 'link'; userId: string }>

export interface PendingLogins {
  /** `setCookies` also removes the oldest beyond five. */
  begin(pending: Pending, cookies: ReadonlyMap<string, string>): Promise<{ handle: string; setCookies: string[] }>
  /** Undefined: never begun in this browser, taken before, older than ten minutes, or forged. */
  take(
    handle: string,
    cookies: ReadonlyMap<string, string>,
  ): Promise<{ pending: Pending; setCookie: string } | undefined>
}

const pendingLifetimeMs = 600_000
const mostPerBrowser = 5
const mostTaken = 10_000

const pendingSchema = z.object({
  provider: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  next: z.string(),
  purpose: z.discriminatedUnion('for', [
    z.object({ for: z.literal('login') }),
    z.object({ for: z.literal('renew'), userId: z.string(), silent: z.boolean() }),
    z.object({ for: z.literal('link'), userId: z.string() }),
  ]),
})

export function createPendingLogins(options: { key: Buffer; rules: CookieRules; now: () => number }): PendingLogins {
  const { key, rules, now } = options
  /** Handle → when it may be forgotten; in the order of time, because each lives equally long. */
  const taken = new Map<string, number>()

  async function begin(pending: Pending, cookies: ReadonlyMap<string, string>) {
    const handle = randomBytes(24).toString('base64url')
    const sealed = await new EncryptJWT({ ...pending })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setJti(handle)
      .setIssuedAt(Math.floor(now() / 1000))
      .setExpirationTime(Math.floor((now() + pendingLifetimeMs) / 1000))
      .encrypt(key)
    const setCookies = (await surplus(cookies)).map((name) => rules.clear(name))
    setCookies.push(rules.set(rules.pendingPrefix + handle, sealed, pendingLifetimeMs))
    return { handle, setCookies }
  }

  async function take(handle: string, cookies: ReadonlyMap<string, string>) {
    const name = rules.pendingPrefix + handle
    const sealed = cookies.get(name)
    if (sealed === undefined) return undefined
    const opened = await open(sealed)
    if (opened?.handle !== handle || taken.has(handle)) return undefined
    remember(handle)
    return { pending: opened.pending, setCookie: rules.clear(name) }
  }

  /** Names of those that must go, so that with a new one there are five. What can't be read goes first. */
  async function surplus(cookies: ReadonlyMap<string, string>): Promise<string[]> {
    const names = [...cookies.keys()].filter((name) => name.startsWith(rules.pendingPrefix))
    if (names.length < mostPerBrowser) return []
    const aged = await Promise.all(
      names.slice(0, 100).map(async (name) => ({ name, at: (await open(cookies.get(name) ?? ''))?.at ?? 0 })),
    )
    return aged
      .toSorted((a, b) => b.at - a.at)
      .slice(mostPerBrowser - 1)
      .map(({ name }) => name)
  }

  async function open(sealed: string): Promise<{ handle?: string; at: number; pending: Pending } | undefined> {
    try {
      const { payload } = await jwtDecrypt(sealed, key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
        requiredClaims: ['exp', 'jti', 'iat'],
        currentDate: new Date(now()),
      })
      const pending = pendingSchema.parse(payload)
      return { at: payload.iat ?? 0, pending, ...(payload.jti === undefined ? {} : { handle: payload.jti }) }
    } catch {
      // Forged, foreign or too old: to the caller it is as if it were not there.
      return undefined
    }
  }

  function remember(handle: string): void {
    for (const [oldest, until] of taken) {
      if (until > now() && taken.size < mostTaken) break
      taken.delete(oldest)
    }
    taken.set(handle, now() + pendingLifetimeMs)
  }

  return { begin, take }
}
