/** Shares: an environment, open to one person or group. Ending one closes what came by it, within a second. */
import type { Transaction } from 'kysely'
import type { AuditedActor } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Store } from '../store/index.ts'
import type { Tables } from '../store/schema.ts'
import type { ShareRow } from '../store/migrations/sharing.ts'
import { isEnvironmentId } from '../../spawners/spawner.ts'
import { type Grantee, requireRole, type Share, type ShareRole } from './share.ts'
import type { Visits } from './visits.ts'

export interface Shares {
  /** Sharing again changes what and until when. Absent `expiresAt`: as long as the environment. Throws Problems. */
  grant(environment: Environment, wanted: NewShare, actor: AuditedActor): Promise<Share>
  /** @throws Problem 'notFound' */
  end(environment: Pick<Environment, 'id'>, id: string, actor: AuditedActor): Promise<void>
  endAll(environment: Pick<Environment, 'id'>, actor: AuditedActor): Promise<void>
  /** Undoes the end. @throws Problem 'notFound' */
  restore(environment: Pick<Environment, 'id'>, id: string, actor: AuditedActor): Promise<void>
  /** Those that hold, the oldest first; and where `ended` says so those that ended just now. */
  of(environment: Pick<Environment, 'id'>, options?: { readonly ended?: boolean }): Promise<readonly Share[]>
  /** What is open to this person, by themselves or by a group; of each environment the one that lets do most. */
  openTo(person: Person): Promise<readonly Share[]>
  /** Straight to this person, or to this group. */
  grantedTo(to: { readonly userId: string } | { readonly group: string }): Promise<readonly Share[]>
  get(id: string): Promise<Share | undefined>
}

interface NewShare {
  readonly with: Grantee
  readonly role: ShareRole
  readonly expiresAt?: Date
}

interface Person {
  readonly user: { readonly id: string }
  readonly groups: readonly string[]
}

export interface SharesOptions {
  readonly store: Pick<Store, 'db' | 'writer'>
  readonly audit: Pick<Audit, 'within'>
  readonly visits: Pick<Visits, 'endOfShare'>
  readonly now: () => Date
  readonly newId: () => string
}

/** So long an end can be undone. */
const undoMs = 600_000
const mostShares = 100
const mostListed = 1_000

