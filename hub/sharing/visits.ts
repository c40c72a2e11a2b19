/**
 * Visits: somebody's stay in another's environment. Each is one row, whose id stands in what the proxies are shown, so
 * that ending it closes what it opened within a second.
 */
import type { Selectable, Transaction } from 'kysely'
import { actorOf, type AuditedActor, type AuditEntry } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { RouteTable, Visitor } from '../domain/services.ts'
import type { Notifier } from '../notify/index.ts'
import type { Store } from '../store/index.ts'
import type { VisitRow } from '../store/migrations/sharing.ts'
import type { Tables } from '../store/schema.ts'
import { formatMoment } from '../domain/format.ts'
import { isEnvironmentId } from '../../spawners/spawner.ts'
import { longestVisitMs, type Share, type Visit, type VisitRole } from './share.ts'

export interface Visits {
  /** One of the staff says why: the owner is told, and it is in the audit trail. */
  announce(visitor: Visitor, environment: Environment, reason: string): Promise<Visit>
  /** By a share. @throws Problem 'notFound' when it ended a moment ago */
  byShare(visitor: Visitor, environment: Environment, share: Share): Promise<Visit>
  /** Of this one of the staff, in this login, that goes on. */
  ofStaff(visitor: Visitor, environment: Pick<Environment, 'id'>): Promise<Visit | undefined>
  get(id: string): Promise<Visit | undefined>
  /** The newest first, ended ones too. */
  list(of: { readonly environment?: string; readonly open?: boolean }): Promise<readonly Visit[]>
  /** Staff's, that the owner has not put away. */
  unread(ownerId: string): Promise<readonly Visit[]>
  putAway(ownerId: string, id: string): Promise<void>
  /** Whether this person was here as such before, so that they know. */
  hasBeen(visitorId: string, environment: string, role: VisitRole): Promise<boolean>
  /** Closes what it opened. `why` is for the audit trail. Ending what has ended is success. */
  end(id: string, actor: AuditedActor, why: string): Promise<void>
  /** Those that came by it, in the caller's transaction; what it gives is called after the commit. */
  endOfShare(trx: Transaction<Tables>, shareId: string): Promise<() => Promise<void>>
}

export interface VisitsOptions {
  readonly store: Pick<Store, 'db' | 'writer'>
  readonly audit: Pick<Audit, 'write' | 'within'>
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly notifier: Pick<Notifier, 'queue'>
  readonly publicUrl: URL
  /** How long one of the staff may stay before saying why again. */
  readonly staffMs: number
  readonly now: () => Date
  readonly newId: () => string
}

const mostListed = 100
/** Looked at once a minute. */
const mostOpen = 2_000
const mostUnread = 20

