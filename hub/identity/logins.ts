/** Logins: signed-in browsers, one row each, asked at every request and revocable at any time. */
import type { Kysely } from 'kysely'
import type { RouteTable, User, Visitor } from '../domain/services.ts'
import type { LoginRow, Tables } from '../store/schema.ts'
import { groupsOf, parseClaims } from './claims.ts'
import { createFreshCache } from './fresh-cache.ts'
import type { Providers } from './providers.ts'
import { hashSecret, newSecret } from './secrets.ts'
import type { SignedIn } from './strategy.ts'
import { userOf } from './users.ts'

/** For the list of "where am I logged in". */
export interface LoginInfo {
  readonly id: string
  readonly createdAt: Date
  readonly seenAt: Date
  readonly expiresAt: Date
  readonly userAgent: string
  readonly address: string
}

export interface Logins {
  /** `secret` is for the cookie and is kept nowhere. */
  begin(start: LoginStart): Promise<{ id: string; secret: string; expiresAt: Date }>
  /** Undefined: unknown, revoked, over. Marks the login as seen, at most once a minute. */
  find(secret: string): Promise<Visitor | undefined>
  /** The id behind a cookie, whatever its state: a logout that failed half-way can be repeated. */
  idOf(secret: string): Promise<string | undefined>
  /** The living ones, the newest first. */
  list(userId: string): Promise<readonly LoginInfo[]>
  /** Ends it here and at the proxies; twice is once. */
  revoke(id: string): Promise<void>
  /** "Log out everywhere". */
  revokeAll(userId: string): Promise<void>
  /** Back-channel logout: the provider ended its session `sid`, or all of `subject`'s, at `at` (ms since the epoch). */
  revokeFromProvider(ended: Readonly<{ issuer: string; subject?: string; sid?: string; at: number }>): Promise<void>
}

export interface LoginStart {
  readonly user: User
  readonly signedIn: Pick<SignedIn, 'issuer' | 'subject' | 'sid'>
  readonly userAgent: string
  readonly address: string
}

export interface LoginsOptions {
  readonly db: Kysely<Tables>
  readonly providers: Providers
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly lifetimeMs: number
  readonly idleMs: number
  readonly now: () => number
  readonly newId: () => string
}

const seenEveryMs = 60_000
/** A browser that never logs out leaves its login behind; more than this at once are nobody's. */
const mostPerUser = 50
const keepOverMs = 30 * 86_400_000
const cacheFreshMs = 1_000

