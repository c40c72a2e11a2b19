/** API tokens: shown once, stored as a hash, with scopes, an end, a note and the last use. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { nearest } from '../../config/nearest.ts'
import { isScopeName, scopeNames, scopeProblem } from '../../config/scopes.ts'
import { Problem } from '../domain/problem.ts'
import type { RouteTable, Visitor } from '../domain/services.ts'
import type { Tables, TokenRow } from '../store/schema.ts'
import { createFreshCache } from './fresh-cache.ts'
import { hashSecret, newSecret } from './secrets.ts'
import type { ServerTokens } from './server-tokens.ts'
import { userOf } from './users.ts'
import type { Vouching } from './vouching.ts'

interface TokenInfo {
  readonly id: string
  /** Who got it by OAuth; absent: its owner made it. */
  readonly client?: string
  readonly session?: string
  readonly scopes: readonly string[]
  readonly note: string
  readonly createdAt: Date
  /** Absent: it has no end of its own. */
  readonly expiresAt?: Date
  readonly lastUsedAt?: Date
}

interface NewToken {
  readonly userId: string
  readonly scopes: readonly string[]
  readonly note: string
  readonly expiresAt?: Date
  /** For whom it is by OAuth; it ends with the login. */
  readonly grant?: Readonly<{ client: string; session: string; login: string }>
}

export interface Tokens {
  /** `token` is shown once and kept nowhere. Throws Problem 'badRequest' with the field. */
  create(wanted: NewToken): Promise<{ id: string; token: string }>
  /** The living ones, the newest first; those that were got by OAuth too. */
  list(userId: string): Promise<readonly TokenInfo[]>
  /** Ends those that `client` got in `session`; the session alone: at all clients. */
  revokeGrants(grants: Readonly<{ userId: string; client?: string; session: string }>): Promise<void>
  /** Of this user's own; another's, or none, is no error. Ends what it opened at the proxies too. */
  revoke(userId: string, id: string): Promise<void>
  /** Undefined: unknown, revoked, over. Marks the token as used, at most once a minute. */
  find(token: string): Promise<Visitor | undefined>
  /** By its id: neither revoked nor over, and its user not blocked. Marks nothing. */
  stillValid(id: string): Promise<boolean>
}

export interface TokensOptions {
  readonly db: Kysely<Tables>
  readonly vouching: Pick<Vouching, 'of'>
  /** Absent: tokens of environments are unknown. */
  readonly serverTokens?: ServerTokens
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly now: () => number
  readonly newId: () => string
}

/** Leaked tokens are found by their beginning. */
const tokenPrefix = 'hutch_'
const usedEveryMs = 60_000
const mostPerUser = 200
/** What a token opens is open for this long at most; so a revocation need not be remembered for ever. */
const mostAheadMs = 30 * 86_400_000

