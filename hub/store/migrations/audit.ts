/** The audit trail: append-only by triggers, which open only for what hub/audit/gate.ts says. */
import { type Kysely, sql } from 'kysely'
import type { DatabaseType } from '../migrations.ts'

export async function auditTrail(db: Kysely<unknown>, type: DatabaseType): Promise<void> {
  // Made by the first step, never written to, and too narrow.
  await db.schema.dropTable('audit').execute()
  let table = db.schema
    .createTable('audit')
    .addColumn('id', type === 'sqlite' ? 'integer' : 'bigserial', (column) =>
      type === 'sqlite' ? column.primaryKey().autoIncrement() : column.primaryKey(),
    )
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('who', 'text', (column) => column.notNull())
    .addColumn('did', 'text', (column) => column.notNull())
    .addColumn('detail', 'text', (column) => column.notNull())
  for (const name of ['who_id', 'whom', 'whom_id', 'what', 'address', 'login', 'token']) {
    table = table.addColumn(name, 'text')
  }
  await table.execute()
  await db.schema.createIndex('audit_at').on('audit').column('at').execute()
  await db.schema.createIndex('audit_who').on('audit').column('who_id').execute()
  await db.schema.createIndex('audit_whom').on('audit').column('whom_id').execute()
  await db.schema
    .createTable('audit_gate')
    .addColumn('one', 'integer', (column) => column.primaryKey().check(sql`one = 1`))
    .addColumn('open_for', 'text', (column) => column.notNull())
    .execute()
  await sql`insert into audit_gate (one, open_for) values (1, '')`.execute(db)
  await (type === 'sqlite' ? sqliteTriggers(db) : postgresTriggers(db))
}

async function sqliteTriggers(db: Kysely<unknown>): Promise<void> {
  await sql`create trigger audit_no_delete before delete on audit
    when (select open_for from audit_gate) is not 'retention'
    begin select raise(abort, 'the audit trail is append-only'); end`.execute(db)
  await sql`create trigger audit_no_update before update on audit
    when (select open_for from audit_gate) is not 'pseudonym'
      or new.id is not old.id or new.at is not old.at or new.did is not old.did
    begin select raise(abort, 'the audit trail is append-only'); end`.execute(db)
  // "insert or replace" deletes without the trigger above.
  await sql`create trigger audit_no_replace before insert on audit
    when exists (select 1 from audit where id = new.id)
    begin select raise(abort, 'the audit trail is append-only'); end`.execute(db)
}

async function postgresTriggers(db: Kysely<unknown>): Promise<void> {
  await sql`create function audit_guard() returns trigger language plpgsql as $$
    begin
      if tg_op = 'DELETE' and (select open_for from audit_gate) = 'retention' then return old; end if;
      if tg_op = 'UPDATE' and (select open_for from audit_gate) = 'pseudonym'
        and new.id = old.id and new.at = old.at and new.did = old.did then return new; end if;
      raise exception 'the audit trail is append-only';
    end $$`.execute(db)
  await sql`create trigger audit_no_change before update or delete on audit
    for each row execute function audit_guard()`.execute(db)
  await sql`create trigger audit_no_truncate before truncate on audit
    for each statement execute function audit_guard()`.execute(db)
}
