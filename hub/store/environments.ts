/** The queries on environments: each one statement, so that the rules of who writes what are seen in one place. */
import { type Kysely, sql, type Transaction } from 'kysely'
import type { RowChange } from '../domain/observation.ts'
import type { DatabaseType } from './migrations.ts'
import { prepared } from './prepared.ts'
import type { EnvironmentRow, NewEnvironment, Tables } from './schema.ts'

type Db = Kysely<Tables> | Transaction<Tables>

export function liveRows(db: Db): Promise<EnvironmentRow[]> {
  return db.selectFrom('environments').selectAll().where('ended_at', 'is', null).execute()
}

/** When the oldest of all that live was asked for, ms; undefined: nothing lives. */
export async function oldestLaunchAt(db: Db): Promise<number | undefined> {
  const { oldest } = await db
    .selectFrom('environments')
    .select(({ fn }) => fn.min('requested_at').as('oldest'))
    .where('ended_at', 'is', null)
    .executeTakeFirstOrThrow()
  return oldest ?? undefined
}

export function liveRowsOf(db: Db, userId: string): Promise<EnvironmentRow[]> {
  return db
    .selectFrom('environments')
    .selectAll()
    .where('user_id', '=', userId)
    .where('ended_at', 'is', null)
    .orderBy('requested_at', 'desc')
    .execute()
}

const selectRow = prepared((db, { id }: { id: string }) =>
  db.selectFrom('environments').selectAll().where('id', '=', id),
)

export async function rowOf(db: Db, id: string): Promise<EnvironmentRow | undefined> {
  return (await selectRow(db, { id })).rows[0]
}

/** SQLite takes some 30,000 parameters; nobody asks for that many at once. */
const mostAtOnce = 1_000

export async function rowsOf(db: Db, ids: readonly string[]): Promise<EnvironmentRow[]> {
  const rows: EnvironmentRow[] = []
  for (let first = 0; first < ids.length; first += mostAtOnce) {
    const some = ids.slice(first, first + mostAtOnce)
    rows.push(...(await db.selectFrom('environments').selectAll().where('id', 'in', some).execute()))
  }
  return rows
}

export function endedRowsOf(db: Db, userId: string, endedSince: number, limit: number): Promise<EnvironmentRow[]> {
  return db
    .selectFrom('environments')
    .selectAll()
    .where('user_id', '=', userId)
    .where('ended_at', '>=', endedSince)
    .orderBy('ended_at', 'desc')
    .limit(limit)
    .execute()
}

export function newestEndedRow(db: Db, userName: string, server: string): Promise<EnvironmentRow | undefined> {
  return db
    .selectFrom('environments')
    .innerJoin('users', 'users.id', 'environments.user_id')
    .selectAll('environments')
    .where('users.name', '=', userName)
    .where('environments.server', '=', server)
    .where('environments.ended_at', 'is not', null)
    .orderBy('environments.ended_at', 'desc')
    .limit(1)
    .executeTakeFirst()
}

export interface LockedUser {
  /** Which limits hold; null: there never were any. */
  readonly limits: string | null
}

/** With it comes which limits hold, so that no other statement is needed. */
const selectUser = prepared((db, { id }: { id: string }) =>
  db
    .selectFrom('users')
    .select((from) => from.selectFrom('meta').select('value').where('key', '=', 'limits').as('limits'))
    .where('id', '=', id),
)
const selectUserToLock = prepared((db, { id }: { id: string }) =>
  db
    .selectFrom('users')
    .select((from) => from.selectFrom('meta').select('value').where('key', '=', 'limits').as('limits'))
    .where('id', '=', id)
    .forNoKeyUpdate(),
)

/** Undefined: there is no such user. Until the transaction ends, no other hub launches anything for this one. */
export async function lockUser(
  trx: Transaction<Tables>,
  type: DatabaseType,
  userId: string,
): Promise<LockedUser | undefined> {
  const select = type === 'postgresql' ? selectUserToLock : selectUser
  return (await select(trx, { id: userId })).rows[0]
}

/** Until the transaction ends, no other hub launches anything that counts for several people together. */
export async function lockEveryone(trx: Transaction<Tables>, type: DatabaseType): Promise<void> {
  // Held on the whole database, so it need not be told from others': nothing else of Hutch takes one.
  if (type === 'postgresql') await sql`select pg_advisory_xact_lock(7211905)`.execute(trx)
}

