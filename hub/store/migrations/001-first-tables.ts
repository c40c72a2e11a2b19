/** The tables of ../schema.ts. Times are int8 on PostgreSQL and integer on SQLite. */
import { sql, type ColumnDataType, type CreateTableBuilder, type Kysely } from 'kysely'

type StoreType = 'sqlite' | 'postgresql'

type Column = readonly [name: string, kind: 'text' | 'number', needed?: 'needed']

const tables: Readonly<Record<string, Readonly<{ key: readonly string[]; columns: readonly Column[] }>>> = {
  users: {
    key: ['id'],
    columns: [
      ['id', 'text', 'needed'],
      ['name', 'text', 'needed'],
      ['title', 'text', 'needed'],
      ['email', 'text'],
      ['admin', 'number', 'needed'],
      ['blocked_reason', 'text'],
      ['created_at', 'number', 'needed'],
      ['last_activity_at', 'number'],
    ],
  },
  identities: {
    key: ['issuer', 'subject'],
    columns: [
      ['issuer', 'text', 'needed'],
      ['subject', 'text', 'needed'],
      ['user_id', 'text', 'needed'],
      ['claims', 'text', 'needed'],
      ['linked_at', 'number', 'needed'],
    ],
  },
  logins: {
    key: ['id'],
    columns: [
      ['id', 'text', 'needed'],
      ['secret_hash', 'text', 'needed'],
      ['user_id', 'text', 'needed'],
      ['issuer', 'text', 'needed'],
      ['subject', 'text', 'needed'],
      ['sid', 'text'],
      ['created_at', 'number', 'needed'],
      ['seen_at', 'number', 'needed'],
      ['expires_at', 'number', 'needed'],
      ['revoked_at', 'number'],
      ['user_agent', 'text', 'needed'],
      ['address', 'text', 'needed'],
    ],
  },
  tokens: {
    key: ['id'],
    columns: [
      ['id', 'text', 'needed'],
      ['secret_hash', 'text', 'needed'],
      ['user_id', 'text', 'needed'],
      ['scopes', 'text', 'needed'],
      ['note', 'text', 'needed'],
      ['created_at', 'number', 'needed'],
      ['expires_at', 'number'],
      ['last_used_at', 'number'],
      ['revoked_at', 'number'],
    ],
  },
  environments: {
    key: ['id'],
    columns: [
      ['id', 'text', 'needed'],
      ['user_id', 'text', 'needed'],
      ['server', 'text', 'needed'],
      ['title', 'text', 'needed'],
      ['spawner', 'text', 'needed'],
      ['profile', 'text', 'needed'],
      ['flavour', 'text', 'needed'],
      ['image', 'text'],
      ['proposals', 'text', 'needed'],
      ['spec', 'text', 'needed'],
      ['spec_digest', 'text', 'needed'],
      ['choices', 'text', 'needed'],
      ['wanted', 'text', 'needed'],
      ['wanted_at', 'number', 'needed'],
      ['wanted_reason', 'text'],
      ['observation', 'text'],
      ['observed_at', 'number'],
      ['action_at', 'number'],
      ['action', 'text'],
      ['action_begun_at', 'number'],
      ['attempts', 'number', 'needed'],
      ['host', 'text'],
      ['port', 'number'],
      ['generation', 'number', 'needed'],
      ['requested_at', 'number', 'needed'],
      ['accepted_at', 'number'],
      ['started_at', 'number'],
      ['ready_at', 'number'],
      ['last_activity_at', 'number'],
      ['ends_at', 'number'],
      ['ended_at', 'number'],
      ['end_reason', 'text'],
      ['end_message', 'text'],
      ['log_tail', 'text'],
    ],
  },
  revocations: {
    key: ['kind', 'subject'],
    columns: [
      ['kind', 'text', 'needed'],
      ['subject', 'text', 'needed'],
      ['at', 'number', 'needed'],
      ['until', 'number', 'needed'],
    ],
  },
  leases: {
    key: ['name'],
    columns: [
      ['name', 'text', 'needed'],
      ['holder', 'text', 'needed'],
      ['epoch', 'number', 'needed'],
      ['expires_at', 'number', 'needed'],
    ],
  },
  meta: {
    key: ['key'],
    columns: [
      ['key', 'text', 'needed'],
      ['value', 'text', 'needed'],
    ],
  },
}

export async function createFirstTables(db: Kysely<unknown>, type: StoreType): Promise<void> {
  const number: ColumnDataType = type === 'postgresql' ? 'int8' : 'integer'
  for (const [name, { key, columns }] of Object.entries(tables)) {
    let table: CreateTableBuilder<string, string> = db.schema.createTable(name)
    for (const [column, kind, needed] of columns) {
      table = table.addColumn(column, kind === 'text' ? 'text' : number, (each) => (needed ? each.notNull() : each))
    }
    await table.addPrimaryKeyConstraint(`${name}_key`, [...key]).execute()
  }
  await db.schema
    .createTable('audit')
    .addColumn('id', type === 'postgresql' ? 'bigserial' : 'integer', (each) =>
      type === 'postgresql' ? each.primaryKey() : each.primaryKey().autoIncrement(),
    )
    .addColumn('at', number, (each) => each.notNull())
    .addColumn('actor', 'text', (each) => each.notNull())
    .addColumn('action', 'text', (each) => each.notNull())
    .addColumn('subject', 'text', (each) => each.notNull())
    .addColumn('detail', 'text', (each) => each.notNull())
    .execute()
  await createIndices(db)
}

async function createIndices(db: Kysely<unknown>): Promise<void> {
  const unique = (name: string, table: string, ...columns: string[]) =>
    db.schema.createIndex(name).on(table).columns(columns).unique().execute()
  const plain = (name: string, table: string, ...columns: string[]) =>
    db.schema.createIndex(name).on(table).columns(columns).execute()
  await unique('users_name', 'users', 'name')
  await unique('logins_secret', 'logins', 'secret_hash')
  await unique('tokens_secret', 'tokens', 'secret_hash')
  await plain('identities_user', 'identities', 'user_id')
  await plain('logins_user', 'logins', 'user_id', 'created_at')
  await plain('logins_subject', 'logins', 'issuer', 'subject')
  await plain('tokens_user', 'tokens', 'user_id')
  await plain('environments_user', 'environments', 'user_id', 'requested_at')
  await plain('environments_start', 'environments', 'profile', 'spawner', 'ready_at')
  await plain('audit_at', 'audit', 'at')
  await plain('audit_subject', 'audit', 'subject', 'at')
  // One living environment for each URL; ended ones may share it.
  await sql`create unique index environments_server on environments (user_id, server) where ended_at is null`.execute(
    db,
  )
  await sql`create index environments_living on environments (spawner) where ended_at is null`.execute(db)
}
