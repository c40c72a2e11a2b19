/** Revocations in the store: they outlive the hub, and other hubs hear of them. */
import type { Revocation } from '../../proxy/feed.ts'
import type { Store } from '../store/index.ts'

export async function saveRevocation(store: Store, revocation: Revocation): Promise<void> {
  await store.writer.write(`revocation ${revocation.kind} ${revocation.subject}`, async (trx, tell) => {
    const { kind, subject, at, until } = revocation
    const known = await trx
      .selectFrom('revocations')
      .select(['at', 'until'])
      .where('kind', '=', kind)
      .where('subject', '=', subject)
      .executeTakeFirst()
    const values = { at: Math.max(known?.at ?? 0, at), until: Math.max(known?.until ?? 0, until) }
    await trx
      .insertInto('revocations')
      .values({ kind, subject, ...values })
      .onConflict((conflict) => conflict.columns(['kind', 'subject']).doUpdateSet(values))
      .execute()
    // Those that have expired refuse nobody; this keeps the table as small as it must be.
    await trx
      .deleteFrom('revocations')
      .where('until', '<', at - keepMs)
      .execute()
    tell({ of: 'revocations' })
  })
}

const keepMs = 86_400_000

export async function loadRevocations(store: Store, now: number): Promise<Revocation[]> {
  const rows = await store.db.selectFrom('revocations').selectAll().where('until', '>', now).execute()
  return rows.flatMap(({ kind, subject, at, until }) => (isKind(kind) ? [{ kind, subject, at, until }] : []))
}

function isKind(text: string): text is Revocation['kind'] {
  return text === 'login' || text === 'user' || text === 'share'
}
