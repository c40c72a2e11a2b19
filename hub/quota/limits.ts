/** The limits as they are stored, in memory: read anew when the database says that they changed. */
import type { Kysely, Transaction } from 'kysely'
import type { Store } from '../store/index.ts'
import type { LimitRow } from '../store/migrations/quota.ts'
import type { Tables } from '../store/schema.ts'
import { Problem } from '../domain/problem.ts'
import type { Limit, Most, Period, Resource, SubjectKind } from './limit.ts'
import { defaultSource } from './rules.ts'

type Db = Kysely<Tables> | Transaction<Tables>

export type NewLimit = Omit<Limit, 'id'>

export interface Limits {
  /** As they were known last: enough for pages to be drawn, and for an admission that asks `at`. */
  known(): readonly Limit[]
  /** As they are; one small question to the database. */
  fresh(): Promise<readonly Limit[]>
  /** As `version` (what a transaction read) has them. */
  at(trx: Transaction<Tables>, version: string | null): readonly Limit[] | Promise<readonly Limit[]>
  /** In one transaction. `remove`: ids; what is gone already is success. @throws Problem conflict: too many. */
  change(add: readonly NewLimit[], remove: readonly string[], actor: string): Promise<void>
}

export interface LimitsOptions {
  readonly store: Store
  /** What the configuration says: environments.perUser. */
  readonly perUser: number
  readonly now: () => Date
  readonly newId: () => string
}

const mostLimits = 10_000

export function createLimits({ store, perUser, now, newId }: LimitsOptions): Limits {
  const configured = configuredLimit(perUser)
  let version: string | null = null
  let limits: readonly Limit[] = [configured]

  async function load(db: Db, wanted: string | null): Promise<readonly Limit[]> {
    const rows = await db.selectFrom('limits').selectAll().orderBy('created_at').orderBy('id').execute()
    version = wanted
    limits = [configured, ...rows.map(readLimit)]
    return limits
  }

  const at: Limits['at'] = (trx, wanted) => (wanted === version ? limits : load(trx, wanted))

  return {
    known: () => limits,
    at,
    async fresh() {
      const row = await store.db.selectFrom('meta').select('value').where('key', '=', 'limits').executeTakeFirst()
      const wanted = row?.value ?? null
      return wanted === version ? limits : await load(store.db, wanted)
    },
    async change(add, remove, actor) {
      await store.writer.write('limits', async (trx) => {
        const { count } = await trx
          .selectFrom('limits')
          .select((from) => from.fn.countAll<number>().as('count'))
          .executeTakeFirstOrThrow()
        if (count - remove.length + add.length > mostLimits) {
          throw new Problem('conflict', `There may be ${mostLimits} limits. Remove some that are over.`)
        }
        for (const id of remove) await trx.deleteFrom('limits').where('id', '=', id).execute()
        for (const each of add) await trx.insertInto('limits').values(rowOf(each)).execute()
        // The last: who reads this sees the limits too.
        await trx
          .insertInto('meta')
          .values({ key: 'limits', value: newId() })
          .onConflict((conflict) => conflict.column('key').doUpdateSet({ value: newId() }))
          .execute()
      })

      function rowOf(each: NewLimit): LimitRow {
        return {
          id: newId(),
          subject_kind: each.subject.kind,
          subject_name: each.subject.name,
          share: each.share,
          resource: each.resource,
          of_type: each.of,
          period: each.period,
          most: JSON.stringify(each.most),
          valid_from: each.from ?? null,
          valid_until: each.until ?? null,
          source: each.source,
          note: each.note,
          created_at: now().getTime(),
          created_by: actor,
        }
      }
    },
  }
}

function readLimit(row: LimitRow): Limit {
  return {
    id: row.id,
    subject: { kind: row.subject_kind as SubjectKind, name: row.subject_name },
    share: row.share as Limit['share'],
    resource: row.resource as Resource,
    of: row.of_type,
    period: row.period as Period | '',
    most: JSON.parse(row.most) as Most,
    ...(row.valid_from === null ? {} : { from: row.valid_from }),
    ...(row.valid_until === null ? {} : { until: row.valid_until }),
    source: row.source,
    note: row.note,
  }
}

/** What holds for everybody where nobody wrote anything else. */
export function configuredLimit(perUser: number): Limit {
  return {
    id: '',
    subject: { kind: 'everyone', name: '' },
    share: 'each',
    resource: 'environments',
    of: '',
    period: '',
    most: perUser,
    source: defaultSource,
    note: 'environments.perUser of the configuration',
  }
}
