/** The trail page by page, for `hutch audit export`. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { Problem } from '../domain/problem.ts'
import type { Tables } from '../store/schema.ts'
import { type AuditLine, lineOf } from './entry.ts'

export const auditQuerySchema = z.strictObject({
  /** What was written after this line. */
  after: z.coerce.number().int().min(0).default(0),
  /** ms since the epoch. */
  since: z.coerce.number().optional(),
  until: z.coerce.number().optional(),
  /** By name: what this person did, and what was done to them. */
  user: z.string().max(64).optional(),
})

export type AuditQuery = z.input<typeof auditQuerySchema>

const pageSize = 1_000

/** In the order of writing; an empty page is the end. Throws Problem 'notFound' for a user who is not there. */
export function auditExporter(db: Kysely<Tables>): (query: AuditQuery) => Promise<readonly AuditLine[]> {
  return async (asked) => {
    const { after, since, until, user } = auditQuerySchema.parse(asked)
    let query = db.selectFrom('audit').selectAll().where('id', '>', after).orderBy('id').limit(pageSize)
    if (since !== undefined) query = query.where('at', '>=', since)
    if (until !== undefined) query = query.where('at', '<', until)
    if (user !== undefined) {
      const row = await db.selectFrom('users').select('id').where('name', '=', user).executeTakeFirst()
      if (row === undefined) throw new Problem('notFound', `there is no user ${user}`, { field: 'user' })
      query = query.where((line) => line.or([line('who_id', '=', row.id), line('whom_id', '=', row.id)]))
    }
    return (await query.execute()).map(lineOf)
  }
}
