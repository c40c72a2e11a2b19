/** Logout tokens that were taken, in the store: a second hub, or this one after a restart, takes none again. */
import type { Kysely } from 'kysely'
import type { Tables } from '../store/schema.ts'

export interface TakenOnce {
  /** False: it was taken before. */
  take(issuer: string, jti: string, until: number): Promise<boolean>
  /** What it asked for did not come to pass: the provider may send it again. */
  giveBack(issuer: string, jti: string): Promise<void>
}

export function createTakenOnce(db: Kysely<Tables>, now: () => number): TakenOnce {
  return {
    async take(issuer, jti, until) {
      await db.deleteFrom('logout_tokens').where('until', '<', now()).execute()
      const taken = await db
        .insertInto('logout_tokens')
        .values({ issuer, jti, until })
        .onConflict((conflict) => conflict.columns(['issuer', 'jti']).doNothing())
        .executeTakeFirst()
      return (taken.numInsertedOrUpdatedRows ?? 0n) > 0n
    },
    async giveBack(issuer, jti) {
      await db.deleteFrom('logout_tokens').where('issuer', '=', issuer).where('jti', '=', jti).execute()
    },
  }
}
