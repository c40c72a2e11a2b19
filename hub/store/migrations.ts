/** The tables, step by step, in code; the same on SQLite and PostgreSQL. A step that was released never changes. */
import { type Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { accountsSeen } from './migrations/accounts.ts'
import { auditTrail } from './migrations/audit.ts'
import { quotaStep } from './migrations/quota.ts'
import { requestsStep } from './migrations/requests.ts'
import { lifetimesStep, packagesStep } from './migrations/lifetimes.ts'
import { links } from './migrations/links.ts'
import { sharingStep } from './migrations/sharing.ts'
import { StateError } from './state-error.ts'

export type DatabaseType = 'sqlite' | 'postgresql'

/** Brings the database to this release. @throws StateError when it was written by a newer one. */
export async function migrate(db: Kysely<unknown>, type: DatabaseType): Promise<void> {
  const steps = migrations(type)
  const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(steps) } })
  await refuseNewer(db, steps)
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
}

async function refuseNewer(db: Kysely<unknown>, steps: Readonly<Record<string, Migration>>): Promise<void> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
  if (!tables.some((table) => table.name === 'kysely_migration')) return
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)
  const unknown = rows.find(({ name }) => !Object.hasOwn(steps, name))
  if (unknown === undefined) return
  throw new StateError(
    `the database was written by a newer Hutch (it has the step ${unknown.name}); start that release, or restore a backup from before the upgrade`,
  )
}

function migrations(type: DatabaseType): Readonly<Record<string, Migration>> {
  return {
    '0001-first': { up: (db) => first(db, type) },
    '0002-roles': { up: roles },
    '0003-audit': { up: (db) => auditTrail(db, type) },
    '0004-claims': { up: claims },
    '0005-quota': { up: quotaStep },
    '0006-links': { up: links },
    '0007-requests': { up: requestsStep },
    '0008-accounts': { up: accountsSeen },
    '0009-lifetimes': { up: lifetimesStep },
    '0010-sharing': { up: sharingStep },
    '0011-packages': { up: packagesStep },
  }
}

