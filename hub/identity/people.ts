/** Users as the API lists and keeps them: with their groups and roles as they are now. */
import type { Kysely, Transaction } from 'kysely'
import { Problem } from '../domain/problem.ts'
import type { RouteTable } from '../domain/services.ts'
import type { Access } from '../roles/access.ts'
import type { Tables, UserRow } from '../store/schema.ts'
import type { Writer } from '../store/writer.ts'
import type { Logins } from './logins.ts'
import type { Vouching } from './vouching.ts'

export interface Person {
  readonly id: string
  readonly name: string
  readonly title: string
  readonly email?: string
  readonly blockedReason?: string
  readonly admin: boolean
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  readonly createdAt: Date
  readonly lastActivityAt?: Date
}

interface PeopleFilter {
  /** Only these, by id; absent: everybody. */
  readonly ids?: readonly string[]
  readonly withoutIds?: readonly string[]
  /** Within the name. */
  readonly nameContains?: string
  readonly sort: 'id' | 'name' | 'last_activity'
  readonly descending: boolean
}

export interface People {
  find(name: string): Promise<Person | undefined>
  /** `total`: of all that fit. `fits` is asked of each when it is there, so then everybody is read. */
  page(
    filter: PeopleFilter,
    range: { offset: number; limit: number },
    fits?: (person: Person) => boolean,
  ): Promise<{ items: readonly Person[]; total: number }>
  /** Those of the names that are new, in one transaction. Names are checked already. */
  create(names: readonly string[]): Promise<readonly Person[]>
  /** With logins, tokens and what has ended. @throws Problem 'conflict' while environments live */
  delete(person: Person): Promise<void>
  /** Somebody did something then; what is known better already changes nothing. */
  active(person: Person, at: Date): Promise<void>
}

export interface PeopleOptions {
  readonly db: Kysely<Tables>
  readonly writer: Writer
  readonly vouching: Vouching
  readonly access: Access
  readonly logins: Pick<Logins, 'revokeAll'>
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly now: () => number
  readonly newId: () => string
}

/** A name is an account's too, and part of addresses. */
export const userNamePattern = /^[a-z][a-z0-9._-]{0,63}$/

const atOnce = 500
const mostRead = 100_000
/** Activity that is nearer to what is known is not worth a write. */
const activityStepMs = 30_000
/** What anything opened by a token is open for at most (tokens.ts). */
const revokedForMs = 30 * 86_400_000

