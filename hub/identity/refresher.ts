/**
 * Asks the providers again whether those who are logged in still are who they were, and what they are worth: so that
 * groups and the right to be here are true, and not what they were a week ago. Only invalid_grant ends a login; a
 * provider that is down, or says anything else, changes nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import type { Log } from '../../spawners/spawner.ts'
import type { Audit } from '../audit/index.ts'
import type { LoginRow, Tables } from '../store/schema.ts'
import { type Claims, claimsText, parseClaims, subjectOf } from './claims.ts'
import { type Refreshed, refreshTokens } from './code.ts'
import { untrusted, verifyIdToken } from './id-token.ts'
import type { Logins } from './logins.ts'
import type { Provider } from './provider.ts'
import type { Providers } from './providers.ts'
import { openRefreshToken, refreshColumns } from './refresh-token.ts'
import type { Seal } from './seal.ts'
import { askUserInfo } from './user-info.ts'

export interface Refresher {
  /** Asks for all that are due; returns how many were asked for. */
  refresh(): Promise<number>
  /** This one now, unless another hub is at it; nothing changes where it can't be refreshed. */
  refreshLogin(row: LoginRow): Promise<void>
  /** Again and again, until close(). */
  start(): void
  close(): Promise<void>
}

export interface RefresherOptions {
  readonly db: Kysely<Tables>
  readonly providers: Providers
  readonly logins: Pick<Logins, 'revoke' | 'forgetCached'>
  readonly seal: Seal
  readonly audit: Pick<Audit, 'write'>
  readonly now: () => number
  readonly log: Log
}

const everyMs = 15_000
const mostAtOnce = 100
const together = 4
/** Longer than all its questions may take together: another hub takes over then. */
const claimMs = 120_000

