/** Tokens for whoever may use the control socket, which is the account that the hub runs as. */
import type { Kysely } from 'kysely'
import type { TokenRequest } from '../control.ts'
import { Problem } from '../domain/problem.ts'
import type { Tables } from '../store/schema.ts'
import type { Tokens } from './tokens.ts'

export function createTokenMaker({ db, tokens }: { db: Kysely<Tables>; tokens: Pick<Tokens, 'create'> }) {
  return async ({ user, scopes, note, expiresAt }: TokenRequest): Promise<string> => {
    const row = await db.selectFrom('users').select('id').where('name', '=', user).executeTakeFirst()
    if (row === undefined) {
      throw new Problem('notFound', `there is no user ${user}; they are there after their first login`, {
        field: 'user',
      })
    }
    const end = expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }
    return (await tokens.create({ userId: row.id, scopes, note, ...end })).token
  }
}
