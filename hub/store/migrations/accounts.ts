/** What each user's account was when it was first seen. */
import type { Kysely } from 'kysely'

export async function accountsSeen(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('accounts_seen')
    .addColumn('user_id', 'text', (column) => column.primaryKey())
    .addColumn('uid', 'bigint', (column) => column.notNull())
    .addColumn('first_seen_at', 'bigint', (column) => column.notNull())
    .addColumn('missing_since', 'bigint')
    .execute()
}