export function createRefresher(options: RefresherOptions): Refresher {
  const { db, providers, logins, seal, audit, now, log } = options
  const closing = new AbortController()
  let working: Promise<void> | undefined

  async function refresh(): Promise<number> {
    let asked = 0
    for (const provider of providers.all.filter(({ form }) => form === undefined)) {
      const due = await dueOf(provider)
      for (let first = 0; first < due.length; first += together) {
        if (closing.signal.aborted) return asked
        await Promise.all(due.slice(first, first + together).map((row) => refreshOne(provider, row)))
      }
      asked += due.length
    }
    return asked
  }

  function dueOf({ issuer, configuration }: Provider): Promise<LoginRow[]> {
    return (
      db
        .selectFrom('logins')
        .selectAll()
        .where('issuer', '=', issuer)
        .where('refresh_token', 'is not', null)
        .where('revoked_at', 'is', null)
        .where('expires_at', '>', now())
        .where('refreshed_at', '<=', now() - configuration.refresh)
        // By its own end it is over for no reason that says anything of the person: the login goes on to its own end.
        .where((row) => row.or([row('refresh_by', 'is', null), row('refresh_by', '>', now())]))
        .where((row) => row.or([row('refreshing_until', 'is', null), row('refreshing_until', '<', now())]))
        .orderBy('refreshed_at')
        .limit(mostAtOnce)
        .execute()
    )
  }

  async function refreshOne(provider: Provider, row: LoginRow): Promise<void> {
    // A refresh token is often good once: two hubs that use it would look like a thief to the provider.
    if (!(await claim(row))) return
    try {
      const token = openRefreshToken(seal, row.id, row)
      const answer = token === undefined ? undefined : await ask(provider, row, token)
      if (answer === 'refused') return await end(provider, row)
      if (answer !== undefined) await keep(provider, row, answer)
    } catch (error) {
      log.warn(
        { provider: provider.name, login: row.id, err: error },
        'a login could not be refreshed; nothing changes',
      )
    }
  }

  async function claim({ id, refresh_token, refreshing_until }: LoginRow): Promise<boolean> {
    const claimed = await db
      .updateTable('logins')
      .set({ refreshing_until: now() + claimMs })
      .where('id', '=', id)
      .where('refresh_token', '=', refresh_token)
      .where('refreshing_until', refreshing_until === null ? 'is' : '=', refreshing_until)
      .executeTakeFirst()
    return claimed.numUpdatedRows > 0n
  }

  interface Answer {
    readonly refreshed: Refreshed
    readonly claims: Readonly<Record<string, unknown>> | undefined
  }

  async function ask(provider: Provider, row: LoginRow, token: string): Promise<Answer | 'refused'> {
    const { metadata, keys } = await provider.discover()
    const refreshed = await refreshTokens(provider, metadata, token)
    if (refreshed === 'refused') return refreshed
    // The old token may be used up: the new one is kept before anything else can fail.
    await keepToken(row, refreshed)
    const { idToken, accessToken } = refreshed
    const signed =
      idToken === undefined
        ? undefined
        : await verifyIdToken(idToken, {
            keys,
            title: provider.title,
            issuer: provider.issuer,
            clientId: provider.configuration.clientId,
            accessToken,
            now: now(),
          })
    const subject = row.provider_subject ?? row.subject
    if (signed !== undefined && signed.sub !== subject) {
      throw untrusted(provider.title, 'subject', new Error('the refreshed ID token speaks of another sub'))
    }
    const url = metadata.userinfo_endpoint
    const info = url === undefined ? undefined : await askUserInfo(provider, url, accessToken, subject)
    if (info === undefined && signed === undefined) return { refreshed, claims: undefined }
    // What only an ID token says is not there without one: then the last one's counts.
    const before = signed === undefined ? await claimsBefore(row) : {}
    return { refreshed, claims: { ...before, ...info, ...signed } }
  }

  async function claimsBefore({ issuer, subject }: LoginRow): Promise<Claims> {
    const identity = await db
      .selectFrom('identities')
      .select('claims')
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .executeTakeFirst()
    return parseClaims(identity?.claims ?? null)
  }

  async function keepToken({ id, refresh_token, refresh_by }: LoginRow, { refresh }: Refreshed): Promise<void> {
    // Without a new one the old one goes on.
    const columns = refresh === undefined ? { refresh_token, refresh_by } : refreshColumns(seal, id, refresh, now())
    await db
      .updateTable('logins')
      .set(columns)
      .where('id', '=', id)
      // Unless the person logged in again meanwhile, with tokens of its own.
      .where('refresh_token', '=', refresh_token)
      .execute()
  }

  async function keep(provider: Provider, row: LoginRow, { refreshed, claims }: Answer): Promise<void> {
    const { configuration } = provider
    if (claims !== undefined && subjectOf({ sub: row.provider_subject, ...claims }, configuration) === row.subject) {
      await db
        .updateTable('identities')
        .set({ claims: claimsText(claims, configuration) })
        .where('issuer', '=', row.issuer)
        .where('subject', '=', row.subject)
        .execute()
    }
    const { idToken } = refreshed
    await db
      .updateTable('logins')
      .set({
        refreshed_at: now(),
        refreshing_until: null,
        ...(idToken === undefined ? {} : { id_token: seal.seal(idToken, `${row.id} id`) }),
      })
      .where('id', '=', row.id)
      .where('authenticated_at', '=', row.authenticated_at)
      .execute()
    logins.forgetCached()
  }

  async function end(provider: Provider, row: LoginRow): Promise<void> {
    const still = await db
      .selectFrom('logins')
      .innerJoin('users', 'users.id', 'logins.user_id')
      .select('users.name')
      .where('logins.id', '=', row.id)
      .where('refresh_token', '=', row.refresh_token)
      .executeTakeFirst()
    // Renewed meanwhile: what was refused is of no use to anybody any more.
    if (still === undefined) return
    await logins.revoke(row.id)
    await audit.write({
      who: `service:${provider.name}`,
      did: 'login.ended',
      toWhom: { id: row.user_id, name: still.name },
      login: row.id,
      detail: { reason: 'the provider refused to refresh it' },
    })
    log.info({ provider: provider.name, login: row.id }, 'the provider took the right to be logged in away')
  }

  async function keepRefreshing(): Promise<void> {
    while (!closing.signal.aborted) {
      await refresh().catch((error: unknown) => log.warn({ err: error }, 'logins are not refreshed just now'))
      await sleep(everyMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
    }
  }

  return {
    refresh,
    async refreshLogin(row) {
      const provider = providers.byIssuer(row.issuer)
      const isOver = row.refresh_by !== null && row.refresh_by <= now()
      const isTaken = row.refreshing_until !== null && row.refreshing_until >= now()
      if (provider === undefined || row.refresh_token === null || isOver || isTaken) return
      await refreshOne(provider, row)
    },
    start() {
      working ??= keepRefreshing()
    },
    async close() {
      closing.abort()
      await working
    },
  }
}
