/** The tables of shares, of links that make them, and of visits: their shapes, and the step that makes them. */
import type { Kysely, Selectable } from 'kysely'

export interface SharingTables {
  shares: SharesTable
  share_codes: ShareCodesTable
  visits: VisitsTable
}

/** One environment, open to one person or group; one row for each such pair. */
interface SharesTable {
  id: string
  environment_id: string
  owner_id: string
  /** One of the two. */
  user_id: string | null
  group_name: string | null
  /** 'guest': acts as the owner. 'viewer': may only look. */
  role: string
  created_at: number
  /** Null: as long as the environment. */
  expires_at: number | null
  /** Kept for a while, so that it can be undone. */
  ended_at: number | null
  /** The last entry by it. */
  used_at: number | null
}

/** A link that makes a share for whoever is logged in and has it. */
interface ShareCodesTable {
  id: string
  code_hash: string
  environment_id: string
  owner_id: string
  role: string
  created_at: number
  expires_at: number
  uses: number
  used_at: number | null
}

/** Somebody's stay in another's environment. */
interface VisitsTable {
  /** In tickets and entries, and in what revokes them. */
  id: string
  environment_id: string
  owner_id: string
  visitor_id: string
  /** 'guest' | 'viewer' | 'administrator' */
  role: string
  share_id: string | null
  /** Of staff, in their own words. */
  reason: string
  /** The login by which it began; null: it was announced with a token, and is the first login's that enters. */
  login: string | null
  began_at: number
  /** What was issued for it is over by then. */
  expires_at: number
  ended_at: number | null
  /** When its owner put the notice away. */
  read_at: number | null
}

export type ShareRow = Selectable<SharesTable>
export type ShareCodeRow = Selectable<ShareCodesTable>
export type VisitRow = Selectable<VisitsTable>

export async function sharingStep(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('shares')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment_id', 'text', (column) => column.notNull())
    .addColumn('owner_id', 'text', (column) => column.notNull())
    .addColumn('user_id', 'text')
    .addColumn('group_name', 'text')
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('ended_at', 'bigint')
    .addColumn('used_at', 'bigint')
    .execute()
  await db.schema.createIndex('shares_user').unique().on('shares').columns(['environment_id', 'user_id']).execute()
  await db.schema.createIndex('shares_group').unique().on('shares').columns(['environment_id', 'group_name']).execute()
  await db.schema.createIndex('shares_of_user').on('shares').column('user_id').execute()
  await db.schema.createIndex('shares_of_group').on('shares').column('group_name').execute()
  await db.schema
    .createTable('share_codes')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('code_hash', 'text', (column) => column.notNull().unique())
    .addColumn('environment_id', 'text', (column) => column.notNull())
    .addColumn('owner_id', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('uses', 'integer', (column) => column.notNull())
    .addColumn('used_at', 'bigint')
    .execute()
  await db.schema.createIndex('share_codes_environment').on('share_codes').column('environment_id').execute()
  let visits = db.schema.createTable('visits').addColumn('id', 'text', (column) => column.primaryKey())
  for (const name of ['environment_id', 'owner_id', 'visitor_id', 'role', 'reason']) {
    visits = visits.addColumn(name, 'text', (column) => column.notNull())
  }
  for (const name of ['share_id', 'login']) visits = visits.addColumn(name, 'text')
  for (const name of ['began_at', 'expires_at']) visits = visits.addColumn(name, 'bigint', (column) => column.notNull())
  await visits.addColumn('ended_at', 'bigint').addColumn('read_at', 'bigint').execute()
  await db.schema.createIndex('visits_environment').on('visits').columns(['environment_id', 'began_at']).execute()
  await db.schema.createIndex('visits_owner').on('visits').columns(['owner_id', 'read_at']).execute()
  await db.schema.createIndex('visits_open').on('visits').columns(['ended_at', 'expires_at']).execute()
}
