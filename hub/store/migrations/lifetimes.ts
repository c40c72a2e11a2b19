/** What is kept of an environment while it lives, for its end and for its record. */
import type { Kysely } from 'kysely'

export interface LifetimeColumns {
  /** JSON: Unentitled of hub/domain/environment.ts; null: its owner may use what it has. */
  unentitled: string | null
  /** JSON: what its agent measured since its start, {cpuMs, gpuMs, peakMemoryBytes}; a claim. */
  measured: string | null
}

export async function lifetimesStep(db: Kysely<unknown>): Promise<void> {
  for (const column of ['unentitled', 'measured']) {
    await db.schema.alterTable('environments').addColumn(column, 'text').execute()
  }
}