export function createTokens(options: TokensOptions): Tokens {
  const { db, vouching, serverTokens, routes, now, newId } = options
  const cache = createFreshCache<Visitor>({ freshMs: 1_000, most: 2_000, now })

  async function create({ userId, scopes, note, expiresAt, grant }: NewToken) {
    check(scopes, note, expiresAt, now())
    if (grant !== undefined) await forgetOver(userId)
    else if ((await living(userId)).filter(({ kind }) => kind === 'api').length >= mostPerUser) {
      throw new Problem('conflict', `You have ${mostPerUser} tokens. Revoke one first.`)
    }
    const token = tokenPrefix + newSecret()
    const row: TokenRow = {
      id: newId(),
      secret_hash: hashSecret(token),
      user_id: userId,
      scopes: JSON.stringify([...new Set(scopes)]),
      note,
      created_at: now(),
      expires_at: expiresAt?.getTime() ?? null,
      last_used_at: null,
      revoked_at: null,
      kind: grant === undefined ? 'api' : 'oauth',
      client_id: grant?.client ?? null,
      session_id: grant?.session ?? null,
      login: grant?.login ?? null,
    }
    await db.insertInto('tokens').values(row).execute()
    return { id: row.id, token }
  }

  /** Each login leaves some behind; what is over is nobody's. */
  async function forgetOver(userId: string): Promise<void> {
    await db
      .deleteFrom('tokens')
      .where('user_id', '=', userId)
      .where('kind', '=', 'oauth')
      .where((row) => row.or([row('expires_at', '<', now()), row('revoked_at', 'is not', null)]))
      .execute()
  }

  async function find(token: string): Promise<Visitor | undefined> {
    if (!token.startsWith(tokenPrefix)) return undefined
    const hash = hashSecret(token)
    const visitor = await cache.get(hash, () => loadServer(token) ?? load(hash))
    return visitor && visitor.expiresAt.getTime() > now() ? visitor : undefined
  }

  /** Of an environment that lives: it may say that it is in use, for its owner and nobody else. */
  function loadServer(token: string): Promise<Visitor | undefined> | undefined {
    const id = serverTokens?.idOf(token)
    return id === undefined ? undefined : loadLiveServer(id)
  }

  async function loadLiveServer(id: string): Promise<Visitor | undefined> {
    const row = await db
      .selectFrom('environments')
      .innerJoin('users', 'users.id', 'environments.user_id')
      .select(['environments.server', 'users.id', 'users.name', 'users.title', 'users.email', 'users.admin'])
      .select('users.blocked_reason')
      .where('environments.id', '=', id)
      .where('environments.ended_at', 'is', null)
      .executeTakeFirst()
    const worth = row && (await vouching.of(row.id))
    if (!row || !worth) return undefined
    return {
      user: { ...userOf(row), admin: worth.admin },
      login: `server-${id}`,
      by: 'token',
      groups: worth.groups,
      scopes: ['users:activity!user', 'access:servers!server'],
      server: row.server,
      expiresAt: new Date(now() + mostAheadMs),
    }
  }

  async function load(hash: string): Promise<Visitor | undefined> {
    const row = await db
      .selectFrom('tokens')
      .innerJoin('users', 'users.id', 'tokens.user_id')
      .leftJoin('logins', 'logins.id', 'tokens.login')
      .select(['tokens.id as token', 'tokens.scopes', 'tokens.expires_at', 'tokens.last_used_at'])
      .select(['tokens.kind', 'tokens.client_id', 'tokens.session_id'])
      .select(['logins.revoked_at as login_revoked_at', 'logins.expires_at as login_expires_at'])
      .select(['users.id', 'users.name', 'users.title', 'users.email', 'users.admin', 'users.blocked_reason'])
      .where('tokens.secret_hash', '=', hash)
      .where('tokens.revoked_at', 'is', null)
      .executeTakeFirst()
    if (!row || isOver(row)) return undefined
    // Logging out ends what was opened with the login, and a row that is gone was over long ago.
    const isGrant = row.kind === 'oauth'
    if (isGrant && (row.login_revoked_at !== null || (row.login_expires_at ?? 0) <= now())) return undefined
    const worth = await vouching.of(row.id)
    if (!worth) return undefined
    if (now() - (row.last_used_at ?? 0) >= usedEveryMs) {
      await db.updateTable('tokens').set({ last_used_at: now() }).where('id', '=', row.token).execute()
    }
    return {
      user: { ...userOf(row), admin: worth.admin },
      login: row.token,
      by: 'token',
      groups: worth.groups,
      scopes: parseScopes(row.scopes),
      expiresAt: new Date(endOf(row)),
      ...(row.client_id === null ? {} : { client: { id: row.client_id, ...sessionOf(row) } }),
    }
  }

  const isOver = ({ expires_at }: Pick<TokenRow, 'expires_at'>): boolean => expires_at !== null && expires_at <= now()
  const endOf = ({ expires_at }: Pick<TokenRow, 'expires_at'>): number =>
    Math.min(expires_at ?? Infinity, now() + mostAheadMs)

  async function living(userId: string): Promise<TokenRow[]> {
    const rows = await db
      .selectFrom('tokens')
      .selectAll()
      .where('user_id', '=', userId)
      .where('revoked_at', 'is', null)
      .orderBy('created_at', 'desc')
      .execute()
    return rows.filter((row) => !isOver(row))
  }

  async function revoke(userId: string, id: string): Promise<void> {
    const row = await db
      .selectFrom('tokens')
      .select('expires_at')
      .where('id', '=', id)
      .where('user_id', '=', userId)
      .executeTakeFirst()
    if (!row) return
    await db
      .updateTable('tokens')
      .set({ revoked_at: now() })
      .where('id', '=', id)
      .where('revoked_at', 'is', null)
      .execute()
    cache.clear()
    const until = endOf(row)
    await routes.revoke({ kind: 'login', subject: id, at: until, until })
  }

  async function revokeGrants({
    userId,
    client,
    session,
  }: Readonly<{ userId: string; client?: string; session: string }>): Promise<void> {
    let ended = db
      .updateTable('tokens')
      .set({ revoked_at: now() })
      .where('user_id', '=', userId)
      .where('kind', '=', 'oauth')
      .where('session_id', '=', session)
      .where('revoked_at', 'is', null)
    if (client !== undefined) ended = ended.where('client_id', '=', client)
    await ended.execute()
    cache.clear()
  }

  return {
    create,
    find,
    revoke,
    revokeGrants,
    async stillValid(id) {
      const row = await db
        .selectFrom('tokens')
        .innerJoin('users', 'users.id', 'tokens.user_id')
        .select('tokens.expires_at')
        .where('tokens.id', '=', id)
        .where('tokens.revoked_at', 'is', null)
        .where('users.blocked_reason', 'is', null)
        .executeTakeFirst()
      return row !== undefined && !isOver(row)
    },
    async list(userId) {
      return (await living(userId)).map(infoOf)
    },
  }
}

function check(scopes: readonly string[], note: string, expiresAt: Date | undefined, now: number): void {
  const refuse = (field: string, detail: string) => {
    throw new Problem('badRequest', detail, { field })
  }
  if (scopes.length === 0 || scopes.length > 64) refuse('scopes', 'Name between 1 and 64 scopes.')
  const bad = scopes.find((scope) => scopeProblem(scope) !== undefined)
  if (bad !== undefined) {
    const meant = nearest(bad.split('!', 1)[0] ?? '', scopeNames)
    const hint = meant === undefined || isScopeName(bad) ? 'One looks like read:metrics.' : `Did you mean ${meant}?`
    refuse('scopes', `“${bad.slice(0, 60)}” ${scopeProblem(bad) ?? ''}. ${hint}`)
  }
  if (note.length > 200) refuse('note', 'The note may have 200 characters.')
  if (expiresAt && !(expiresAt.getTime() > now)) refuse('expiresAt', 'The token must end in the future.')
}

const parseScopes = (text: string): string[] => z.array(z.string()).parse(JSON.parse(text))

function sessionOf({ session_id }: Pick<TokenRow, 'session_id'>): { session?: string } {
  return session_id === null ? {} : { session: session_id }
}

function infoOf(row: TokenRow): TokenInfo {
  return {
    id: row.id,
    ...(row.client_id === null ? {} : { client: row.client_id }),
    ...sessionOf(row),
    scopes: parseScopes(row.scopes),
    note: row.note,
    createdAt: new Date(row.created_at),
    ...(row.expires_at === null ? {} : { expiresAt: new Date(row.expires_at) }),
    ...(row.last_used_at === null ? {} : { lastUsedAt: new Date(row.last_used_at) }),
  }
}
