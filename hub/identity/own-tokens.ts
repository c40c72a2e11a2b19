/**
 * People's own ID tokens, for services of the facility that trust the login's provider: from the login that was
 * refreshed last, and refreshed when it is about to end. They are sealed in the store and leave it for nothing else.
 */
import { decodeJwt } from 'jose'
import type { Kysely } from 'kysely'
import type { User } from '../domain/services.ts'
import type { LoginRow, Tables } from '../store/schema.ts'
import type { Providers } from './providers.ts'
import type { Refresher } from './refresher.ts'
import type { Seal } from './seal.ts'

export interface OwnTokens {
  /**
   * `provider`: its short name. `fresh`: the one of before was refused. Undefined: this person has no login there, or
   * its token is over and can't be refreshed.
   */
  of(user: User, provider: string, options: { readonly fresh: boolean }): Promise<string | undefined>
}

export interface OwnTokensOptions {
  readonly db: Kysely<Tables>
  readonly providers: Pick<Providers, 'all'>
  readonly refresher: Pick<Refresher, 'refreshLogin'>
  readonly seal: Seal
  /** ms since the epoch. */
  readonly now: () => number
}

/** What is about to end is refused before it arrives. */
const marginMs = 30_000
/** A token of which somebody else says no is not asked for anew each time. */
const youngMs = 60_000

export function createOwnTokens({ db, providers, refresher, seal, now }: OwnTokensOptions): OwnTokens {
  async function held(
    userId: string,
    issuer: string,
  ): Promise<{ row: LoginRow; token: Token | undefined } | undefined> {
    const row = await db
      .selectFrom('logins')
      .selectAll()
      .where('user_id', '=', userId)
      .where('issuer', '=', issuer)
      .where('id_token', 'is not', null)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', now())
      .orderBy('refreshed_at', 'desc')
      .orderBy('authenticated_at', 'desc')
      .limit(1)
      .executeTakeFirst()
    return row && { row, token: readToken(row.id_token === null ? undefined : seal.open(row.id_token, `${row.id} id`)) }
  }

  const isGood = (token: Token | undefined): token is Token => token !== undefined && token.endsAt - now() > marginMs

  return {
    async of(user, name, { fresh }) {
      const issuer = providers.all.find((each) => each.name === name)?.issuer
      const before = issuer === undefined ? undefined : await held(user.id, issuer)
      if (issuer === undefined || before === undefined) return undefined
      const isRefused = fresh && before.token !== undefined && now() - before.token.issuedAt > youngMs
      if (isGood(before.token) && !isRefused) return before.token.text
      await refresher.refreshLogin(before.row)
      const after = await held(user.id, issuer)
      return isGood(after?.token) ? after.token.text : undefined
    },
  }
}

interface Token {
  readonly text: string
  readonly issuedAt: number
  readonly endsAt: number
}

/** It was verified when it came. Undefined: there is none that says when it ends. */
function readToken(text: string | undefined): Token | undefined {
  if (text === undefined) return undefined
  try {
    const { exp, iat = 0 } = decodeJwt(text)
    return exp === undefined ? undefined : { text, issuedAt: iat * 1_000, endsAt: exp * 1_000 }
  } catch {
    return undefined // as it says above
  }
}
