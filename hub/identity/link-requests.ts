/** Who asked an administrator to link an identity to an account, and what became of it. */
import type { Kysely, Selectable } from 'kysely'
import type { Audit } from '../audit/index.ts'
import { Problem } from '../domain/problem.ts'
import type { Tables } from '../store/schema.ts'
import { createLimit, addressKey } from './limits.ts'
import type { Actor, Links } from './links.ts'
import type { Outsider } from './outsiders.ts'
import type { Providers } from './providers.ts'

interface LinkRequest {
  readonly id: string
  readonly provider: string
  /** The provider's title. */
  readonly providerTitle: string
  readonly issuer: string
  readonly subject: string
  /** As they say themselves; nobody checked it. */
  readonly title: string
  readonly name?: string
  readonly email?: string
  readonly legacyHash?: string
  readonly note: string
  readonly state: 'asked' | 'refused'
  /** Why it was refused. */
  readonly reason?: string
  readonly askedAt: Date
  readonly expiresAt: Date
}

export interface LinkRequests {
  /** One for each identity: asking again changes the note. Throws Problem 'tooManyRequests', 'conflict'. */
  ask(outsider: Outsider, note: string, address: string): Promise<void>
  of(outsider: Pick<Outsider, 'issuer' | 'subject'>): Promise<LinkRequest | undefined>
  /** Those that wait, the oldest first. */
  waiting(): Promise<readonly LinkRequest[]>
  /** Links it to the user of this name, who is made if need be. Throws Problem 'notFound', 'conflict', 'badRequest'. */
  approve(id: string, name: string, actor: Actor): Promise<void>
  refuse(id: string, reason: string, actor: Actor): Promise<void>
}

export interface LinkRequestsOptions {
  readonly db: Kysely<Tables>
  readonly links: Links
  readonly providers: Providers
  readonly audit: Pick<Audit, 'write'>
  readonly contact: string
  /** A request is forgotten after this long. */
  readonly keepMs: number
  readonly now: () => number
  readonly newId: () => string
}

/** Anyone can register at an outside login service: neither the table nor the administrators may be flooded. */
const mostWaiting = 2_000
const perAddress = { tries: 10, windowSeconds: 3_600 }
const mostListed = 500

export function createLinkRequests(options: LinkRequestsOptions): LinkRequests {
  const { db, links, providers, audit, contact, keepMs, now, newId } = options
  const limit = createLimit(perAddress)

  async function ask(outsider: Outsider, note: string, address: string): Promise<void> {
    await limit.take(addressKey(address))
    await db.deleteFrom('link_requests').where('expires_at', '<=', now()).execute()
    const known = await rowOf(outsider)
    if (known?.state === 'refused') {
      throw new Problem('conflict', `Your request was refused: ${known.reason ?? ''} Ask ${contact}.`)
    }
    const { count } = await db
      .selectFrom('link_requests')
      .select((row) => row.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    if (known === undefined && count >= mostWaiting) {
      throw new Problem('tooManyRequests', `Too many people wait already. Ask ${contact}.`, { retryAfter: 86_400 })
    }
    const { provider, issuer, subject, title, name, email, legacyHash } = outsider
    const values = {
      title: title ?? name ?? subject,
      name: name ?? null,
      email: email ?? null,
      legacy_hash: legacyHash ?? null,
      note,
      state: 'asked',
      reason: null,
      address,
      asked_at: now(),
      expires_at: now() + keepMs,
    }
    await db
      .insertInto('link_requests')
      .values({ issuer, subject, id: newId(), ...values })
      .onConflict((conflict) => conflict.columns(['issuer', 'subject']).doUpdateSet({ note, title: values.title }))
      .execute()
    await audit.write({
      who: 'nobody',
      did: 'link.requested',
      what: subject,
      from: address,
      detail: { provider, issuer },
    })
  }

  function rowOf({ issuer, subject }: Pick<Outsider, 'issuer' | 'subject'>) {
    return db
      .selectFrom('link_requests')
      .selectAll()
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .where('expires_at', '>', now())
      .executeTakeFirst()
  }

  async function asked(id: string): Promise<LinkRequest> {
    const row = await db
      .selectFrom('link_requests')
      .selectAll()
      .where('id', '=', id)
      .where('expires_at', '>', now())
      .where('state', '=', 'asked')
      .executeTakeFirst()
    const request = row && read(row)
    if (request) return request
    throw new Problem('notFound', 'This request is not waiting any more. Look at the list again.')
  }

  /** Undefined: its provider is not configured any more. */
  function read(row: Selectable<Tables['link_requests']>): LinkRequest | undefined {
    const provider = providers.byIssuer(row.issuer)
    if (provider === undefined) return undefined
    return {
      id: row.id,
      provider: provider.name,
      providerTitle: provider.title,
      issuer: row.issuer,
      subject: row.subject,
      title: row.title,
      ...(row.name === null ? {} : { name: row.name }),
      ...(row.email === null ? {} : { email: row.email }),
      ...(row.legacy_hash === null ? {} : { legacyHash: row.legacy_hash }),
      note: row.note,
      state: row.state === 'refused' ? 'refused' : 'asked',
      ...(row.reason === null ? {} : { reason: row.reason }),
      askedAt: new Date(row.asked_at),
      expiresAt: new Date(row.expires_at),
    }
  }

  async function approve(id: string, name: string, actor: Actor): Promise<void> {
    if (!/^[a-z][a-z0-9._-]{0,63}$/.test(name)) {
      throw new Problem('badRequest', `“${name.slice(0, 64)}” can not be an account's name. One looks like marie.c.`, {
        field: 'user',
      })
    }
    const request = await asked(id)
    const user = await userNamed(name, request.title)
    await links.link(user, request, 'administrator', actor)
  }

  async function userNamed(name: string, title: string): Promise<{ id: string; name: string }> {
    const row = { id: newId(), name, title, email: null, admin: 0, blocked_reason: null, last_activity_at: null }
    await db
      .insertInto('users')
      .values({ ...row, created_at: now() })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
    return await db.selectFrom('users').select(['id', 'name']).where('name', '=', name).executeTakeFirstOrThrow()
  }

  async function refuse(id: string, reason: string, actor: Actor): Promise<void> {
    const { provider, issuer, subject } = await asked(id)
    const refused = await db
      .updateTable('link_requests')
      .set({ state: 'refused', reason, expires_at: now() + keepMs })
      .where('id', '=', id)
      .where('state', '=', 'asked')
      .executeTakeFirst()
    if (refused.numUpdatedRows === 0n)
      throw new Problem('notFound', 'Somebody else was faster. Look at the list again.')
    await audit.write({ ...actor, did: 'link.refused', what: subject, detail: { provider, issuer, reason } })
  }

  return {
    ask,
    async of(outsider) {
      const row = await rowOf(outsider)
      return row && read(row)
    },
    async waiting() {
      const rows = await db
        .selectFrom('link_requests')
        .selectAll()
        .where('state', '=', 'asked')
        .where('expires_at', '>', now())
        .orderBy('asked_at')
        .limit(mostListed)
        .execute()
      return rows.flatMap((row) => read(row) ?? [])
    },
    approve,
    refuse,
  }
}
