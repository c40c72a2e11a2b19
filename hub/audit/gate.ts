/**
 * The database itself refuses to change or delete what is in the audit trail (see the triggers of the migration),
 * but in a transaction that opened the gate. Nobody else sees it open: it is shut before the commit.
 */
import type { Kysely, Transaction } from 'kysely'
import type { Tables } from '../store/schema.ts'

/** `retention`: rows may be deleted. `pseudonym`: names, addresses and facts may be replaced; never when or what. */
type Purpose = 'retention' | 'pseudonym'

export async function throughGate<T>(
  trx: Transaction<Tables>,
  purpose: Purpose,
  work: (trx: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  await set(trx, purpose)
  const value = await work(trx)
  await set(trx, '')
  return value
}

async function set(db: Kysely<Tables>, purpose: Purpose | ''): Promise<void> {
  await db.updateTable('audit_gate').set({ open_for: purpose }).execute()
}