export function createVisits(options: VisitsOptions): Visits {
  const { store, audit, routes, notifier, publicUrl, staffMs, now, newId } = options
  const { db, writer } = store

  async function insert(trx: Transaction<Tables>, visitor: Visitor, environment: Environment, own: Own) {
    const { id, userId: owner_id } = environment
    const row = {
      id: newId(),
      environment_id: id,
      owner_id,
      visitor_id: visitor.user.id,
      login: visitor.by === 'cookie' ? visitor.login : null,
      began_at: now().getTime(),
      ended_at: null,
      // Guests are on the list of the share; the owner invited them.
      read_at: own.role === 'administrator' ? null : now().getTime(),
      ...own,
    }
    await trx.insertInto('visits').values(row).execute()
    const told = await audit.within(trx, entered(visitor, environment, own))
    const { user } = visitor
    const whole = { ...row, owner_name: environment.owner, name: user.name, title: user.title }
    return { visit: visitOf(whole), told }
  }

  async function tellOwner(
    trx: Transaction<Tables>,
    visitor: Visitor,
    environment: Environment,
    reason: string,
    id: string,
  ) {
    const owner = await trx.selectFrom('users').select('email').where('id', '=', environment.userId).executeTakeFirst()
    const who = `${visitor.user.title} (${visitor.user.name})`
    const sharing = new URL(`/hub/environments/${environment.id}/sharing`, publicUrl).href
    await notifier.queue(trx, [
      {
        id: `visit ${id}`,
        to: owner?.email,
        subject: `${visitor.user.name} entered “${environment.title}”`,
        text: `${who}, who is of the staff, entered your environment “${environment.title}” at ${formatMoment(now())}.\n\nReason: ${reason}\n\nThey act there as you do, until ${formatMoment(new Date(now().getTime() + staffMs))} at the latest. Who is there, and how to end it: ${sharing}\n`,
      },
    ])
  }

  const selected = () =>
    db
      .selectFrom('visits')
      .innerJoin('users as visitor', 'visitor.id', 'visits.visitor_id')
      .innerJoin('users as owner', 'owner.id', 'visits.owner_id')
      .selectAll('visits')
      .select(['visitor.name', 'visitor.title', 'owner.name as owner_name'])

  async function get(id: string): Promise<Visit | undefined> {
    const row = await selected().where('visits.id', '=', id).executeTakeFirst()
    return row && visitOf(row)
  }

  async function close(rows: readonly Pick<VisitRow, 'id' | 'expires_at'>[]): Promise<void> {
    // As for logins: whatever has this id is refused until its end, also what a request under way opens a moment from now.
    await Promise.all(
      rows.map(({ id, expires_at: at }) => routes.revoke({ kind: 'share', subject: id, at, until: at })),
    )
  }

  return {
    get,
    async announce(visitor, environment, reason) {
      const own = { role: 'administrator', share_id: null, reason, expires_at: now().getTime() + staffMs } as const
      const { visit } = await writer.write(
        `environment ${environment.id}`,
        async (trx) => {
          const made = await insert(trx, visitor, environment, own)
          await tellOwner(trx, visitor, environment, reason, made.visit.id)
          return made
        },
        ({ told }) => told(),
      )
      return visit
    },
    async byShare(visitor, environment, share) {
      const loginEnd = visitor.expiresAt.getTime()
      const shareEnd = share.expiresAt?.getTime() ?? Infinity
      const expires_at = Math.min(loginEnd, shareEnd, now().getTime() + longestVisitMs)
      const { visit } = await writer.write(
        `environment ${environment.id}`,
        async (trx) => {
          // Locks the share: whoever ends it at this moment either comes first, or sees this visit.
          const used = await trx
            .updateTable('shares')
            .set({ used_at: now().getTime() })
            .where('id', '=', share.id)
            .where('role', '=', share.role)
            .where('ended_at', 'is', null)
            .where((row) => row.or([row('expires_at', 'is', null), row('expires_at', '>', now().getTime())]))
            .executeTakeFirst()
          if (used.numUpdatedRows === 0n) throw notShared()
          return await insert(trx, visitor, environment, {
            role: share.role,
            share_id: share.id,
            reason: '',
            expires_at,
          })
        },
        ({ told }) => told(),
      )
      return visit
    },
    async ofStaff({ user, login }, { id }) {
      const row = await selected()
        .where('visits.environment_id', '=', id)
        .where('visits.visitor_id', '=', user.id)
        .where('visits.role', '=', 'administrator')
        .where('visits.ended_at', 'is', null)
        .where('visits.expires_at', '>', now().getTime())
        .where((visit) => visit.or([visit('visits.login', 'is', null), visit('visits.login', '=', login)]))
        .orderBy('visits.began_at', 'desc')
        .executeTakeFirst()
      if (row === undefined) return undefined
      // Announced by a token: from now on it is this login's, and ends with it.
      if (row.login === null) await db.updateTable('visits').set({ login }).where('id', '=', row.id).execute()
      return visitOf(row)
    },
    async list({ environment, open = false }) {
      let query = selected()
      if (environment !== undefined) query = query.where('visits.environment_id', '=', environment)
      if (open) query = query.where('visits.ended_at', 'is', null).where('visits.expires_at', '>', now().getTime())
      return (
        await query
          .orderBy('visits.began_at', 'desc')
          .limit(open ? mostOpen : mostListed)
          .execute()
      ).map(visitOf)
    },
    async unread(ownerId) {
      const rows = await selected()
        .where('visits.owner_id', '=', ownerId)
        .where('visits.read_at', 'is', null)
        .orderBy('visits.began_at', 'desc')
        .limit(mostUnread)
        .execute()
      return rows.map(visitOf)
    },
    async putAway(ownerId, id) {
      await db
        .updateTable('visits')
        .set({ read_at: now().getTime() })
        .where('id', '=', id)
        .where('owner_id', '=', ownerId)
        .execute()
    },
    async hasBeen(visitorId, environment, role) {
      const row = await db
        .selectFrom('visits')
        .select('id')
        .where('visitor_id', '=', visitorId)
        .where('environment_id', '=', environment)
        .where('role', '=', role)
        .executeTakeFirst()
      return row !== undefined
    },
    async end(id, actor, why) {
      const ended = await db
        .updateTable('visits')
        .set({ ended_at: now().getTime() })
        .where('id', '=', id)
        .where('ended_at', 'is', null)
        .returning(['id', 'expires_at'])
        .executeTakeFirst()
      const visit = ended && (await get(id))
      if (ended === undefined || visit === undefined) return
      await close([ended])
      const { environment: what, visitor: toWhom } = visit
      await audit.write({ ...actor, did: 'visit.ended', toWhom, what, detail: { role: visit.role, why } })
    },
    async endOfShare(trx, shareId) {
      const rows = await trx
        .updateTable('visits')
        .set({ ended_at: now().getTime() })
        .where('share_id', '=', shareId)
        .where('ended_at', 'is', null)
        .returning(['id', 'expires_at'])
        .execute()
      return () => close(rows)
    },
  }
}

type Own = Pick<VisitRow, 'role' | 'share_id' | 'reason' | 'expires_at'>

function entered(visitor: Visitor, environment: Environment, { role, share_id, reason }: Own): AuditEntry {
  return {
    ...actorOf(visitor),
    did: 'environment.entered',
    toWhom: { id: environment.userId, name: environment.owner },
    what: environment.id,
    detail: { role, ...(share_id === null ? { reason } : { share: share_id }) },
  }
}

export function notShared(): Problem {
  return new Problem(
    'notFound',
    'There is no environment here that is open to you, or it is so no more. Ask its owner.',
  )
}

type Joined = Selectable<Tables['visits']> & { owner_name: string; name: string; title: string }

function visitOf(row: Joined): Visit {
  if (!isEnvironmentId(row.environment_id)) throw new Error(`the store holds a visit to ${row.environment_id}`)
  return {
    id: row.id,
    environment: row.environment_id,
    owner: { id: row.owner_id, name: row.owner_name },
    visitor: { id: row.visitor_id, name: row.name, title: row.title },
    role: row.role === 'guest' ? 'guest' : row.role === 'viewer' ? 'viewer' : 'administrator',
    reason: row.reason,
    beganAt: new Date(row.began_at),
    expiresAt: new Date(row.expires_at),
    ...(row.ended_at === null ? {} : { endedAt: new Date(row.ended_at) }),
  }
}
