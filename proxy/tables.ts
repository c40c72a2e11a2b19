/** What a process of the proxy knows: routes, revocations, and the connections that belong to each route. */
import type { HubMessage, Route } from './feed.ts'
import type { Pool } from './forward/pool.ts'
import { createRevocations, type Revocations } from './revocations.ts'
import { createRouteTable, type RouteTable } from './route-table.ts'

export interface Tables {
  readonly routes: RouteTable
  readonly revocations: Revocations
  apply(message: HubMessage): void
}

export function createTables(now: () => number, routes: RouteTable = createRouteTable()): Tables {
  const revocations = createRevocations(now)
  return {
    routes,
    revocations,
    apply(message) {
      switch (message.type) {
        case 'table':
          routes.replace(message.routes)
          revocations.replace(message.revocations)
          break
        case 'put':
          routes.put(message.route)
          break
        case 'delete':
          routes.delete(message.id)
          break
        case 'revoke':
          revocations.add(message.revocation)
          break
      }
    },
  }
}

export interface Pools {
  of(route: Route): Pool
  /** After this route, or all of them, changed: retires pools whose route is gone or leads elsewhere. */
  check(routes: RouteTable, id?: string): void
}

export function createPools(open: (route: Route) => Pool): Pools {
  const pools = new Map<string, { route: Route; pool: Pool }>()
  return {
    of(route) {
      const known = pools.get(route.id)
      if (known !== undefined && (known.route === route || leadsAlike(known.route, route))) return known.pool
      known?.pool.retire()
      const pool = open(route)
      pools.set(route.id, { route, pool })
      return pool
    },
    check(routes, id) {
      for (const each of id === undefined ? pools.keys() : [id]) {
        const known = pools.get(each)
        const route = routes.get(each)
        if (known === undefined || (route !== undefined && leadsAlike(known.route, route))) continue
        known.pool.retire()
        pools.delete(each)
      }
    },
  }
}

function leadsAlike(one: Route, other: Route): boolean {
  return one.generation === other.generation && JSON.stringify(one.target) === JSON.stringify(other.target)
}
