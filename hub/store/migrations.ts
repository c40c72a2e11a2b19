/** How the tables came to be, step by step; a step that was released is never changed. */
import type { Kysely } from 'kysely'
import { Migrator, type Migration, type MigrationProvider } from 'kysely/migration'
import type { Log } from '../../spawners/spawner.ts'
import { createFirstTables } from './migrations/001-first-tables.ts'
import type { Tables } from './schema.ts'

export class StoreError extends Error {
  override readonly name = 'StoreError'
}

type StoreType = 'sqlite' | 'postgresql'

const steps: Readonly<Record<string, (db: Kysely<unknown>, type: StoreType) => Promise<void>>> = {
  '001-first-tables': createFirstTables,
}

/** Several hubs may start at once: the migrator holds a lock in the database. Throws StoreError. */
export async function migrate(db: Kysely<Tables>, type: StoreType, log: Log): Promise<void> {
  const provider: MigrationProvider = {
    getMigrations: () =>
      Promise.resolve(
        Object.fromEntries(
          Object.entries(steps).map(([name, up]): [string, Migration] => [name, { up: (on) => up(on, type) }]),
        ),
      ),
  }
  const migrator = new Migrator({ db, provider })
  const known = new Set(Object.keys(steps))
  const applied = await appliedSteps(db)
  const newer = applied.find((name) => !known.has(name))
  if (newer !== undefined) {
    throw new StoreError(`the database was written by a newer Hutch (it knows ${newer}); use that one, or a backup`)
  }
  const { error, results = [] } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
  for (const { migrationName } of results) log.info({ step: migrationName }, 'the database was brought up to date')
}

async function appliedSteps(db: Kysely<Tables>): Promise<readonly string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
  if (!tables.some(({ name }) => name === 'kysely_migration')) return []
  const rows = await (db as unknown as Kysely<{ kysely_migration: { name: string } }>)
    .selectFrom('kysely_migration')
    .select('name')
    .execute()
  return rows.map(({ name }) => name)
}
