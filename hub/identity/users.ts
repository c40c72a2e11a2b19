/**
 * Users and the identities that are theirs. An identity is (issuer, subject) and nothing else: neither a name nor an
 * e-mail address ever joins two. A name belongs to the identity that came with it first; another one with the same
 * name is refused, because the name is also the account's: a suffix would hand out an account name that nobody gave.
 */
import type { Kysely, Transaction } from 'kysely'
import type { User } from '../domain/services.ts'
import { Problem } from '../domain/problem.ts'
import type { Tables, UserRow } from '../store/schema.ts'
import { claimsText, personOf, type Person } from './claims.ts'
import { LoginFailure } from './failure.ts'
import type { Providers } from './providers.ts'
import type { SignedIn } from './strategy.ts'

export interface Users {
  /** The user behind a checked identity, made at its first login. Throws LoginFailure, Problem 'blocked'. */
  signIn(signedIn: SignedIn): Promise<User>
}

export interface UsersOptions {
  readonly db: Kysely<Tables>
  readonly providers: Providers
  readonly contact: string
  readonly now: () => number
  readonly newId: () => string
}

export function createUsers(options: UsersOptions): Users {
  const { db, providers, contact, now, newId } = options

  async function signIn(signedIn: SignedIn): Promise<User> {
    const { configuration } = providers.get(signedIn.provider)
    const known = await find(db, signedIn)
    // Who is known stays who they are, whatever the provider calls them today: paths and accounts hang on the name.
    if (known) return admit(await refresh(signedIn, known))
    const person = personOf(signedIn.claims, configuration)
    try {
      return admit(await db.transaction().execute((trx) => create(trx, signedIn, person)))
    } catch (error) {
      // Identities and names are unique in the store. Two tabs may bring the same new identity at once: then the
      // second one finds what the first one made. Or the name is somebody else's.
      const made = await find(db, signedIn)
      if (made) return admit(made)
      await refuseTaken(person)
      throw error
    }
  }

  async function refuseTaken({ name }: Person): Promise<void> {
    const taken = await db.selectFrom('users').select('id').where('name', '=', name).executeTakeFirst()
    if (!taken) return
    const detail = `The name “${name}” already belongs to somebody who logs in another way. If that is you, log in that way; otherwise ask ${contact}.`
    throw new LoginFailure('nameTaken', detail)
  }

  async function create(trx: Transaction<Tables>, signedIn: SignedIn, person: Person): Promise<UserRow> {
    const row: UserRow = {
      id: newId(),
      name: person.name,
      title: person.title,
      email: person.email ?? null,
      admin: Number(providers.isAdministrator(signedIn.issuer, signedIn.subject)),
      blocked_reason: null,
      created_at: now(),
      last_activity_at: now(),
    }
    await trx.insertInto('users').values(row).execute()
    const { configuration } = providers.get(signedIn.provider)
    await trx
      .insertInto('identities')
      .values({
        issuer: signedIn.issuer,
        subject: signedIn.subject,
        user_id: row.id,
        claims: claimsText(signedIn.claims, configuration),
        linked_at: now(),
      })
      .execute()
    return row
  }

  async function refresh(signedIn: SignedIn, row: UserRow): Promise<UserRow> {
    const { configuration } = providers.get(signedIn.provider)
    await db
      .updateTable('identities')
      .set({ claims: claimsText(signedIn.claims, configuration) })
      .where('issuer', '=', signedIn.issuer)
      .where('subject', '=', signedIn.subject)
      .execute()
    const admin = Number(providers.isAdministrator(signedIn.issuer, signedIn.subject))
    if (admin === row.admin) return row
    await db.updateTable('users').set({ admin }).where('id', '=', row.id).execute()
    return { ...row, admin }
  }

  function admit(row: UserRow): User {
    const user = userOf(row)
    if (user.blockedReason !== undefined) throw blocked(user.blockedReason, contact)
    return user
  }

  return { signIn }
}

export function blocked(reason: string, contact: string): Problem {
  return new Problem('blocked', `${reason.replace(/[.\s]+$/, '')}. Ask ${contact}.`)
}

export function userOf(row: Omit<UserRow, 'created_at' | 'last_activity_at'>): User {
  return {
    id: row.id,
    name: row.name,
    title: row.title,
    ...(row.email === null ? {} : { email: row.email }),
    admin: row.admin === 1,
    ...(row.blocked_reason === null ? {} : { blockedReason: row.blocked_reason }),
  }
}

function find(db: Kysely<Tables>, { issuer, subject }: SignedIn): Promise<UserRow | undefined> {
  return db
    .selectFrom('identities')
    .innerJoin('users', 'users.id', 'identities.user_id')
    .selectAll('users')
    .where('identities.issuer', '=', issuer)
    .where('identities.subject', '=', subject)
    .executeTakeFirst()
}
