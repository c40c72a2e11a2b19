/** What logins keep of their provider, how identities came to be linked, and who waits for it. */
import type { CreateTableBuilder, Kysely } from 'kysely'

export async function links(db: Kysely<unknown>): Promise<void> {
  for (const name of ['provider_subject', 'id_token', 'refresh_token']) {
    await db.schema.alterTable('logins').addColumn(name, 'text').execute()
  }
  for (const name of ['refreshed_at', 'refresh_by', 'refreshing_until']) {
    await db.schema.alterTable('logins').addColumn(name, 'bigint').execute()
  }
  await db.schema
    .alterTable('logins')
    .addColumn('authenticated_at', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()
  await db.schema.createIndex('logins_refresh').on('logins').column('refreshed_at').execute()
  await db.schema
    .alterTable('identities')
    .addColumn('linked_by', 'text', (column) => column.notNull().defaultTo('login'))
    .execute()
  await db.schema.alterTable('identities').addColumn('legacy_hash', 'text').execute()
  let requests: CreateTableBuilder<string, string> = db.schema.createTable('link_requests')
  for (const name of ['issuer', 'subject', 'title', 'note', 'state', 'address']) {
    requests = requests.addColumn(name, 'text', (column) => column.notNull())
  }
  for (const name of ['name', 'email', 'legacy_hash', 'reason']) requests = requests.addColumn(name, 'text')
  for (const name of ['asked_at', 'expires_at']) {
    requests = requests.addColumn(name, 'bigint', (column) => column.notNull())
  }
  await requests
    .addColumn('id', 'text', (column) => column.notNull().unique())
    .addPrimaryKeyConstraint('link_requests_key', ['issuer', 'subject'])
    .execute()
  await db.schema
    .createTable('logout_tokens')
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('jti', 'text', (column) => column.notNull())
    .addColumn('until', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('logout_tokens_key', ['issuer', 'jti'])
    .execute()
}
