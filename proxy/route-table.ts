/** Which route a host and path belong to: the longest prefix wins. Tens of thousands of routes cost no more than ten. */
import type { Route } from './feed.ts'

export interface RouteTable {
  readonly size: number
  /** `host` is null for the hub's own origin. The path is compared as it was sent. */
  find(host: string | null, path: string): Route | undefined
  get(id: string): Route | undefined
  /** Whether any route answers on this host. */
  hasHost(host: string): boolean
  all(): IterableIterator<Route>
  put(route: Route): void
  delete(id: string): Route | undefined
  /** Returns those that are no longer there. */
  replace(routes: readonly Route[]): Route[]
}

export function createRouteTable(): RouteTable {
  const byId = new Map<string, Route>()
  const byPlace = new Map<string, Route>()
  const hosts = new Map<string, number>()
  /** Prefixes by their number of slashes: how deep a search must go. */
  const depths: number[] = []

  const table: RouteTable = {
    get size() {
      return byId.size
    },
    find(host, path) {
      const origin = host ?? ''
      let found: Route | undefined
      let depth = 0
      for (let at = path.indexOf('/'); at !== -1 && depth < depths.length; at = path.indexOf('/', at + 1)) {
        depth += 1
        if ((depths[depth] ?? 0) > 0) found = byPlace.get(origin + path.slice(0, at + 1)) ?? found
      }
      return found
    },
    get: (id) => byId.get(id),
    hasHost: (host) => hosts.has(host),
    all: () => byId.values(),
    put(route) {
      table.delete(route.id)
      const other = byPlace.get(placeOf(route))
      if (other !== undefined) table.delete(other.id)
      byId.set(route.id, route)
      byPlace.set(placeOf(route), route)
      count(route, 1)
    },
    delete(id) {
      const route = byId.get(id)
      if (route === undefined) return undefined
      byId.delete(id)
      byPlace.delete(placeOf(route))
      count(route, -1)
      return route
    },
    replace(routes) {
      const before = [...byId.values()]
      byId.clear()
      byPlace.clear()
      hosts.clear()
      depths.length = 0
      for (const route of routes) table.put(route)
      return before.filter((route) => !byId.has(route.id))
    },
  }
  return table

  function count(route: Route, by: number): void {
    const depth = slashes(route.prefix)
    while (depths.length <= depth) depths.push(0)
    depths[depth] = (depths[depth] ?? 0) + by
    if (route.host === null) return
    const left = (hosts.get(route.host) ?? 0) + by
    if (left === 0) hosts.delete(route.host)
    else hosts.set(route.host, left)
  }
}

/** A host has no slash and a prefix begins with one: no two places look alike. */
function placeOf(route: Route): string {
  return (route.host ?? '') + route.prefix
}

function slashes(prefix: string): number {
  let count = 0
  for (let at = prefix.indexOf('/'); at !== -1; at = prefix.indexOf('/', at + 1)) count += 1
  return count
}
