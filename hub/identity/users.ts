/**
 * Users and the identities that are theirs. An identity is (issuer, subject) and nothing else: neither a name nor an
 * e-mail address ever joins two. A name belongs to the identity that came with it first; another one with the same
 * name is refused, because the name is also the account's: a suffix would hand out an account name that nobody gave.
 */
import type { Kysely, Transaction } from 'kysely'
import type { User } from '../domain/services.ts'
import { Problem } from '../domain/problem.ts'
import type { Tables, UserRow } from '../store/schema.ts'
import type { Writer } from '../store/writer.ts'
import { claimsText, legacyHashOf, personOf, type Person } from './claims.ts'
import { LoginFailure } from './failure.ts'
import type { Links } from './links.ts'
import { provesAccount, type Providers } from './providers.ts'
import type { SignedIn } from './strategy.ts'

export interface Users {
  /**
   * The user behind a checked identity. At a provider that proves the account it is made at the first login; at others
   * 'outsider' until it is linked. Throws LoginFailure, Problem 'blocked'.
   */
  signIn(signedIn: SignedIn): Promise<User | 'outsider'>
  /** Whose this identity is; changes nothing. */
  holderOf(identity: Pick<SignedIn, 'issuer' | 'subject'>): Promise<Readonly<{ id: string }> | undefined>
}

/**
 * The facility's own way to know that an identity is one of its people (a user office's records, say): the account's
 * name, or undefined. Never by e-mail address alone: those can be had by anybody.
 */
export type MatchIdentity = (
  identity: Readonly<{
    provider: string
    issuer: string
    subject: string
    legacyHash?: string
    claims: Readonly<Record<string, unknown>>
  }>,
  signal: AbortSignal,
) => Promise<Readonly<{ account: string }> | undefined>

const matchTimeoutMs = 10_000

export interface UsersOptions {
  readonly db: Kysely<Tables>
  readonly writer: Pick<Writer, 'note'>
  readonly providers: Providers
  readonly links: Pick<Links, 'link' | 'insert'>
  /** Absent: nobody is matched. */
  readonly matchIdentity?: MatchIdentity
  readonly contact: string
  readonly now: () => number
  readonly newId: () => string
}

export function createUsers(options: UsersOptions): Users {
  const { db, writer, providers, links, matchIdentity, contact, now, newId } = options

  async function signIn(signedIn: SignedIn): Promise<User | 'outsider'> {
    const provider = providers.get(signedIn.provider)
    const { configuration } = provider
    const known = await find(db, signedIn)
    // Who is known stays who they are, whatever the provider calls them today: paths and accounts hang on the name.
    if (known) return admit(await refresh(signedIn, known))
    if (!provesAccount(provider)) return await matched(signedIn)
    const person = personOf(signedIn.claims, configuration)
    if (await takeUp(signedIn, person)) return await signIn(signedIn)
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

  async function matched(signedIn: SignedIn): Promise<User | 'outsider'> {
    if (matchIdentity === undefined) return 'outsider'
    const { provider, issuer, subject, claims } = signedIn
    const { configuration } = providers.get(provider)
    const legacyHash = legacyHashOf(claims, configuration)
    const known = { provider, issuer, subject, ...(legacyHash === undefined ? {} : { legacyHash }) }
    const match = await matchIdentity({ ...known, claims }, AbortSignal.timeout(matchTimeoutMs))
    if (match === undefined) return 'outsider'
    // The name is held to the same rule as one that a provider gives.
    const { name, title } = personOf({ ...claims, [configuration.claims.name]: match.account }, configuration)
    await db
      .insertInto('users')
      .values({ ...newUser(name, title), created_at: now(), last_activity_at: now() })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
    const user = await db.selectFrom('users').select(['id', 'name']).where('name', '=', name).executeTakeFirstOrThrow()
    await links.link(user, known, 'match', { who: 'hub' })
    return await signIn(signedIn)
  }

  /**
   * Somebody who is known by this account's name and by no login of the facility's own yet, because an administrator
   * linked or made them: the first such login is theirs, for it proves the account.
   */
  async function takeUp(signedIn: SignedIn, { name }: Person): Promise<boolean> {
    const user = await db.selectFrom('users').select(['id', 'name']).where('name', '=', name).executeTakeFirst()
    if (user === undefined) return false
    const issuers = providers.all.filter(provesAccount).map(({ issuer }) => issuer)
    const told = await db.transaction().execute(async (trx) => {
      // Locks the user where transactions run beside each other: of two strangers with one name one comes first.
      await trx.updateTable('users').set({ name }).where('id', '=', user.id).execute()
      const own = await trx
        .selectFrom('identities')
        .select('subject')
        .where('user_id', '=', user.id)
        .where('issuer', 'in', issuers)
        .executeTakeFirst()
      if (own !== undefined) return undefined
      const { provider, issuer, subject } = signedIn
      return await links.insert(trx, user, { provider, issuer, subject }, 'login', { who: user })
    })
    told?.()
    return told !== undefined
  }

  const newUser = (name: string, title: string) => ({
    id: newId(),
    name,
    title,
    email: null,
    admin: 0,
    blocked_reason: null,
  })

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
        claims: claimsText(stable(signedIn.claims), configuration),
        linked_at: now(),
        legacy_hash: legacyHashOf(signedIn.claims, configuration) ?? null,
      })
      .execute()
    return row
  }

  /** What the provider says today; who is as they were yesterday costs no write. */
  async function refresh(signedIn: SignedIn, { claims, legacy_hash, ...row }: Found): Promise<UserRow> {
    const { configuration } = providers.get(signedIn.provider)
    const said = claimsText(stable(signedIn.claims), configuration)
    const legacyHash = legacyHashOf(signedIn.claims, configuration) ?? legacy_hash
    const admin = Number(providers.isAdministrator(signedIn.issuer, signedIn.subject))
    if (said !== claims || legacyHash !== legacy_hash || admin !== row.admin) {
      await writer.note(`user ${row.id}`, async (trx) => {
        await trx
          .updateTable('identities')
          .set({ claims: said, legacy_hash: legacyHash })
          .where('issuer', '=', signedIn.issuer)
          .where('subject', '=', signedIn.subject)
          .execute()
        await trx.updateTable('users').set({ admin }).where('id', '=', row.id).execute()
      })
    }
    return { ...row, admin }
  }

  function admit(row: UserRow): User {
    const user = userOf(row)
    if (user.blockedReason !== undefined) throw blocked(user.blockedReason, contact)
    return user
  }

  return { signIn, holderOf: (identity) => find(db, identity) }
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

type Found = UserRow & { readonly claims: string; readonly legacy_hash: string | null }

function find(db: Kysely<Tables>, identity: Pick<SignedIn, 'issuer' | 'subject'>): Promise<Found | undefined> {
  return db
    .selectFrom('identities')
    .innerJoin('users', 'users.id', 'identities.user_id')
    .selectAll('users')
    .select(['identities.claims', 'identities.legacy_hash'])
    .where('identities.issuer', '=', identity.issuer)
    .where('identities.subject', '=', identity.subject)
    .executeTakeFirst()
}

/** Of one token alone (RFC 7519, OpenID Connect Core 2 and 3.1.3.6): they say nothing of the person. */
const ofOneToken: ReadonlySet<string> = new Set([
  'iat',
  'exp',
  'nbf',
  'jti',
  'nonce',
  'at_hash',
  'c_hash',
  'auth_time',
  'sid',
])

function stable(claims: SignedIn['claims']): SignedIn['claims'] {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !ofOneToken.has(name)))
}