export function createLogins(options: LoginsOptions): Logins {
  const { db, providers, routes, lifetimeMs, idleMs, now, newId } = options
  const cache = createFreshCache<Visitor>({ freshMs: cacheFreshMs, most: 2_000, now })
  const touchEveryMs = Math.min(seenEveryMs, idleMs / 4)

  async function begin({ user, signedIn, userAgent, address }: LoginStart) {
    const secret = newSecret()
    const row: LoginRow = {
      id: newId(),
      secret_hash: hashSecret(secret),
      user_id: user.id,
      issuer: signedIn.issuer,
      subject: signedIn.subject,
      sid: signedIn.sid ?? null,
      created_at: now(),
      seen_at: now(),
      expires_at: now() + lifetimeMs,
      revoked_at: null,
      user_agent: userAgent.slice(0, 256),
      address: address.slice(0, 64),
    }
    await db
      .deleteFrom('logins')
      .where('expires_at', '<', now() - keepOverMs)
      .execute()
    await db.insertInto('logins').values(row).execute()
    const surplus = (await living(user.id)).slice(mostPerUser)
    for (const { id } of surplus) await revoke(id)
    return { id: row.id, secret, expiresAt: new Date(row.expires_at) }
  }

  async function find(secret: string): Promise<Visitor | undefined> {
    const visitor = await cache.get(hashSecret(secret), () => load(hashSecret(secret)))
    return visitor && visitor.expiresAt.getTime() > now() ? visitor : undefined
  }

  async function load(hash: string): Promise<Visitor | undefined> {
    const row = await db
      .selectFrom('logins')
      .innerJoin('users', 'users.id', 'logins.user_id')
      .leftJoin('identities', (join) =>
        join
          .onRef('identities.issuer', '=', 'logins.issuer')
          .onRef('identities.subject', '=', 'logins.subject')
          .onRef('identities.user_id', '=', 'logins.user_id'),
      )
      .select(['logins.id as login', 'logins.issuer', 'logins.subject', 'logins.seen_at', 'logins.expires_at'])
      .select(['users.id', 'users.name', 'users.title', 'users.email', 'users.admin', 'users.blocked_reason'])
      .select('identities.claims')
      .where('logins.secret_hash', '=', hash)
      .where('logins.revoked_at', 'is', null)
      .executeTakeFirst()
    const provider = row && providers.byIssuer(row.issuer)
    if (!provider || row.expires_at <= now() || row.seen_at + idleMs <= now()) return undefined
    // An identity that was taken off the user takes the logins that came by it along.
    if (row.claims === null) return undefined
    const seenAt = await touch(row)
    return {
      // Live from the configuration: the column is what it was at the last login.
      user: { ...userOf(row), admin: providers.isAdministrator(row.issuer, row.subject) },
      login: row.login,
      by: 'cookie',
      groups: groupsOf(parseClaims(row.claims), provider.configuration),
      expiresAt: new Date(Math.min(row.expires_at, seenAt + idleMs)),
      provider: provider.name,
    }
  }

  async function touch(row: { id: string; login: string; seen_at: number }): Promise<number> {
    if (now() - row.seen_at < touchEveryMs) return row.seen_at
    const at = now()
    await db.updateTable('logins').set({ seen_at: at }).where('id', '=', row.login).where('seen_at', '<', at).execute()
    await db.updateTable('users').set({ last_activity_at: at }).where('id', '=', row.id).execute()
    return at
  }

  function living(userId: string): Promise<LoginRow[]> {
    return db
      .selectFrom('logins')
      .selectAll()
      .where('user_id', '=', userId)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', now())
      .where('seen_at', '>', now() - idleMs)
      .orderBy('created_at', 'desc')
      .execute()
  }

  async function revoke(id: string): Promise<void> {
    const row = await db.selectFrom('logins').select(['expires_at']).where('id', '=', id).executeTakeFirst()
    if (!row) return
    await db
      .updateTable('logins')
      .set({ revoked_at: now() })
      .where('id', '=', id)
      .where('revoked_at', 'is', null)
      .execute()
    cache.clear()
    // Again even when it was revoked before: that time the proxies may not have been told. A login never comes
    // back, so whatever it opens until its end is refused, also what a request under way opens a moment from now.
    await routes.revoke({ kind: 'login', subject: id, at: row.expires_at, until: row.expires_at })
  }

  async function revokeEach(rows: readonly { id: string }[]): Promise<void> {
    for (const { id } of rows) await revoke(id)
  }

  return {
    begin,
    find,
    revoke,
    async idOf(secret) {
      const row = await db
        .selectFrom('logins')
        .select('id')
        .where('secret_hash', '=', hashSecret(secret))
        .executeTakeFirst()
      return row?.id
    },
    async list(userId) {
      return (await living(userId)).map(infoOf)
    },
    async revokeAll(userId) {
      const rows = await db
        .selectFrom('logins')
        .select('id')
        .where('user_id', '=', userId)
        .where('expires_at', '>', now())
        .where('revoked_at', 'is', null)
        .execute()
      await revokeEach(rows)
    },
    async revokeFromProvider({ issuer, subject, sid, at }) {
      let query = db
        .selectFrom('logins')
        .select('id')
        .where('issuer', '=', issuer)
        .where('expires_at', '>', now())
        .where('created_at', '<=', at)
      if (sid !== undefined) query = query.where('sid', '=', sid)
      if (subject !== undefined) query = query.where('subject', '=', subject)
      await revokeEach(await query.execute())
    },
  }
}

function infoOf(row: LoginRow): LoginInfo {
  return {
    id: row.id,
    createdAt: new Date(row.created_at),
    seenAt: new Date(row.seen_at),
    expiresAt: new Date(row.expires_at),
    userAgent: row.user_agent,
    address: row.address,
  }
}
