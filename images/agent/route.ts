/** Where a request belongs: to the hub's own door, to the agent's pages, to the application, or nowhere. */

export type Route =
  | Readonly<{ to: 'health' | 'status' | 'stop' | 'application' | 'home' | 'nowhere' }>
  /** `path` follows {prefix}_hutch/, without the query. */
  | Readonly<{ to: 'site'; path: string }>

/** Whose the prefix itself is, and what else is below it: the application's, or the agent's own first page. */
export interface Ground {
  readonly hasApplication: boolean
  readonly hasHome: boolean
}

/** By the text of the request target, as it came: nothing is decoded, so nothing is decoded twice. */
export function routeOf(url: string, prefix: string, { hasApplication, hasHome }: Ground): Route {
  const query = url.indexOf('?')
  const path = query === -1 ? url : url.slice(0, query)
  if (path.startsWith(prefix)) {
    const rest = path.slice(prefix.length)
    if (rest.startsWith('_hutch/')) return { to: 'site', path: rest.slice('_hutch/'.length) }
    if (hasHome && rest === '') return { to: 'home' }
    return { to: hasApplication ? 'application' : 'nowhere' }
  }
  if (path === '/_agent/health') return { to: 'health' }
  if (path === '/_agent/status') return { to: 'status' }
  return { to: path === '/_agent/stop' ? 'stop' : 'nowhere' }
}

/** The hub's door must not lie below what browsers may ask for. */
export function isSafePrefix(prefix: string): boolean {
  return /^\/[^/]/.test(prefix) && prefix.endsWith('/') && !prefix.startsWith('/_agent/')
}