export function createPeople(options: PeopleOptions): People {
  const { db, writer, vouching, access, logins, routes, now, newId } = options

  async function complete(rows: readonly UserRow[]): Promise<readonly Person[]> {
    const [one] = rows
    if (one === undefined) return []
    if (rows.length === 1) {
      const worth = await vouching.of(one.id)
      const kept = await access.groups.of(one)
      return [personOf(one, worth?.admin === true, [...(worth?.groups ?? []), ...kept], await access.members.all())]
    }
    const [worth, kept, given] = await Promise.all([
      vouching.ofAll(rows.map(({ id }) => id)),
      access.groups.ofAll(rows),
      access.members.all(),
    ])
    return rows.map((row) => {
      const known = worth.get(row.id)
      return personOf(row, known?.admin === true, [...(known?.groups ?? []), ...(kept.get(row.id) ?? [])], given)
    })
  }

  function personOf(
    row: UserRow,
    vouchedAdmin: boolean,
    allGroups: readonly string[],
    given: Awaited<ReturnType<Access['members']['all']>>,
  ): Person {
    const groups = allGroups.length < 2 ? allGroups : [...new Set(allGroups)]
    const roles = access.rolesOf({ name: row.name, admin: vouchedAdmin }, groups, given)
    return {
      id: row.id,
      name: row.name,
      title: row.title,
      ...(row.email === null ? {} : { email: row.email }),
      ...(row.blocked_reason === null ? {} : { blockedReason: row.blocked_reason }),
      admin: roles.includes('admin'),
      groups,
      roles,
      createdAt: new Date(row.created_at),
      ...(row.last_activity_at === null ? {} : { lastActivityAt: new Date(row.last_activity_at) }),
    }
  }

  function fitting({ ids, withoutIds, nameContains }: PeopleFilter) {
    let query = db.selectFrom('users')
    if (ids !== undefined) query = query.where('id', 'in', ids.length === 0 ? [''] : ids)
    if (withoutIds !== undefined && withoutIds.length > 0) query = query.where('id', 'not in', withoutIds)
    if (nameContains !== undefined) query = query.where('name', 'like', `%${likeText(nameContains)}%`)
    return query
  }

  function sorted({ sort, descending, ...filter }: PeopleFilter) {
    const direction = descending ? 'desc' : 'asc'
    const query = fitting({ sort, descending, ...filter }).selectAll()
    switch (sort) {
      case 'id':
        return query.orderBy('created_at', direction).orderBy('id', direction)
      case 'name':
        return query.orderBy('name', direction)
      case 'last_activity':
        return query.orderBy('last_activity_at', direction).orderBy('id', direction)
    }
  }

  async function insert(trx: Transaction<Tables>, names: readonly string[]): Promise<UserRow[]> {
    const made: UserRow[] = []
    for (let first = 0; first < names.length; first += atOnce) {
      const rows = names.slice(first, first + atOnce).map(rowOf)
      const inserted = await trx
        .insertInto('users')
        .values(rows)
        .onConflict((conflict) => conflict.column('name').doNothing())
        .returning('id')
        .execute()
      const ids = new Set(inserted.map(({ id }) => id))
      made.push(...rows.filter(({ id }) => ids.has(id)))
    }
    return made
  }

  const rowOf = (name: string): UserRow => ({
    id: newId(),
    name,
    title: name,
    email: null,
    admin: 0,
    blocked_reason: null,
    created_at: now(),
    last_activity_at: null,
  })

  return {
    async find(name) {
      const row = await db.selectFrom('users').selectAll().where('name', '=', name).executeTakeFirst()
      return row && (await complete([row]))[0]
    },
    async page(filter, { offset, limit }, fits) {
      if (fits !== undefined) {
        const all = (await complete(await sorted(filter).limit(mostRead).execute())).filter(fits)
        return { items: all.slice(offset, offset + limit), total: all.length }
      }
      const [rows, { total }] = await Promise.all([
        sorted(filter).offset(offset).limit(limit).execute(),
        fitting(filter)
          .select(({ fn }) => fn.countAll<number | string>().as('total'))
          .executeTakeFirstOrThrow(),
      ])
      return { items: await complete(rows), total: Number(total) }
    },
    async create(names) {
      return await complete(await db.transaction().execute((trx) => insert(trx, names)))
    },
    async delete({ id, name }) {
      await logins.revokeAll(id)
      await routes.revoke({ kind: 'user', subject: id, at: now(), until: now() + revokedForMs })
      await writer.write(`user ${id}`, (trx) => deleteUser(trx, id, name))
    },
    async active({ id, lastActivityAt }, at) {
      const moment = Math.min(at.getTime(), now())
      if (moment < (lastActivityAt?.getTime() ?? 0) + activityStepMs) return
      await writer.note(`user ${id}`, async (trx) => {
        await trx
          .updateTable('users')
          .set({ last_activity_at: moment })
          .where('id', '=', id)
          .where((row) => row.or([row('last_activity_at', 'is', null), row('last_activity_at', '<', moment)]))
          .execute()
      })
    },
  }
}

async function deleteUser(trx: Transaction<Tables>, id: string, name: string): Promise<void> {
  const live = await trx
    .selectFrom('environments')
    .select('title')
    .where('user_id', '=', id)
    .where('ended_at', 'is', null)
    .limit(1)
    .executeTakeFirst()
  if (live !== undefined) {
    throw new Problem('conflict', `${name} still has environments that run. Stop them first, and wait until they end.`)
  }
  await trx.deleteFrom('oauth_codes').where('user_id', '=', id).execute()
  await trx.deleteFrom('tokens').where('user_id', '=', id).execute()
  await trx.deleteFrom('logins').where('user_id', '=', id).execute()
  await trx.deleteFrom('identities').where('user_id', '=', id).execute()
  await trx.deleteFrom('accounts_seen').where('user_id', '=', id).execute()
  await trx.deleteFrom('group_members').where('user_id', '=', id).execute()
  await trx.deleteFrom('role_members').where('kind', '=', 'user').where('member', '=', name).execute()
  await trx.deleteFrom('environments').where('user_id', '=', id).execute()
  await trx.deleteFrom('users').where('id', '=', id).execute()
}

/** Names hold nothing that LIKE reads in its own way but the underscore, which may stand for any character. */
const likeText = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9._-]/g, '')