export type HeldRow = Pick<
  EnvironmentRow,
  'id' | 'user_id' | 'title' | 'profile' | 'proposals' | 'owner_groups' | 'extensions' | 'requested_at'
> & { readonly resources: string }

/** What everybody has, by id, with what may change of it. */
export function heldIds(db: Db): Promise<{ id: string; title: string; extensions: string }[]> {
  return db.selectFrom('environments').select(['id', 'title', 'extensions']).where('ended_at', 'is', null).execute()
}

/** No more of them than limits need. */
export async function heldRows(db: Db, type: DatabaseType, ids: readonly string[]): Promise<HeldRow[]> {
  const resources =
    type === 'postgresql'
      ? sql<string>`(spec::json -> 'resources')::text`
      : sql<string>`json_extract(spec, '$.resources')`
  const rows: HeldRow[] = []
  for (let first = 0; first < ids.length; first += mostAtOnce) {
    const some = await db
      .selectFrom('environments')
      .select(['id', 'user_id', 'title', 'profile', 'proposals', 'owner_groups', 'extensions', 'requested_at'])
      .select(resources.as('resources'))
      .where('id', 'in', ids.slice(first, first + mostAtOnce))
      .execute()
    rows.push(...some)
  }
  return rows
}

const insert = prepared(
  (db, row: NewEnvironment) => db.insertInto('environments').values(row).returningAll(),
  (row) => Object.keys(row).join(),
)

export async function insertRow(trx: Transaction<Tables>, row: NewEnvironment): Promise<EnvironmentRow> {
  const [inserted] = (await insert(trx, row)).rows
  if (inserted === undefined) throw new Error(`the environment ${row.id} was not inserted`)
  return inserted
}

const changeLive = prepared(
  (db, { id, change, generation }: { id: string; change: RowChange; generation?: number }) => {
    const query = db.updateTable('environments').set(change).where('id', '=', id).where('ended_at', 'is', null)
    return generation === undefined ? query : query.where('generation', '=', generation)
  },
  ({ change, generation }) => `${Object.keys(change).join()} ${generation === undefined}`,
)

/** Undefined: it has ended, or its target is not of this generation any more. */
export async function changeLiveRow(
  trx: Transaction<Tables>,
  id: string,
  change: RowChange,
  generation?: number,
): Promise<boolean> {
  const wanted = { id, change, ...(generation === undefined ? {} : { generation }) }
  return ((await changeLive(trx, wanted)).numAffectedRows ?? 0n) > 0n
}

/** The row as it is then; undefined: it has ended, or is wanted absent already, or there is none. `message`: why, in words. */
export function wantAbsent(
  trx: Transaction<Tables>,
  id: string,
  reason: string,
  at: number,
  message: string | null = null,
): Promise<EnvironmentRow | undefined> {
  return trx
    .updateTable('environments')
    .set({ wanted: 'absent', wanted_reason: reason, wanted_at: at, end_message: message })
    .where('id', '=', id)
    .where('wanted', '=', 'present')
    .where('ended_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
}

export function renameRow(trx: Transaction<Tables>, id: string, title: string): Promise<EnvironmentRow | undefined> {
  return trx.updateTable('environments').set({ title }).where('id', '=', id).returningAll().executeTakeFirst()
}

export async function deleteEndedRow(trx: Transaction<Tables>, id: string): Promise<boolean> {
  const query = trx.deleteFrom('environments').where('id', '=', id).where('ended_at', 'is not', null)
  return (await query.executeTakeFirst()).numDeletedRows > 0n
}

export async function setActivity(trx: Transaction<Tables>, id: string, at: number): Promise<void> {
  await trx
    .updateTable('environments')
    .set({ last_activity_at: at })
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .where((row) => row.or([row('last_activity_at', 'is', null), row('last_activity_at', '<', at)]))
    .execute()
}

/** Of the newest `limit` that became ready. */
export function startTimes(
  db: Db,
  profile: string,
  spawner: string,
  limit: number,
): Promise<{ requested_at: number; ready_at: number | null }[]> {
  return db
    .selectFrom('environments')
    .select(['requested_at', 'ready_at'])
    .where('profile', '=', profile)
    .where('spawner', '=', spawner)
    .where('ready_at', 'is not', null)
    .orderBy('ready_at', 'desc')
    .limit(limit)
    .execute()
}
