/**
 * What each user's account was when it was first seen. Files, jobs and what runs belong to the number, not to the
 * name: a name that has another number now is somebody else to the storage.
 */
import type { Kysely } from 'kysely'
import type { Account } from '../../spawners/spawner.ts'
import type { AuditEntry } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import { Problem } from '../domain/problem.ts'
import type { User } from '../domain/services.ts'
import type { Tables } from '../store/schema.ts'

export interface SeenAccounts {
  /**
   * Undefined: the source has no account of this name.
   * @throws Problem launchRefused when it was there and is gone, or has another uid.
   */
  check(user: User, account: Account | undefined): Promise<void>
}

export interface SeenAccountsOptions {
  readonly db: Kysely<Tables>
  readonly now: () => Date
}

export function createSeenAccounts({ db, now }: SeenAccountsOptions): SeenAccounts {
  const find = (user: User) =>
    db.selectFrom('accounts_seen').selectAll().where('user_id', '=', user.id).executeTakeFirst()
  const mark = (user: User, missing: number | null) =>
    db.updateTable('accounts_seen').set({ missing_since: missing }).where('user_id', '=', user.id).execute()

  async function first(user: User, uid: number): Promise<{ uid: number }> {
    await db
      .insertInto('accounts_seen')
      .values({ user_id: user.id, uid, first_seen_at: now().getTime(), missing_since: null })
      // Another launch, or another hub, may have been first.
      .onConflict((conflict) => conflict.column('user_id').doNothing())
      .execute()
    return (await find(user)) ?? { uid }
  }

  async function gone(user: User, since: number | null): Promise<never> {
    const at = since ?? now().getTime()
    if (since === null) await mark(user, at)
    throw new Problem(
      'launchRefused',
      `The account ${user.name} has gone from this facility's computers (missing since ${day(at)}), so nothing is launched. Ask your administrator whether it has ended.`,
    )
  }

  return {
    async check(user, account) {
      const seen = await find(user)
      if (account === undefined) {
        if (seen !== undefined) await gone(user, seen.missing_since)
        return
      }
      const { uid } = seen ?? (await first(user, account.uid))
      if (uid !== account.uid) {
        throw new Problem(
          'launchRefused',
          `The account ${user.name} was number ${uid} when it was first seen here, and is number ${account.uid} now, so nothing is launched: files may belong to the old number. Ask your administrator, who can accept the new one (hutch user renumber ${user.name}).`,
        )
      }
      if (seen !== undefined && seen.missing_since !== null) await mark(user, null)
    },
  }
}

/**
 * The next launch takes the account as it is then; an administrator has seen to the files.
 * @throws Problem notFound
 */
export async function renumber(
  { db, audit }: { readonly db: Kysely<Tables>; readonly audit: Pick<Audit, 'within'> },
  name: string,
  by: Pick<AuditEntry, 'who' | 'from' | 'login' | 'token'>,
): Promise<void> {
  const told = await db.transaction().execute(async (trx) => {
    const user = await trx.selectFrom('users').select(['id', 'name']).where('name', '=', name).executeTakeFirst()
    if (user === undefined) throw new Problem('notFound', `there is no user ${name}`, { field: 'user' })
    const seen = await trx
      .deleteFrom('accounts_seen')
      .where('user_id', '=', user.id)
      .returning('uid')
      .executeTakeFirst()
    if (seen === undefined) {
      throw new Problem('notFound', `nothing is remembered of the account ${name}; it needs no renumbering`)
    }
    return await audit.within(trx, { ...by, did: 'user.renumbered', toWhom: user, detail: { uid: seen.uid } })
  })
  told()
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}
