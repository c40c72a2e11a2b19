/** What users' identities are worth today, asked of what is configured now and not of what was written at a login. */
import type { Kysely } from 'kysely'
import type { Tables } from '../store/schema.ts'
import { groupsOf, parseClaims } from './claims.ts'
import type { Providers } from './providers.ts'

interface Vouched {
  readonly admin: boolean
  /** As the providers said at the last login. */
  readonly groups: readonly string[]
}

export interface Vouching {
  /** Undefined: there are identities, and nobody who is configured vouches for any of them. */
  of(userId: string): Promise<Vouched | undefined>
  /** By user id; who is absent has none, or nobody vouches for them. */
  ofAll(userIds: readonly string[]): Promise<ReadonlyMap<string, Vouched>>
}

const atOnce = 1_000

interface IdentityRow {
  readonly issuer: string
  readonly subject: string
  readonly claims: string
}

export function createVouching({ db, providers }: { db: Kysely<Tables>; providers: Providers }): Vouching {
  function worthOf(rows: readonly IdentityRow[]): Vouched | undefined {
    const vouched = rows.flatMap(({ issuer, subject, claims }) => {
      const provider = providers.byIssuer(issuer)
      return provider ? [{ issuer, subject, groups: groupsOf(parseClaims(claims), provider.configuration) }] : []
    })
    // Whoever vouched for this person is no longer configured: what they said does not count any more.
    if (rows.length > 0 && vouched.length === 0) return undefined
    return {
      admin: vouched.some(({ issuer, subject }) => providers.isAdministrator(issuer, subject)),
      groups: [...new Set(vouched.flatMap(({ groups }) => groups))],
    }
  }

  return {
    async of(userId) {
      const rows = await db
        .selectFrom('identities')
        .select(['issuer', 'subject', 'claims'])
        .where('user_id', '=', userId)
        .execute()
      return worthOf(rows)
    },
    async ofAll(userIds) {
      const found = new Map<string, IdentityRow[]>()
      for (let first = 0; first < userIds.length; first += atOnce) {
        const rows = await db
          .selectFrom('identities')
          .select(['user_id', 'issuer', 'subject', 'claims'])
          .where('user_id', 'in', userIds.slice(first, first + atOnce))
          .execute()
        for (const row of rows) {
          const those = found.get(row.user_id)
          if (those === undefined) found.set(row.user_id, [row])
          else those.push(row)
        }
      }
      const worth = [...found].map(([id, rows]) => [id, worthOf(rows)] as const)
      return new Map(worth.filter((each): each is [string, Vouched] => each[1] !== undefined))
    },
  }
}
