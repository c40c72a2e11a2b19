/** API tokens: shown once, stored as a hash, with scopes, an end, a note and the last use. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { Problem } from '../domain/problem.ts'
import type { RouteTable, Visitor } from '../domain/services.ts'
import type { Tables, TokenRow } from '../store/schema.ts'
import { groupsOf, parseClaims } from './claims.ts'
import { createFreshCache } from './fresh-cache.ts'
import type { Providers } from './providers.ts'
import { hashSecret, newSecret } from './secrets.ts'
import { userOf } from './users.ts'

interface TokenInfo {
  readonly id: string
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
}

export interface Tokens {
  /** `token` is shown once and kept nowhere. Throws Problem 'badRequest' with the field. */
  create(wanted: NewToken): Promise<{ id: string; token: string }>
  /** The living ones, the newest first. */
  list(userId: string): Promise<readonly TokenInfo[]>
  /** Of this user's own; another's, or none, is no error. Ends what it opened at the proxies too. */
  revoke(userId: string, id: string): Promise<void>
  /** Undefined: unknown, revoked, over. Marks the token as used, at most once a minute. */
  find(token: string): Promise<Visitor | undefined>
  /** By its id: neither revoked nor over, and its user not blocked. Marks nothing. */
  stillValid(id: string): Promise<boolean>
}

export interface TokensOptions {
  readonly db: Kysely<Tables>
  readonly providers: Providers
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
  const { db, providers, routes, now, newId } = options
  const cache = createFreshCache<Visitor>({ freshMs: 1_000, most: 2_000, now })

  async function create({ userId, scopes, note, expiresAt }: NewToken) {
    check(scopes, note, expiresAt, now())
    if ((await living(userId)).length >= mostPerUser) {
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
    }
    await db.insertInto('tokens').values(row).execute()
    return { id: row.id, token }
  }

  async function find(token: string): Promise<Visitor | undefined> {
    if (!token.startsWith(tokenPrefix)) return undefined
    const hash = hashSecret(token)
    const visitor = await cache.get(hash, () => load(hash))
    return visitor && visitor.expiresAt.getTime() > now() ? visitor : undefined
  }

  async function load(hash: string): Promise<Visitor | undefined> {
    const row = await db
      .selectFrom('tokens')
      .innerJoin('users', 'users.id', 'tokens.user_id')
      .select(['tokens.id as token', 'tokens.scopes', 'tokens.expires_at', 'tokens.last_used_at'])
      .select(['users.id', 'users.name', 'users.title', 'users.email', 'users.admin', 'users.blocked_reason'])
      .where('tokens.secret_hash', '=', hash)
      .where('tokens.revoked_at', 'is', null)
      .executeTakeFirst()
    if (!row || isOver(row)) return undefined
    const worth = await standing(row.id)
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
    }
  }

  const isOver = ({ expires_at }: Pick<TokenRow, 'expires_at'>): boolean => expires_at !== null && expires_at <= now()
  const endOf = ({ expires_at }: Pick<TokenRow, 'expires_at'>): number =>
    Math.min(expires_at ?? Infinity, now() + mostAheadMs)

  /** What the user's identities are worth today; undefined: nothing. */
  async function standing(userId: string): Promise<{ admin: boolean; groups: readonly string[] } | undefined> {
    const identities = await db
      .selectFrom('identities')
      .select(['issuer', 'subject', 'claims'])
      .where('user_id', '=', userId)
      .execute()
    const vouched = identities.flatMap(({ issuer, subject, claims }) => {
      const provider = providers.byIssuer(issuer)
      return provider ? [{ issuer, subject, groups: groupsOf(parseClaims(claims), provider.configuration) }] : []
    })
    // Whoever vouched for this person is no longer configured: what they said does not count any more.
    if (identities.length > 0 && vouched.length === 0) return undefined
    const groups = vouched.flatMap(({ groups }) => groups)
    const admin = vouched.some(({ issuer, subject }) => providers.isAdministrator(issuer, subject))
    return { admin, groups: [...new Set(groups)] }
  }

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

  return {
    create,
    find,
    revoke,
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
  const bad = scopes.find((scope) => !/^[a-z][a-z0-9:!=._/@-]{0,254}$/i.test(scope))
  if (bad !== undefined) refuse('scopes', `“${bad.slice(0, 60)}” is not a scope. One looks like read:metrics.`)
  if (note.length > 200) refuse('note', 'The note may have 200 characters.')
  if (expiresAt && !(expiresAt.getTime() > now)) refuse('expiresAt', 'The token must end in the future.')
}

const parseScopes = (text: string): string[] => z.array(z.string()).parse(JSON.parse(text))

function infoOf(row: TokenRow): TokenInfo {
  return {
    id: row.id,
    scopes: parseScopes(row.scopes),
    note: row.note,
    createdAt: new Date(row.created_at),
    ...(row.expires_at === null ? {} : { expiresAt: new Date(row.expires_at) }),
    ...(row.last_used_at === null ? {} : { lastUsedAt: new Date(row.last_used_at) }),
  }
}
