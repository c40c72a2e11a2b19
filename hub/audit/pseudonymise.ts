/**
 * A person who is to be forgotten: the trail goes on saying that one and the same person did this and that, but not
 * who. Their user, identities, logins, tokens and ended environments lose whatever names them.
 */
import { randomBytes } from 'node:crypto'
import type { Transaction } from 'kysely'
import { Problem } from '../domain/problem.ts'
import type { RouteTable } from '../domain/services.ts'
import type { Store } from '../store/index.ts'
import type { Tables, UserRow } from '../store/schema.ts'
import type { AuditEntry } from './entry.ts'
import { detailOf } from './entry.ts'
import { throughGate } from './gate.ts'
import type { Audit } from './index.ts'

export interface PseudonymiseOptions {
  readonly store: Pick<Store, 'db'>
  readonly audit: Pick<Audit, 'within'>
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly now: () => Date
}

const mostAtOnce = 500
const revokedForMs = 31 * 86_400_000

/** The pseudonym. Throws Problem 'notFound', 'conflict' while an environment of theirs lives. */
export async function pseudonymise(
  { store, audit, routes, now }: PseudonymiseOptions,
  name: string,
  by: Pick<AuditEntry, 'who' | 'from' | 'login' | 'token'>,
): Promise<string> {
  const pseudonym = `person-${randomBytes(6).toString('hex')}`
  const { id, told } = await store.db.transaction().execute(async (trx) => {
    const user = await trx.selectFrom('users').selectAll().where('name', '=', name).executeTakeFirst()
    if (user === undefined) throw new Problem('notFound', `there is no user ${name}`, { field: 'user' })
    await refuseWhileLive(trx, user)
    await hideInTrail(trx, user, await namesOf(trx, user), pseudonym)
    await hideUser(trx, user, pseudonym, now())
    const line = await audit.within(trx, {
      ...by,
      did: 'user.pseudonymised',
      toWhom: { id: user.id, name: pseudonym },
    })
    return { id: user.id, told: line }
  })
  told()
  const at = now().getTime() + revokedForMs
  await routes.revoke({ kind: 'user', subject: id, at, until: at })
  return pseudonym
}

async function refuseWhileLive(trx: Transaction<Tables>, { id, name }: UserRow): Promise<void> {
  const live = await trx
    .selectFrom('environments')
    .select('id')
    .where('user_id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  if (live === undefined) return
  throw new Problem('conflict', `${name} still has the environment ${live.id}; stop it first, then do this again`)
}

/** Whatever says who it is, wherever it stands in the trail. */
async function namesOf(trx: Transaction<Tables>, { id, name, title, email }: UserRow): Promise<ReadonlySet<string>> {
  const identities = await trx.selectFrom('identities').select('subject').where('user_id', '=', id).execute()
  return new Set([name, title, email ?? '', ...identities.map(({ subject }) => subject)].filter((text) => text !== ''))
}

async function hideInTrail(
  trx: Transaction<Tables>,
  { id }: UserRow,
  names: ReadonlySet<string>,
  pseudonym: string,
): Promise<void> {
  const concerns = trx
    .selectFrom('audit')
    .selectAll()
    .where((line) =>
      line.or([
        line('who_id', '=', id),
        line('whom_id', '=', id),
        line('who', 'in', [...names]),
        line('whom', 'in', [...names]),
        line('what', 'in', [...names]),
        ...[...names].map((name) => line('detail', 'like', `%${name.replaceAll(/[%_]/g, '_')}%`)),
      ]),
    )
    .orderBy('id')
    .limit(mostAtOnce)
  await throughGate(trx, 'pseudonym', async () => {
    for (let after = 0; ;) {
      const lines = await concerns.where('id', '>', after).execute()
      for (const line of lines) {
        const own = line.who_id === id || names.has(line.who)
        const hidden = (text: string | null): string | null => (text !== null && names.has(text) ? pseudonym : text)
        await trx
          .updateTable('audit')
          .set({
            who: own ? pseudonym : line.who,
            whom: line.whom_id === id ? pseudonym : hidden(line.whom),
            what: hidden(line.what),
            address: own ? null : line.address,
            detail: JSON.stringify(hideFacts(detailOf(line.detail), names, pseudonym)),
          })
          .where('id', '=', line.id)
          .execute()
        after = line.id
      }
      if (lines.length < mostAtOnce) return
    }
  })
}

/** A fact that holds a name anywhere goes as a whole: what is left of a sentence may still say who it was. */
function hideFacts(
  detail: Readonly<Record<string, unknown>>,
  names: ReadonlySet<string>,
  pseudonym: string,
): Record<string, unknown> {
  // As a word: "ada" is not in "adapter".
  const patterns = [...names].map(
    (name) => new RegExp(`(?<![\\p{L}\\p{N}])${RegExp.escape(name)}(?![\\p{L}\\p{N}])`, 'iu'),
  )
  const tells = (text: string): boolean => patterns.some((pattern) => pattern.test(text))
  const hide = (fact: unknown): unknown => {
    if (typeof fact === 'string') return tells(fact) ? pseudonym : fact
    return Array.isArray(fact) ? fact.map(hide) : fact
  }
  return Object.fromEntries(Object.entries(detail).map(([name, fact]) => [name, hide(fact)]))
}

async function hideUser(trx: Transaction<Tables>, { id }: UserRow, pseudonym: string, now: Date): Promise<void> {
  await trx
    .updateTable('users')
    .set({
      name: pseudonym,
      title: pseudonym,
      email: null,
      admin: 0,
      blocked_reason: 'This person’s records were made anonymous',
    })
    .where('id', '=', id)
    .execute()
  for (const table of ['identities', 'accounts_seen', 'logins', 'environments'] as const) {
    await trx.deleteFrom(table).where('user_id', '=', id).execute()
  }
  await trx.updateTable('tokens').set({ note: '', revoked_at: now.getTime() }).where('user_id', '=', id).execute()
}
