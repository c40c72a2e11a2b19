/** How long lines of the audit trail are kept; a little at a time, so that nothing waits long. */
import type { Kysely } from 'kysely'
import type { Configuration } from '../../config/schema.ts'
import type { Tables } from '../store/schema.ts'
import { throughGate } from './gate.ts'

const mostAtOnce = 1_000

/** Returns how many lines went. */
export async function forget(
  db: Kysely<Tables>,
  { keep, keepRefusals }: Pick<Configuration['audit'], 'keep' | 'keepRefusals'>,
  now: Date,
): Promise<number> {
  let forgotten = 0
  for (;;) {
    const gone = await forgetSome(db, now.getTime() - keep, now.getTime() - Math.min(keep, keepRefusals))
    forgotten += gone
    if (gone < mostAtOnce) return forgotten
  }
}

async function forgetSome(db: Kysely<Tables>, before: number, refusalsBefore: number): Promise<number> {
  return await db.transaction().execute((trx) =>
    throughGate(trx, 'retention', async () => {
      const old = trx
        .selectFrom('audit')
        .select('id')
        .where((line) =>
          line.or([
            line('at', '<', before),
            line.and([line('at', '<', refusalsBefore), line('did', 'like', '%.refused')]),
          ]),
        )
        .limit(mostAtOnce)
      const deleted = await trx.deleteFrom('audit').where('id', 'in', old).executeTakeFirst()
      return Number(deleted.numDeletedRows)
    }),
  )
}