export function createShares({ store, audit, visits, now, newId }: SharesOptions): Shares {
  const { db, writer } = store

  const selected = () =>
    db
      .selectFrom('shares')
      .leftJoin('users', 'users.id', 'shares.user_id')
      .selectAll('shares')
      .select(['users.name', 'users.title'])
  const holding = () =>
    selected()
      .where('shares.ended_at', 'is', null)
      .where((row) => row.or([row('shares.expires_at', 'is', null), row('shares.expires_at', '>', now().getTime())]))

  async function change(
    environment: Pick<Environment, 'id'>,
    work: (trx: Transaction<Tables>) => Promise<readonly (() => void | Promise<void>)[]>,
  ): Promise<void> {
    const after = await writer.write(`environment ${environment.id}`, work)
    for (const each of after) await each()
  }

  async function end(trx: Transaction<Tables>, rows: readonly ShareRow[], actor: AuditedActor) {
    const after: (() => void | Promise<void>)[] = []
    for (const row of rows) {
      await trx.updateTable('shares').set({ ended_at: now().getTime() }).where('id', '=', row.id).execute()
      after.push(await visits.endOfShare(trx, row.id))
      const detail = { share: row.id, with: await nameOf(trx, row), role: row.role }
      after.push(await audit.within(trx, { ...actor, did: 'share.ended', what: row.environment_id, detail }))
    }
    return after
  }

  return {
    async grant(environment, { with: to, role, expiresAt }, actor) {
      requireRole(role, environment.spec)
      refuseOneself(environment, to)
      const at = now().getTime()
      if (expiresAt !== undefined && expiresAt.getTime() <= at) {
        throw new Problem('badRequest', 'expires: is over already. Give a time that is still to come.', {
          field: 'expires',
        })
      }
      const key = { user_id: to.kind === 'user' ? to.id : null, group_name: to.kind === 'group' ? to.name : null }
      const terms = { role, expires_at: expiresAt?.getTime() ?? null }
      let id = newId()
      await change(environment, async (trx) => {
        const all = await trx.selectFrom('shares').selectAll().where('environment_id', '=', environment.id).execute()
        const known = all.find((row) => row.user_id === key.user_id && row.group_name === key.group_name)
        if (known === undefined && all.filter(({ ended_at }) => ended_at === null).length >= mostShares) {
          throw new Problem('conflict', `It is shared ${mostShares} times already. End some, or share with a group.`)
        }
        const after: (() => void | Promise<void>)[] = []
        if (known === undefined) {
          const row = { id, environment_id: environment.id, owner_id: environment.userId, ...key, ...terms }
          await trx
            .insertInto('shares')
            .values({ ...row, created_at: at, ended_at: null, used_at: null })
            .execute()
        } else {
          id = known.id
          await trx
            .updateTable('shares')
            .set({ ...terms, ended_at: null })
            .where('id', '=', id)
            .execute()
          // What was opened on other terms is opened anew.
          after.push(await visits.endOfShare(trx, id))
        }
        const detail = { share: id, with: words(to), role, until: expiresAt?.toISOString() ?? null }
        const toWhom = to.kind === 'user' ? { toWhom: { id: to.id, name: to.name } } : {}
        after.push(await audit.within(trx, { ...actor, did: 'share.made', ...toWhom, what: environment.id, detail }))
        return after
      })
      return {
        id,
        environment: environment.id,
        with: to,
        role,
        createdAt: new Date(at),
        ...(expiresAt === undefined ? {} : { expiresAt }),
      }
    },
    async end(environment, id, actor) {
      await change(environment, async (trx) => {
        const row = await trx
          .selectFrom('shares')
          .selectAll()
          .where('id', '=', id)
          .where('environment_id', '=', environment.id)
          .executeTakeFirst()
        if (row === undefined) throw new Problem('notFound', 'It is not shared so any more. Look at the list.')
        return row.ended_at === null ? await end(trx, [row], actor) : []
      })
    },
    async endAll(environment, actor) {
      await change(environment, async (trx) => {
        const rows = await trx
          .selectFrom('shares')
          .selectAll()
          .where('environment_id', '=', environment.id)
          .where('ended_at', 'is', null)
          .execute()
        return await end(trx, rows, actor)
      })
    },
    async restore(environment, id, actor) {
      await change(environment, async (trx) => {
        const row = await trx
          .updateTable('shares')
          .set({ ended_at: null })
          .where('id', '=', id)
          .where('environment_id', '=', environment.id)
          .where('ended_at', '>', now().getTime() - undoMs)
          .returningAll()
          .executeTakeFirst()
        if (row === undefined) throw new Problem('notFound', 'This can not be undone any more. Share it again.')
        const detail = { share: id, with: await nameOf(trx, row), role: row.role, undone: true }
        return [await audit.within(trx, { ...actor, did: 'share.made', what: environment.id, detail })]
      })
    },
    async of({ id }, { ended = false } = {}) {
      const of = (query: ReturnType<typeof selected>) =>
        query.where('shares.environment_id', '=', id).orderBy('shares.created_at').limit(mostListed).execute()
      const rows = await of(holding())
      if (ended) rows.push(...(await of(selected().where('shares.ended_at', '>', now().getTime() - undoMs))))
      return rows.flatMap(shareOf)
    },
    async openTo({ user, groups }) {
      const rows = await holding()
        .where((row) =>
          row.or([
            row('shares.user_id', '=', user.id),
            ...(groups.length === 0 ? [] : [row('shares.group_name', 'in', groups.slice(0, mostListed))]),
          ]),
        )
        .where('shares.owner_id', '!=', user.id)
        .orderBy('shares.created_at', 'desc')
        .limit(mostListed)
        .execute()
      const best = new Map<string, Share>()
      for (const share of rows.flatMap(shareOf)) {
        const known = best.get(share.environment)
        if (known === undefined || letsDoMore(share, known)) best.set(share.environment, share)
      }
      return [...best.values()]
    },
    async grantedTo(to) {
      const query =
        'userId' in to
          ? holding().where('shares.user_id', '=', to.userId)
          : holding().where('shares.group_name', '=', to.group)
      return (await query.orderBy('shares.created_at').limit(mostListed).execute()).flatMap(shareOf)
    },
    async get(id) {
      const row = await holding().where('shares.id', '=', id).executeTakeFirst()
      return row && shareOf(row)[0]
    },
  }
}

/** Use before view; then straight before by a group, which ends when somebody leaves it; then what lasts longer. */
function letsDoMore(one: Share, other: Share): boolean {
  if (one.role !== other.role) return one.role === 'guest'
  if (one.with.kind !== other.with.kind) return one.with.kind === 'user'
  return (one.expiresAt?.getTime() ?? Infinity) > (other.expiresAt?.getTime() ?? Infinity)
}

function refuseOneself({ userId }: Environment, to: Grantee): void {
  if (to.kind !== 'user' || to.id !== userId) return
  throw new Problem('badRequest', 'It is theirs already. Name somebody else.', { field: 'user' })
}

const words = (to: Grantee): string => (to.kind === 'group' ? `group:${to.name}` : to.name)

async function nameOf(trx: Transaction<Tables>, { user_id, group_name }: ShareRow): Promise<string> {
  if (user_id === null) return `group:${group_name ?? ''}`
  const user = await trx.selectFrom('users').select('name').where('id', '=', user_id).executeTakeFirst()
  return user?.name ?? user_id
}

/** None: whoever it was with is not there any more. */
function shareOf(row: ShareRow & { name: string | null; title: string | null }): Share[] {
  const to = granteeOf(row)
  if (to === undefined || !isEnvironmentId(row.environment_id)) return []
  return [
    {
      id: row.id,
      environment: row.environment_id,
      with: to,
      role: row.role === 'viewer' ? 'viewer' : 'guest',
      createdAt: new Date(row.created_at),
      ...(row.expires_at === null ? {} : { expiresAt: new Date(row.expires_at) }),
      ...(row.ended_at === null ? {} : { endedAt: new Date(row.ended_at) }),
    },
  ]
}

function granteeOf(row: ShareRow & { name: string | null; title: string | null }): Grantee | undefined {
  if (row.group_name !== null) return { kind: 'group', name: row.group_name }
  if (row.user_id === null || row.name === null) return undefined
  return { kind: 'user', id: row.user_id, name: row.name, title: row.title ?? row.name }
}
