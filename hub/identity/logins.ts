/** Logins: signed-in browsers, one row each, asked at every request and revocable at any time. */
import type { ExpressionBuilder, Kysely } from 'kysely'
import type { RouteTable, User, Visitor } from '../domain/services.ts'
import { prepared } from '../store/prepared.ts'
import type { LoginRow, Tables } from '../store/schema.ts'
import { createFreshCache } from './fresh-cache.ts'
import type { Writer } from '../store/writer.ts'
import type { Providers } from './providers.ts'
import { refreshColumns } from './refresh-token.ts'
import type { Seal } from './seal.ts'
import { hashSecret, newSecret } from './secrets.ts'
import type { SignedIn } from './strategy.ts'
import { userOf } from './users.ts'
import type { Vouching } from './vouching.ts'

/** For the list of "where am I logged in". */
interface LoginInfo {
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
  /** After a change of what somebody is worth: the next request asks the store. */
  forgetCached(): void
  /** By its id: neither revoked nor over, and its user not blocked. Marks nothing. */
  stillValid(id: string): Promise<boolean>
  /** What is behind a cookie, also ten minutes after its end: so that a logout that failed half-way can be repeated. */
  behind(secret: string): Promise<LoginBehind | undefined>
  /** The living ones, the newest first. */
  list(userId: string): Promise<readonly LoginInfo[]>
  /** Ends it here and at the proxies; twice is once. */
  revoke(id: string): Promise<void>
  /** Those that came by this identity. */
  revokeOf(identity: Readonly<{ issuer: string; subject: string }>): Promise<void>
  /** "Log out everywhere". */
  revokeAll(userId: string): Promise<void>
  /**
   * Back-channel logout: the provider ended its session `sid`, or all of `subject`'s, at `at` (ms since the epoch).
   * Gives those that ended by it.
   */
  revokeFromProvider(
    ended: Readonly<{ issuer: string; subject?: string; sid?: string; at: number }>,
  ): Promise<readonly LoginOf[]>
}

/** A login and whose it is. */
export interface LoginOf {
  readonly id: string
  readonly user: Readonly<{ id: string; name: string }>
}

interface LoginBehind extends LoginOf {
  readonly issuer: string
  /** The last one, for the provider's own logout. A secret. */
  readonly idToken?: string
}

interface LoginStart {
  readonly user: User
  readonly signedIn: Pick<SignedIn, 'issuer' | 'subject' | 'sid'> & Partial<Pick<SignedIn, 'sub' | 'tokens'>>
  /** The id of this person's login in this browser so far: it goes on, and what hangs on it too. */
  readonly continues?: string
  readonly userAgent: string
  readonly address: string
}

export interface LoginsOptions {
  readonly db: Kysely<Tables>
  readonly writer: Pick<Writer, 'note' | 'write'>
  readonly providers: Providers
  readonly vouching: Pick<Vouching, 'of'>
  readonly routes: Pick<RouteTable, 'revoke'>
  /** For the provider's tokens. */
  readonly seal: Seal
  readonly lifetimeMs: number
  readonly idleMs: number
  readonly now: () => number
  readonly newId: () => string
}

const seenEveryMs = 60_000
/** A browser that never logs out leaves its login behind; more than this at once are nobody's. */
const mostPerUser = 50
const forgetEveryMs = 3_600_000
const keepOverMs = 30 * 86_400_000
const repeatableMs = 600_000
const mostRevokedAtOnce = 1_000
const cacheFreshMs = 1_000

type Standing = Pick<LoginRow, 'issuer' | 'expires_at' | 'seen_at'>

const selectVisitor = prepared((db, { hash }: { hash: string }) =>
  db
    .selectFrom('logins')
    .innerJoin('users', 'users.id', 'logins.user_id')
    .leftJoin('identities', (join) =>
      join
        .onRef('identities.issuer', '=', 'logins.issuer')
        .onRef('identities.subject', '=', 'logins.subject')
        .onRef('identities.user_id', '=', 'logins.user_id'),
    )
    .select(['logins.id as login', 'logins.issuer', 'logins.subject', 'logins.seen_at', 'logins.expires_at'])
    .select('logins.authenticated_at')
    .select(['users.id', 'users.name', 'users.title', 'users.email', 'users.admin', 'users.blocked_reason'])
    .select('identities.claims')
    .where('logins.secret_hash', '=', hash)
    .where('logins.revoked_at', 'is', null),
)

const insertLogin = prepared((db, row: LoginRow) => db.insertInto('logins').values(row))

