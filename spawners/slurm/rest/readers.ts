/** Each version's way to read a list of jobs. */
import type { ClusterJob } from '../cluster.ts'
import { readJobs as read38 } from './v0_0_38/read.ts'
import { readJobs as read42 } from './v0_0_42/read.ts'

export type ListVersion = 'v0.0.38' | 'v0.0.42'

export const readers: Readonly<Record<ListVersion, (body: unknown) => readonly ClusterJob[]>> = {
  'v0.0.38': read38,
  'v0.0.42': read42,
}
