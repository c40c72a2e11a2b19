/** Who reconciles a spawner: a row with an epoch, on the database's clock. */
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DatabaseType } from './migrations.ts'
import { prepared } from './prepared.ts'
import type { Tables } from './schema.ts'
import { Fenced } from './writer.ts'

export interface Lease {
  readonly name: string
  readonly holder: string
  /** Counts up with each new holder. */
  readonly epoch: number
}

export interface Leases {
  /** Undefined: another hub holds it. `evenIfHeld`: whoever held it is known to be dead. */
  take(name: string, holder: string, options: { ttlMs: number; evenIfHeld: boolean }): Promise<Lease | undefined>
  /** False: it is lost. */
  renew(lease: Lease, ttlMs: number): Promise<boolean>
  release(lease: Lease): Promise<void>
  /** First in a transaction that writes what only the holder may. @throws Fenced */
  check(trx: Transaction<Tables>, lease: Lease): Promise<void>
}

const selectHeld = prepared((db, { name, epoch, holder }: Lease) =>
  db
    .selectFrom('leases')
    .select('epoch')
    .where('name', '=', name)
    .where('epoch', '=', epoch)
    .where('holder', '=', holder),
)
/** Nobody takes it over before this transaction is done. */
const selectToHold = prepared((db, { name, epoch, holder }: Lease) =>
  db
    .selectFrom('leases')
    .select('epoch')
    .where('name', '=', name)
    .where('epoch', '=', epoch)
    .where('holder', '=', holder)
    .forShare(),
)

export function createLeases(db: Kysely<Tables>, type: DatabaseType, ownClock: () => Date): Leases {
  // With SQLite this process is the database.
  const now = (): RawBuilder<number> =>
    type === 'sqlite'
      ? sql<number>`${ownClock().getTime()}`
      : sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`
  const until = (ttlMs: number): RawBuilder<number> => sql<number>`${now()} + ${sql.lit(Math.round(ttlMs))}`

  /** Within one transaction once is enough. */
  const checked = new WeakMap<Transaction<Tables>, Set<string>>()

  return {
    async take(name, holder, { ttlMs, evenIfHeld }) {
      await db
        .insertInto('leases')
        .values({ name, holder: '', epoch: 0, expires_at: 0 })
        .onConflict((conflict) => conflict.column('name').doNothing())
        .execute()
      let taking = db
        .updateTable('leases')
        .set((row) => ({ holder, epoch: row('epoch', '+', 1), expires_at: until(ttlMs) }))
        .where('name', '=', name)
      if (!evenIfHeld) taking = taking.where('expires_at', '<=', now())
      const taken = await taking.returning('epoch').executeTakeFirst()
      return taken && { name, holder, epoch: taken.epoch }
    },
    async renew(lease, ttlMs) {
      const renewed = await db
        .updateTable('leases')
        .set({ expires_at: until(ttlMs) })
        .where('name', '=', lease.name)
        .where('epoch', '=', lease.epoch)
        .where('holder', '=', lease.holder)
        .executeTakeFirst()
      return renewed.numUpdatedRows > 0n
    },
    async release(lease) {
      await db
        .updateTable('leases')
        .set({ expires_at: 0 })
        .where('name', '=', lease.name)
        .where('epoch', '=', lease.epoch)
        .where('holder', '=', lease.holder)
        .execute()
    },
    async check(trx, lease) {
      const done = checked.get(trx) ?? new Set()
      const key = `${lease.epoch} ${lease.name} ${lease.holder}`
      if (done.has(key)) return
      const select = type === 'postgresql' ? selectToHold : selectHeld
      if ((await select(trx, lease)).rows.length === 0) {
        throw new Fenced(`another hub has taken over ${lease.name}`)
      }
      checked.set(trx, done.add(key))
    },
  }
}
