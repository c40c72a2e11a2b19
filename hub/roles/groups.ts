/** Groups: as the login services say, as the configuration says, and those that are kept here by the API. */
import type { Kysely } from 'kysely'
import type { Configuration } from '../../config/schema.ts'
import { Problem } from '../domain/problem.ts'
import { createFreshCache } from '../identity/fresh-cache.ts'
import type { Tables } from '../store/schema.ts'

export interface Groups {
  /** Of the configuration and of the store; what the login services say comes beside it. */
  of(user: { readonly id: string; readonly name: string }): Promise<readonly string[]>
  /** The same for many, by user id; users without groups are absent. */
  ofAll(
    users: readonly { readonly id: string; readonly name: string }[],
  ): Promise<ReadonlyMap<string, readonly string[]>>
  list(): Promise<readonly Group[]>
  get(name: string): Promise<Group | undefined>
  /** @throws Problem 'conflict' when it is there */
  create(name: string, users: readonly string[], properties?: object): Promise<void>
  /** @throws Problem 'notFound'; 'conflict' when it is the configuration's */
  delete(name: string): Promise<void>
  /** Names of users that are there already, or not among them, change nothing. @throws Problem 'notFound' */
  change(name: string, change: { readonly add?: readonly string[]; readonly remove?: readonly string[] }): Promise<void>
  setProperties(name: string, properties: object): Promise<void>
}

interface Group {
  readonly name: string
  /** Names of users, sorted; without those whom a login service puts there. */
  readonly users: readonly string[]
  readonly properties: object
  readonly configured: boolean
}

export interface GroupsOptions {
  readonly db: Kysely<Tables>
  readonly configuration: Pick<Configuration, 'groups'>
  readonly now: () => number
}

const namePattern = /^[\p{L}\p{N}_][\p{L}\p{N}_.:@ -]{0,254}$/u
const mostGroups = 10_000
const atOnce = 1_000

