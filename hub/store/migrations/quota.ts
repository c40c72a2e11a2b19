/** The tables of limits and of what was used: their shapes, and the steps that make them. */
import type { Generated, Kysely, Selectable } from 'kysely'

export interface QuotaTables {
  limits: LimitsTable
  ledger: LedgerTable
  records: RecordsTable
}

interface LimitsTable {
  id: string
  /** 'everyone' | 'group' | 'proposal' | 'user' */
  subject_kind: string
  subject_name: string
  /** 'each' | 'together' */
  share: string
  resource: string
  of_type: string
  period: string
  /** JSON: a number, or {field, factor}. */
  most: string
  valid_from: number | null
  valid_until: number | null
  source: string
  note: string
  created_at: number
  created_by: string
}

/** What an environment that ended took: a row for its user, its groups, its proposals and everyone, for each slice. */
interface LedgerTable {
  kind: string
  /** The user's id, or the name of a group or proposal, or empty for everyone. */
  name: string
  environment_id: string
  slice: number
  /** When the slice was admitted. */
  charged_at: number
  cpu_ms: number
  gpu_ms: number
  gpu_type: string
}

/** What is kept of each environment for good, also after its owner took it off the list. */
interface RecordsTable {
  environment_id: string
  user_id: string
  user_name: string
  title: string
  spawner: string
  profile: string
  flavour: string
  image: string | null
  image_digest: string | null
  /** JSON: what the image holds, as far as it is known. */
  packages: string | null
  /** JSON array of proposal ids. */
  proposals: string
  /** JSON array of group names. */
  owner_groups: string
  /** JSON array of mounts. */
  mounts: string
  /** JSON: what it was given. */
  resources: string
  /** JSON: what it used. */
  used: string
  requested_at: number
  started_at: number | null
  ready_at: number | null
  ended_at: number
  end_reason: string
  end_message: string
}

/** What the columns that limits need add to `environments`. */
export interface QuotaColumns {
  /** JSON array: the owner's groups at the launch. */
  owner_groups: Generated<string>
  /** JSON array of {at, ms}: what was admitted after the launch. */
  extensions: Generated<string>
}

export type LimitRow = Selectable<LimitsTable>

export async function quotaStep(db: Kysely<unknown>): Promise<void> {
  for (const column of ['owner_groups', 'extensions']) {
    await db.schema
      .alterTable('environments')
      .addColumn(column, 'text', (each) => each.notNull().defaultTo('[]'))
      .execute()
  }
  await limits(db)
  await ledger(db)
  await records(db)
}

async function limits(db: Kysely<unknown>): Promise<void> {
  let table = db.schema.createTable('limits').addColumn('id', 'text', (column) => column.primaryKey())
  const texts = ['subject_kind', 'subject_name', 'share', 'resource', 'of_type', 'period', 'most']
  for (const name of [...texts, 'source', 'note', 'created_by']) {
    table = table.addColumn(name, 'text', (column) => column.notNull())
  }
  await table
    .addColumn('valid_from', 'bigint')
    .addColumn('valid_until', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
}

async function ledger(db: Kysely<unknown>): Promise<void> {
  let table = db.schema.createTable('ledger').addColumn('environment_id', 'text', (column) => column.notNull())
  for (const name of ['kind', 'name', 'gpu_type']) {
    table = table.addColumn(name, 'text', (column) => column.notNull())
  }
  for (const name of ['charged_at', 'cpu_ms', 'gpu_ms']) {
    table = table.addColumn(name, 'bigint', (column) => column.notNull())
  }
  await table.addColumn('slice', 'integer', (column) => column.notNull()).execute()
  await db.schema.createIndex('ledger_environment').on('ledger').column('environment_id').execute()
  await db.schema.createIndex('ledger_spent').on('ledger').columns(['kind', 'name', 'charged_at']).execute()
}

async function records(db: Kysely<unknown>): Promise<void> {
  let table = db.schema.createTable('records').addColumn('environment_id', 'text', (column) => column.primaryKey())
  const texts = ['user_id', 'user_name', 'title', 'spawner', 'profile', 'flavour', 'proposals', 'owner_groups']
  for (const name of [...texts, 'mounts', 'resources', 'used', 'end_reason', 'end_message']) {
    table = table.addColumn(name, 'text', (column) => column.notNull())
  }
  for (const name of ['image', 'image_digest', 'packages']) table = table.addColumn(name, 'text')
  for (const name of ['requested_at', 'ended_at']) table = table.addColumn(name, 'bigint', (column) => column.notNull())
  for (const name of ['started_at', 'ready_at']) table = table.addColumn(name, 'bigint')
  await table.execute()
  await db.schema.createIndex('records_user').on('records').columns(['user_id', 'ended_at']).execute()
  await db.schema.createIndex('records_ended').on('records').column('ended_at').execute()
}