async function first(db: Kysely<unknown>, type: DatabaseType): Promise<void> {
  await people(db)
  await environments(db)
  await db.schema
    .createTable('revocations')
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('until', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('revocations_key', ['kind', 'subject'])
    .execute()
  await db.schema
    .createTable('leases')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('holder', 'text', (column) => column.notNull())
    .addColumn('epoch', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema
    .createTable('audit')
    .addColumn('id', type === 'sqlite' ? 'integer' : 'bigserial', (column) =>
      type === 'sqlite' ? column.primaryKey().autoIncrement() : column.primaryKey(),
    )
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('action', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('detail', 'text', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('audit_at').on('audit').column('at').execute()
  await db.schema
    .createTable('meta')
    .addColumn('key', 'text', (column) => column.primaryKey())
    .addColumn('value', 'text', (column) => column.notNull())
    .execute()
}

async function people(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('users')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .addColumn('title', 'text', (column) => column.notNull())
    .addColumn('email', 'text')
    .addColumn('admin', 'integer', (column) => column.notNull())
    .addColumn('blocked_reason', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('last_activity_at', 'bigint')
    .execute()
  await db.schema
    .createTable('identities')
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .addColumn('claims', 'text', (column) => column.notNull())
    .addColumn('linked_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('identities_key', ['issuer', 'subject'])
    .execute()
  await db.schema.createIndex('identities_user').on('identities').column('user_id').execute()
  await db.schema
    .createTable('logins')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('secret_hash', 'text', (column) => column.notNull().unique())
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('sid', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('seen_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    .addColumn('user_agent', 'text', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('logins_user').on('logins').column('user_id').execute()
  await db.schema.createIndex('logins_end').on('logins').column('expires_at').execute()
  await db.schema.createIndex('logins_sid').on('logins').columns(['issuer', 'sid']).execute()
  await db.schema
    .createTable('tokens')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('secret_hash', 'text', (column) => column.notNull().unique())
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .addColumn('scopes', 'text', (column) => column.notNull())
    .addColumn('note', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('last_used_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .execute()
  await db.schema.createIndex('tokens_user').on('tokens').column('user_id').execute()
}

const environmentTexts = ['server', 'title', 'spawner', 'profile', 'flavour', 'proposals', 'spec', 'spec_digest']
const environmentTimes = ['accepted_at', 'started_at', 'ready_at', 'last_activity_at', 'ends_at', 'ended_at']

async function environments(db: Kysely<unknown>): Promise<void> {
  let table = db.schema
    .createTable('environments')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .addColumn('image', 'text')
  for (const name of [...environmentTexts, 'choices', 'wanted']) {
    table = table.addColumn(name, 'text', (column) => column.notNull())
  }
  for (const name of ['wanted_at', 'requested_at']) {
    table = table.addColumn(name, 'bigint', (column) => column.notNull())
  }
  for (const name of ['attempts', 'generation']) {
    table = table.addColumn(name, 'integer', (column) => column.notNull().defaultTo(0))
  }
  for (const name of ['wanted_reason', 'observation', 'action', 'host', 'claim', 'end_reason', 'end_message']) {
    table = table.addColumn(name, 'text')
  }
  for (const name of ['observed_at', 'action_at', 'action_begun_at', 'unreachable_since', ...environmentTimes]) {
    table = table.addColumn(name, 'bigint')
  }
  await table.addColumn('port', 'integer').addColumn('log_tail', 'text').execute()
  const live = sql<boolean>`ended_at is null`
  // One live environment for each URL; ended ones may share it.
  await db.schema
    .createIndex('environments_live_url')
    .unique()
    .on('environments')
    .columns(['user_id', 'server'])
    .where(live)
    .execute()
  await db.schema.createIndex('environments_live').on('environments').column('spawner').where(live).execute()
  await db.schema.createIndex('environments_user').on('environments').columns(['user_id', 'ended_at']).execute()
  await db.schema
    .createIndex('environments_ready')
    .on('environments')
    .columns(['profile', 'spawner', 'ready_at'])
    .execute()
}

async function roles(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('groups')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('properties', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema
    .createTable('group_members')
    .addColumn('group_name', 'text', (column) => column.notNull().references('groups.name'))
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .addPrimaryKeyConstraint('group_members_key', ['group_name', 'user_id'])
    .execute()
  await db.schema.createIndex('group_members_user').on('group_members').column('user_id').execute()
  await db.schema
    .createTable('role_members')
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('member', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('role_members_key', ['role', 'kind', 'member'])
    .execute()
  await db.schema
    .alterTable('tokens')
    .addColumn('kind', 'text', (column) => column.notNull().defaultTo('api'))
    .execute()
  for (const name of ['client_id', 'session_id', 'login']) {
    await db.schema.alterTable('tokens').addColumn(name, 'text').execute()
  }
  await db.schema.createIndex('tokens_client').on('tokens').column('client_id').execute()
  await db.schema
    .createTable('oauth_codes')
    .addColumn('code_hash', 'text', (column) => column.primaryKey())
    .addColumn('client_id', 'text', (column) => column.notNull())
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .addColumn('login', 'text', (column) => column.notNull())
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('redirect_uri', 'text', (column) => column.notNull())
    .addColumn('challenge', 'text')
    .addColumn('scopes', 'text', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('used_at', 'bigint')
    .execute()
  await db.schema.createIndex('oauth_codes_end').on('oauth_codes').column('expires_at').execute()
}

/** Which start of an environment was given its key: each but once. */
async function claims(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('claims')
    .addColumn('environment_id', 'text', (column) => column.notNull())
    .addColumn('started_at', 'bigint', (column) => column.notNull())
    .addColumn('claimed_at', 'bigint', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('claims_key', ['environment_id', 'started_at'])
    .execute()
}
