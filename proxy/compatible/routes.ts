/** The routes of configurable-http-proxy: a path leads to a target, with whatever data came along. */
import type { Route } from '../feed.ts'
import { createRouteTable, type RouteTable } from '../route-table.ts'

export type RouteData = Readonly<Record<string, unknown>> & { readonly target: string }

export interface CompatibleRoutes {
  readonly size: number
  readonly table: RouteTable
  /** By the decoded path of a request; with host routing the host is its first part. */
  find(path: string): { path: string; route: Route; target: string } | undefined
  get(path: string): object | undefined
  all(inactiveSince?: Date): Record<string, object>
  add(path: string, data: RouteData): void
  remove(path: string): boolean
  /** Somebody did something there; `at`: ms since the epoch. */
  seen(path: string, at: number): void
  /** What must be kept to have them all again. */
  kept(): [string, RouteData][]
}

/** With a slash before it and none behind it, except the root's. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/') ? path : `/${path}`
  return rooted.length > 1 && rooted.endsWith('/') ? rooted.slice(0, -1) : rooted
}

export function createCompatibleRoutes(options: { now: () => number; hostRouting: boolean }): CompatibleRoutes {
  const { now, hostRouting } = options
  const table = createRouteTable()
  const known = new Map<string, { data: RouteData; seenAt: number }>()
  let generation = 0

  const routes: CompatibleRoutes = {
    table,
    get size() {
      return known.size
    },
    find(path) {
      const route = table.find(null, path.endsWith('/') ? path : `${path}/`)
      return route?.target.kind === 'http' ? { path: route.id, route, target: route.target.url } : undefined
    },
    get(path) {
      const found = known.get(cleanPath(path))
      return found === undefined ? undefined : shown(found)
    },
    all(inactiveSince) {
      const all: Record<string, object> = {}
      for (const [path, found] of known) {
        if (inactiveSince === undefined || found.seenAt < inactiveSince.getTime()) all[path] = shown(found)
      }
      return all
    },
    add(given, data) {
      const path = cleanPath(given)
      generation += 1
      const host = hostRouting && path !== '/' ? { host: path.split('/')[1] } : {}
      known.set(path, { data: { ...data, ...host }, seenAt: now() })
      const target = { kind: 'http', url: data.target } as const
      const owner = { id: '', name: '' }
      table.put({ id: path, generation, prefix: path === '/' ? '/' : `${path}/`, host: null, owner, target })
    },
    remove(given) {
      const path = cleanPath(given)
      table.delete(path)
      return known.delete(path)
    },
    seen(path, at) {
      const found = known.get(path)
      if (found !== undefined) found.seenAt = Math.max(found.seenAt, at)
    },
    kept: () => [...known].map(([path, { data }]) => [path, data]),
  }
  return routes

  function shown({ data, seenAt }: { data: RouteData; seenAt: number }): object {
    return { ...data, last_activity: new Date(seenAt).toISOString() }
  }
}
