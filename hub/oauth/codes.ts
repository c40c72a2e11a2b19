/** One-time codes (RFC 6749, 4.1): hashed, bound to client, user, login, session and where they lead; 300 s. */
import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import { hashSecret, newSecret } from '../identity/secrets.ts'
import type { Tables } from '../store/schema.ts'

interface Grant {
  readonly client: string
  readonly userId: string
  readonly login: string
  readonly session: string
  /** As the client wrote it. */
  readonly redirectUri: string
  /** S256 of the verifier (RFC 7636); absent: the client has none. */
  readonly challenge?: string
  readonly scopes: readonly string[]
}

interface Presented {
  readonly code: string
  readonly client: string
  readonly redirectUri: string
  readonly verifier?: string
}

export interface Codes {
  issue(grant: Grant): Promise<string>
  /** Once. `spent`: it was used before, so what came of it counts no more. */
  redeem(presented: Presented): Promise<{ is: 'good' | 'spent'; grant: Grant } | { is: 'bad' }>
}

const lifetimeMs = 300_000

export function createCodes({ db, now }: { db: Kysely<Tables>; now: () => number }): Codes {
  return {
    async issue({ client, userId, login, session, redirectUri, challenge, scopes }) {
      const code = newSecret()
      await db
        .deleteFrom('oauth_codes')
        .where('expires_at', '<', now() - lifetimeMs)
        .execute()
      await db
        .insertInto('oauth_codes')
        .values({
          code_hash: hashSecret(code),
          client_id: client,
          user_id: userId,
          login,
          session_id: session,
          redirect_uri: redirectUri,
          challenge: challenge ?? null,
          scopes: JSON.stringify(scopes),
          expires_at: now() + lifetimeMs,
          used_at: null,
        })
        .execute()
      return code
    },
    async redeem({ code, client, redirectUri, verifier }) {
      const hash = hashSecret(code)
      const row = await db.selectFrom('oauth_codes').selectAll().where('code_hash', '=', hash).executeTakeFirst()
      // What is not this client's own is not used up by it either.
      if (row?.client_id !== client || row.redirect_uri !== redirectUri || !proves(verifier, row.challenge)) {
        return { is: 'bad' }
      }
      if (row.expires_at <= now()) return { is: 'bad' }
      const taken = await db
        .updateTable('oauth_codes')
        .set({ used_at: now() })
        .where('code_hash', '=', hash)
        .where('used_at', 'is', null)
        .executeTakeFirst()
      const grant: Grant = {
        client,
        userId: row.user_id,
        login: row.login,
        session: row.session_id,
        redirectUri,
        ...(row.challenge === null ? {} : { challenge: row.challenge }),
        scopes: JSON.parse(row.scopes) as string[],
      }
      return { is: taken.numUpdatedRows > 0n ? 'good' : 'spent', grant }
    },
  }
}

/** A verifier without a challenge is refused too: somebody took the challenge out on the way (RFC 9700, 2.1.1). */
function proves(verifier: string | undefined, challenge: string | null): boolean {
  if (challenge === null) return verifier === undefined
  if (verifier === undefined || !/^[\w.~-]{43,128}$/.test(verifier)) return false
  return createHash('sha256').update(verifier).digest('base64url') === challenge
}