export function createGroups({ db, configuration, now }: GroupsOptions): Groups {
  const configured = new Map(Object.entries(configuration.groups))
  const configuredOf = new Map<string, string[]>()
  for (const [group, { users }] of configured) {
    for (const user of users) configuredOf.set(user, [...(configuredOf.get(user) ?? []), group])
  }
  const cache = createFreshCache<readonly string[]>({ freshMs: 1_000, most: 5_000, now })

  async function ofAll(users: readonly { id: string; name: string }[]): Promise<Map<string, readonly string[]>> {
    const found = new Map<string, string[]>()
    for (const { id, name } of users) {
      const those = configuredOf.get(name)
      if (those !== undefined) found.set(id, [...those])
    }
    for (let first = 0; first < users.length; first += atOnce) {
      const ids = users.slice(first, first + atOnce).map(({ id }) => id)
      const rows = await db
        .selectFrom('group_members')
        .select(['group_name', 'user_id'])
        .where('user_id', 'in', ids)
        .execute()
      for (const { group_name, user_id } of rows) found.set(user_id, [...(found.get(user_id) ?? []), group_name])
    }
    return new Map([...found].map(([id, groups]) => [id, [...new Set(groups)].toSorted()]))
  }

  async function get(name: string): Promise<Group | undefined> {
    const row = await db.selectFrom('groups').selectAll().where('name', '=', name).executeTakeFirst()
    const own = configured.get(name)
    if (row === undefined && own === undefined) return undefined
    const members = await db
      .selectFrom('group_members')
      .innerJoin('users', 'users.id', 'group_members.user_id')
      .select('users.name')
      .where('group_members.group_name', '=', name)
      .execute()
    return group(
      name,
      members.map((each) => each.name),
      row?.properties,
    )
  }

  function group(name: string, members: readonly string[], properties = '{}'): Group {
    const own = configured.get(name)
    return {
      name,
      users: [...new Set([...(own?.users ?? []), ...members])].toSorted(),
      properties: JSON.parse(properties) as object,
      configured: own !== undefined,
    }
  }

  async function idsOf(names: readonly string[]): Promise<readonly string[]> {
    const found: { id: string; name: string }[] = []
    for (let first = 0; first < names.length; first += atOnce) {
      const some = names.slice(first, first + atOnce)
      found.push(...(await db.selectFrom('users').select(['id', 'name']).where('name', 'in', some).execute()))
    }
    const missing = names.find((name) => !found.some((each) => each.name === name))
    if (missing !== undefined) {
      throw new Problem('notFound', `There is no user ${missing.slice(0, 64)}. Create them first.`, { field: 'users' })
    }
    return found.map(({ id }) => id)
  }

  /** A row for one of the configuration too, as soon as something about it is kept here. */
  async function ensure(name: string): Promise<void> {
    if ((await get(name)) === undefined) throw noSuch(name)
    await db
      .insertInto('groups')
      .values({ name, properties: '{}', created_at: now() })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
  }

  async function add(name: string, users: readonly string[]): Promise<void> {
    const rows = (await idsOf([...new Set(users)])).map((user_id) => ({ group_name: name, user_id }))
    for (let first = 0; first < rows.length; first += atOnce) {
      await db
        .insertInto('group_members')
        .values(rows.slice(first, first + atOnce))
        .onConflict((conflict) => conflict.columns(['group_name', 'user_id']).doNothing())
        .execute()
    }
    cache.clear()
  }

  return {
    async of(user) {
      const found = await cache.get(user.id, async () => (await ofAll([user])).get(user.id) ?? [])
      return found ?? []
    },
    ofAll,
    get,
    async list() {
      const rows = await db.selectFrom('groups').selectAll().limit(mostGroups).execute()
      const members = await db
        .selectFrom('group_members')
        .innerJoin('users', 'users.id', 'group_members.user_id')
        .select(['group_members.group_name', 'users.name'])
        .execute()
      const properties = new Map(rows.map((row) => [row.name, row.properties]))
      const users = new Map<string, string[]>()
      for (const { group_name, name } of members) {
        const those = users.get(group_name)
        if (those === undefined) users.set(group_name, [name])
        else those.push(name)
      }
      const names = [...new Set([...configured.keys(), ...properties.keys()])].toSorted()
      return names.map((name) => group(name, users.get(name) ?? [], properties.get(name)))
    },
    async create(name, users, properties = {}) {
      if (!namePattern.test(name)) {
        throw new Problem('badRequest', 'A group is named with letters, digits and _.:@-, at most 255.', {
          field: 'name',
        })
      }
      if ((await get(name)) !== undefined) throw new Problem('conflict', `The group ${name} is there already.`)
      await idsOf([...new Set(users)])
      const row = { name, properties: JSON.stringify(properties), created_at: now() }
      const made = await db
        .insertInto('groups')
        .values(row)
        .onConflict((conflict) => conflict.column('name').doNothing())
        .executeTakeFirst()
      if (made.numInsertedOrUpdatedRows === 0n) throw new Problem('conflict', `The group ${name} is there already.`)
      await add(name, users)
    },
    async delete(name) {
      const found = await get(name)
      if (found === undefined) throw noSuch(name)
      if (found.configured) {
        throw new Problem('conflict', `The group ${name} stands in the configuration. Take it out there.`)
      }
      await db.transaction().execute(async (trx) => {
        await trx.deleteFrom('group_members').where('group_name', '=', name).execute()
        await trx.deleteFrom('role_members').where('kind', '=', 'group').where('member', '=', name).execute()
        await trx.deleteFrom('groups').where('name', '=', name).execute()
      })
      cache.clear()
    },
    async change(name, { add: added = [], remove = [] }) {
      await ensure(name)
      const fixed = remove.find((user) => configured.get(name)?.users.includes(user))
      if (fixed !== undefined) {
        throw new Problem('conflict', `${fixed} is in ${name} by the configuration. Take them out there.`)
      }
      if (added.length > 0) await add(name, added)
      if (remove.length === 0) return
      const ids = await idsOf([...new Set(remove)])
      await db.deleteFrom('group_members').where('group_name', '=', name).where('user_id', 'in', ids).execute()
      cache.clear()
    },
    async setProperties(name, properties) {
      await ensure(name)
      await db
        .updateTable('groups')
        .set({ properties: JSON.stringify(properties) })
        .where('name', '=', name)
        .execute()
    },
  }
}

const noSuch = (name: string): Problem =>
  new Problem('notFound', `There is no group ${name.slice(0, 64)}. Look at the list of groups.`)