const selectStanding = prepared((db, { id }: { id: string }) =>
  db
    .selectFrom('logins')
    .innerJoin('users', 'users.id', 'logins.user_id')
    .select(['logins.issuer', 'logins.expires_at', 'logins.seen_at'])
    .where('logins.id', '=', id)
    .where('logins.revoked_at', 'is', null)
    .where('users.blocked_reason', 'is', null),
)

const markSeen = prepared((db, { id, at }: { id: string; at: number }) =>
  db.updateTable('logins').set({ seen_at: at }).where('id', '=', id).where('seen_at', '<', at),
)

const markActive = prepared((db, { id, at }: { id: string; at: number }) =>
  db.updateTable('users').set({ last_activity_at: at }).where('id', '=', id),
)

export function createLogins(options: LoginsOptions): Logins {
  const { db, writer, providers, vouching, routes, seal, lifetimeMs, idleMs, now, newId } = options
  const cache = createFreshCache<Visitor>({ freshMs: cacheFreshMs, most: 2_000, now })
  const standing = createFreshCache<Standing>({ freshMs: cacheFreshMs, most: 4_000, now })
  let forgotAt = 0
  const touchEveryMs = Math.min(seenEveryMs, idleMs / 4)

  async function begin(start: LoginStart) {
    const secret = newSecret()
    await forgetOld()
    const id = (await goOn(start, secret)) ?? (await beginNew(start, secret))
    return { id, secret, expiresAt: new Date(now() + lifetimeMs) }
  }

  /** Seldom: it is no login's own business. */
  async function forgetOld(): Promise<void> {
    if (now() - forgotAt < forgetEveryMs) return
    forgotAt = now()
    await writer.note('logins', async (trx) => {
      await trx
        .deleteFrom('logins')
        .where('expires_at', '<', now() - keepOverMs)
        .execute()
    })
  }

  async function beginNew(start: LoginStart, secret: string): Promise<string> {
    const id = newId()
    const said = fresh(start, secret, id)
    const row = { id, user_id: start.user.id, created_at: said.seen_at, revoked_at: null, ...said }
    // With what else is written in this moment, and the disk is waited for beside this thread: hundreds come at nine.
    await writer.write(`user ${start.user.id}`, async (trx) => {
      await insertLogin(trx, row)
    })
    await revokeEach((await living(start.user.id)).slice(mostPerUser))
    return id
  }

  /** The same row with a new secret: an open notebook hangs on its id, and ends with it. Undefined: it is over. */
  async function goOn(start: LoginStart, secret: string): Promise<string | undefined> {
    const { continues: id, user } = start
    if (id === undefined) return undefined
    const isRenewed = await writer.write(`user ${user.id}`, async (trx) => {
      const renewed = await trx
        .updateTable('logins')
        .set(fresh(start, secret, id))
        .where('id', '=', id)
        .where('user_id', '=', user.id)
        .where('revoked_at', 'is', null)
        .where('expires_at', '>', now())
        .executeTakeFirst()
      return renewed.numUpdatedRows > 0n
    })
    cache.clear()
    return isRenewed ? id : undefined
  }

  /** What a login has of the last time that the provider said who it is. */
  function fresh({ signedIn, userAgent, address }: LoginStart, secret: string, id: string) {
    const at = now()
    const { issuer, subject, sub, sid, tokens } = signedIn
    return {
      secret_hash: hashSecret(secret),
      issuer,
      subject,
      sid: sid ?? null,
      provider_subject: sub ?? subject,
      authenticated_at: at,
      seen_at: at,
      expires_at: at + lifetimeMs,
      user_agent: userAgent.slice(0, 256),
      address: address.slice(0, 64),
      id_token: tokens === undefined ? null : seal.seal(tokens.idToken, `${id} id`),
      refreshed_at: at,
      refreshing_until: null,
      ...refreshColumns(seal, id, tokens?.refresh, at),
    }
  }

  async function find(secret: string): Promise<Visitor | undefined> {
    const visitor = await cache.get(hashSecret(secret), () => load(hashSecret(secret)))
    return visitor && visitor.expiresAt.getTime() > now() ? visitor : undefined
  }

  async function load(hash: string): Promise<Visitor | undefined> {
    const [row] = (await selectVisitor(db, { hash })).rows
    const provider = row && providers.byIssuer(row.issuer)
    if (!provider || !isLiving(row)) return undefined
    // An identity that was taken off the user takes the logins that came by it along.
    if (row.claims === null) return undefined
    const seenAt = await touch(row)
    return {
      // Live from the configuration: the column is what it was at the last login.
      user: { ...userOf(row), admin: providers.isAdministrator(row.issuer, row.subject) },
      login: row.login,
      by: 'cookie',
      // Of all their identities: the facility's groups count also for who came in by an identity linked to it.
      groups: (await vouching.of(row.id))?.groups ?? [],
      expiresAt: new Date(Math.min(row.expires_at, seenAt + idleMs)),
      provider: provider.name,
      authenticatedAt: new Date(row.authenticated_at),
    }
  }

  function isLiving(row: Standing): boolean {
    const configured = providers.byIssuer(row.issuer) !== undefined
    return configured && row.expires_at > now() && row.seen_at + idleMs > now()
  }

  async function touch(row: { id: string; login: string; seen_at: number }): Promise<number> {
    if (now() - row.seen_at < touchEveryMs) return row.seen_at
    const at = now()
    // With what else is written in this moment: there may be hundreds who come back after a minute.
    await writer.note(`user ${row.id}`, async (trx) => {
      await markSeen(trx, { id: row.login, at })
      await markActive(trx, { id: row.id, at })
    })
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

  /** Ends all of them in the store, then tells the proxies of each. */
  async function revokeEach(rows: readonly { id: string; expires_at: number }[]): Promise<void> {
    const ids = rows.map(({ id }) => id)
    if (ids.length === 0) return
    await db
      .updateTable('logins')
      .set({ revoked_at: now() })
      .where('id', 'in', ids)
      .where('revoked_at', 'is', null)
      .execute()
    cache.clear()
    standing.clear()
    // Also of those that were revoked before: that time the proxies may not have been told. A login never comes
    // back, so whatever it opens until its end is refused, also what a request under way opens a moment from now.
    await Promise.all(
      rows.map(({ id, expires_at }) =>
        routes.revoke({ kind: 'login', subject: id, at: expires_at, until: expires_at }),
      ),
    )
  }

  /** Those that may still have something open at a proxy. */
  function revocable() {
    return db
      .selectFrom('logins')
      .innerJoin('users', 'users.id', 'logins.user_id')
      .select(['logins.id', 'expires_at', 'user_id', 'users.name'])
      .where('expires_at', '>', now())
      .where(notLongRevoked)
      .limit(mostRevokedAtOnce)
  }

  function notLongRevoked(where: ExpressionBuilder<Tables, 'logins' | 'users'>) {
    return where.or([where('revoked_at', 'is', null), where('revoked_at', '>', now() - repeatableMs)])
  }

  return {
    begin,
    find,
    forgetCached: () => cache.clear(),
    async stillValid(id) {
      const row = await standing.get(id, async () => (await selectStanding(db, { id })).rows[0])
      return row !== undefined && isLiving(row)
    },
    async behind(secret) {
      const row = await db
        .selectFrom('logins')
        .innerJoin('users', 'users.id', 'logins.user_id')
        .select(['logins.id', 'user_id', 'users.name', 'logins.id_token', 'logins.issuer'])
        .where('secret_hash', '=', hashSecret(secret))
        .where(notLongRevoked)
        .executeTakeFirst()
      if (row === undefined) return undefined
      const idToken = row.id_token === null ? undefined : seal.open(row.id_token, `${row.id} id`)
      return { ...loginOf(row), issuer: row.issuer, ...(idToken === undefined ? {} : { idToken }) }
    },
    async list(userId) {
      return (await living(userId)).map(infoOf)
    },
    async revoke(id) {
      await revokeEach(await revocable().where('logins.id', '=', id).execute())
    },
    async revokeOf({ issuer, subject }) {
      await revokeEach(await revocable().where('issuer', '=', issuer).where('subject', '=', subject).execute())
    },
    async revokeAll(userId) {
      await revokeEach(await revocable().where('user_id', '=', userId).execute())
    },
    async revokeFromProvider({ issuer, subject, sid, at }) {
      let ended = revocable().where('issuer', '=', issuer).where('authenticated_at', '<=', at)
      if (sid !== undefined) ended = ended.where('sid', '=', sid)
      if (subject !== undefined) ended = ended.where('provider_subject', '=', subject)
      const rows = await ended.execute()
      await revokeEach(rows)
      return rows.map(loginOf)
    },
  }
}

function loginOf({ id, user_id, name }: { id: string; user_id: string; name: string }): LoginOf {
  return { id, user: { id: user_id, name } }
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
