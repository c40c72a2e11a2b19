/** The store: what the hub must not forget. The same tables, migrations and tests on SQLite and PostgreSQL. */
import { join } from 'node:path'
import { Kysely, sql } from 'kysely'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import { migrate } from './migrations.ts'
import { postgresqlDialect } from './postgresql.ts'
import type { Tables } from './schema.ts'
import { sqliteDialect } from './sqlite.ts'

export interface Store {
  readonly db: Kysely<Tables>
  readonly type: 'sqlite' | 'postgresql'
  /** ms since the epoch on the database's own clock: what leases are counted by, whichever hub asks. */
  clock(): Promise<number>
  close(): Promise<void>
}

export interface StoreOptions {
  /** Absolute; an SQLite database lies in it. */
  readonly stateFolder: string
  readonly log: Log
  readonly now: () => Date
}

/** Opens it and brings its tables up to date. Throws StoreError when it was written by a newer release. */
export async function openStore(
  configuration: Configuration['database'],
  { stateFolder, log, now }: StoreOptions,
): Promise<Store> {
  switch (configuration.type) {
    case 'sqlite': {
      const db = new Kysely<Tables>({ dialect: sqliteDialect(join(stateFolder, 'hutch.sqlite')) })
      await migrate(db, 'sqlite', log)
      return { db, type: 'sqlite', clock: () => Promise.resolve(now().getTime()), close: () => db.destroy() }
    }
    case 'postgresql': {
      const db = new Kysely<Tables>({ dialect: await postgresqlDialect(configuration, log) })
      await migrate(db, 'postgresql', log)
      return { db, type: 'postgresql', clock: () => postgresqlClock(db), close: () => db.destroy() }
    }
  }
}

async function postgresqlClock(db: Kysely<Tables>): Promise<number> {
  const answer = await sql<{
    now: number
  }>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`.execute(db)
  return Math.round(answer.rows[0]?.now ?? Number.NaN)
}
