/** Who was given a role here, by the API: beside those of the configuration. */
import type { Kysely } from 'kysely'
import { createFreshCache } from '../identity/fresh-cache.ts'
import type { Tables } from '../store/schema.ts'

type MemberKind = 'user' | 'group'

export interface RoleMembers {
  /** Names of roles, for users and groups by name. */
  all(): Promise<GivenRoles>
  give(role: string, kind: MemberKind, member: string): Promise<void>
  take(role: string, kind: MemberKind, member: string): Promise<void>
}

export interface GivenRoles {
  readonly user: ReadonlyMap<string, readonly string[]>
  readonly group: ReadonlyMap<string, readonly string[]>
}

export function createRoleMembers({ db, now }: { db: Kysely<Tables>; now: () => number }): RoleMembers {
  const cache = createFreshCache<GivenRoles>({ freshMs: 1_000, most: 1, now })

  async function load(): Promise<GivenRoles> {
    const given = { user: new Map<string, string[]>(), group: new Map<string, string[]>() }
    for (const { role, kind, member } of await db.selectFrom('role_members').selectAll().execute()) {
      if (kind !== 'user' && kind !== 'group') continue
      given[kind].set(member, [...(given[kind].get(member) ?? []), role])
    }
    return given
  }

  return {
    async all() {
      return (await cache.get('all', () => load())) ?? { user: new Map(), group: new Map() }
    },
    async give(role, kind, member) {
      await db
        .insertInto('role_members')
        .values({ role, kind, member })
        .onConflict((conflict) => conflict.columns(['role', 'kind', 'member']).doNothing())
        .execute()
      cache.clear()
    },
    async take(role, kind, member) {
      await db
        .deleteFrom('role_members')
        .where('role', '=', role)
        .where('kind', '=', kind)
        .where('member', '=', member)
        .execute()
      cache.clear()
    },
  }
}
