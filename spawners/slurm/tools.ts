/** What the parts of this spawner share. */
import type { SpawnerContext } from '../spawner.ts'
import type { Cluster } from './cluster.ts'
import type { JobsConfig } from './config.ts'
import type { Names } from './names.ts'
import type { Queue } from './queue.ts'
import type { Records } from './records.ts'

export interface SlurmTools {
  readonly config: JobsConfig
  readonly context: SpawnerContext
  readonly cluster: Cluster
  readonly names: Names
  readonly queue: Queue
  readonly records: Records
}

/** For each call to SLURM: a dead slurmctld is told after nine seconds. */
export const callTimeoutMs = 15_000
