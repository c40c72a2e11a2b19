/** What is kept of an environment while it lives, for its end and for its record. */
import type { Kysely } from 'kysely'

export interface LifetimeColumns {
  /** JSON: Unentitled of hub/domain/environment.ts; null: its owner may use what it has. */
  unentitled: string | null
  /** JSON: what its agent measured since its start, {cpuMs, gpuMs, peakMemoryBytes}; a claim. */
  measured: string | null
}

export interface PackageTables {
  package_lists: PackageListsTable
}

/** Kept once, however many environments had it. */
interface PackageListsTable {
  /** sha256 (hex) of the list. */
  digest: string
  /** A line "where-from name version" for each package. */
  list: string
}

export interface PackageColumns {
  /** Of package_lists; null: its agent told nothing. */
  packages: string | null
}

export async function lifetimesStep(db: Kysely<unknown>): Promise<void> {
  for (const column of ['unentitled', 'measured']) {
    await db.schema.alterTable('environments').addColumn(column, 'text').execute()
  }
}

export async function packagesStep(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('environments').addColumn('packages', 'text').execute()
  await db.schema
    .createTable('package_lists')
    .addColumn('digest', 'text', (column) => column.primaryKey())
    .addColumn('list', 'text', (column) => column.notNull())
    .execute()
}
