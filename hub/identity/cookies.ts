/**
 * Names and attributes of the hub's own cookies. `__Host-` where the hub has a host name of its own; on a single
 * https origin `__Secure-` below /hub/; on http (loopback) a plain name, because browsers refuse both prefixes there.
 */
export interface CookieRules {
  /** Of the login; the pending logins' names begin with `pendingPrefix`. */
  readonly login: string
  readonly pendingPrefix: string
  /** Of who came by an identity that is linked to no account yet. */
  readonly outsider: string
  /** The Set-Cookie header that stores `value` for `maxAgeMs`. */
  set(name: string, value: string, maxAgeMs: number): string
  /** The Set-Cookie header that removes it. */
  clear(name: string): string
}

export function cookieRules(publicUrl: URL, ownHosts: boolean): CookieRules {
  const secure = publicUrl.protocol === 'https:'
  const prefix = secure ? (ownHosts ? '__Host-' : '__Secure-') : ''
  const path = prefix === '__Host-' ? '/' : '/hub/'
  const write = (name: string, value: string, seconds: number): string =>
    `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`
  return {
    login: `${prefix}hutch-login`,
    pendingPrefix: `${prefix}hutch-pending-`,
    outsider: `${prefix}hutch-outsider`,
    set: (name, value, maxAgeMs) => write(name, value, Math.max(0, Math.floor(maxAgeMs / 1000))),
    clear: (name) => write(name, '', 0),
  }
}

/** The request's cookies. The first of a name counts: browsers send the one with the longest path first. */
export function readCookies(header: string | undefined): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>()
  for (const pair of (header ?? '').split(';')) {
    const at = pair.indexOf('=')
    if (at < 0) continue
    const name = pair.slice(0, at).trim()
    if (!cookies.has(name)) cookies.set(name, pair.slice(at + 1).trim())
  }
  return cookies
}
