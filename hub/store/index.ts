/** The store: what is wanted and what was, on SQLite (embedded) or PostgreSQL (production), behind one interface. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Kysely } from 'kysely'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import { type Changes, noChanges, postgresChanges } from './changes.ts'
import { createLeases, type Leases } from './leases.ts'
import { type DatabaseType, migrate } from './migrations.ts'
import type { Tables } from './schema.ts'
import { openSqlite } from './sqlite.ts'
import { createWriter, type Writer, type WriterOptions } from './writer.ts'

export interface Store {
  readonly db: Kysely<Tables>
  readonly type: DatabaseType
  /** For everything that changes environments: grouped, in order. */
  readonly writer: Writer
  readonly leases: Leases
  readonly changes: Changes
  /** Waits for what is being written. */
  close(): Promise<void>
}

export interface StoreOptions {
  /** Absolute; an SQLite database lies in it. */
  readonly stateFolder: string
  readonly log: Log
  /** SQLite's clock; PostgreSQL has its own. */
  readonly now?: () => Date
}

/**
 * Opens the database and brings it to this release.
 * @throws StateError with one sentence when that can't be.
 */
export async function openStore(
  database: Configuration['database'],
  { stateFolder, log, now = () => new Date() }: StoreOptions,
): Promise<Store> {
  switch (database.type) {
    case 'sqlite': {
      const { dialect, ...disk } = openSqlite(join(stateFolder, 'hutch.sqlite'))
      return ready({ db: new Kysely<Tables>({ dialect }), type: 'sqlite', changes: noChanges }, now, disk)
    }
    case 'postgresql': {
      // Most of its client's memory is for those who use it.
      const { openPostgres } = await import('./postgres.ts')
      const { dialect, connect } = await openPostgres(database, log)
      const changes = postgresChanges(connect, randomUUID(), log)
      return ready({ db: new Kysely<Tables>({ dialect }), type: 'postgresql', changes }, now)
    }
  }
}

async function ready(
  opened: Pick<Store, 'db' | 'type' | 'changes'>,
  now: () => Date,
  disk: Pick<WriterOptions, 'flush'> = {},
): Promise<Store> {
  const { db, type, changes } = opened
  try {
    await migrate(db as unknown as Kysely<unknown>, type)
  } catch (error) {
    await db.destroy()
    throw error
  }
  const writer = createWriter({ db, type, changes, ...disk })
  return {
    ...opened,
    writer,
    leases: createLeases(db, type, now),
    async close() {
      await writer.drain()
      await changes.close()
      await db.destroy()
    },
  }
}
