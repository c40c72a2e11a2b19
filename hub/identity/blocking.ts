/** Blocking somebody: whatever is open closes within a second, and they read why. What runs goes on. */
import type { Kysely } from 'kysely'
import type { AuditEntry } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import { Problem } from '../domain/problem.ts'
import type { RouteTable } from '../domain/services.ts'
import type { Tables } from '../store/schema.ts'

export interface BlockingOptions {
  readonly db: Kysely<Tables>
  readonly audit: Pick<Audit, 'within'>
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly now: () => Date
}

/** Nothing that was opened before lives longer. */
const revokedForMs = 31 * 86_400_000

/** `reason`: what the person reads; null: not blocked any more. Throws Problem 'notFound'. */
export async function block(
  { db, audit, routes, now }: BlockingOptions,
  name: string,
  reason: string | null,
  by: Pick<AuditEntry, 'who' | 'from' | 'login' | 'token'>,
): Promise<void> {
  const { id, told } = await db.transaction().execute(async (trx) => {
    const user = await trx
      .updateTable('users')
      .set({ blocked_reason: reason })
      .where('name', '=', name)
      .returning(['id', 'name'])
      .executeTakeFirst()
    if (user === undefined) throw new Problem('notFound', `there is no user ${name}`, { field: 'user' })
    const did = reason === null ? 'user.unblocked' : 'user.blocked'
    return { id: user.id, told: await audit.within(trx, { ...by, did, toWhom: user, detail: { reason } }) }
  })
  told()
  if (reason === null) return
  const at = now().getTime()
  await routes.revoke({ kind: 'user', subject: id, at, until: at + revokedForMs })
}
