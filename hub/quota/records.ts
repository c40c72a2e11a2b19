/** What each environment left: read for its owner, and for administrators. */
import type { Kysely } from 'kysely'
import type { Mount, Resources } from '../../spawners/spawner.ts'
import type { Tables } from '../store/schema.ts'

/** By its agent, in samples: a claim, which nothing is decided by. */
interface Measured {
  readonly cpuMs: number
  readonly gpuMs: number
  readonly peakMemoryBytes: number
}

export interface EnvironmentRecord {
  readonly id: string
  readonly user: string
  readonly title: string
  readonly spawner: string
  readonly profile: string
  readonly flavour: string
  readonly image?: string
  readonly imageDigest?: string
  /** The digest of its list of packages. */
  readonly packages?: string
  readonly proposals: readonly string[]
  readonly groups: readonly string[]
  readonly mounts: readonly Mount[]
  readonly resources: Resources
  /** Products of cores (GPUs) and ms. */
  readonly used: Readonly<{ ranMs: number; cpuMs: number; gpuMs: number; measured?: Measured }>
  readonly requestedAt: Date
  readonly startedAt?: Date
  readonly readyAt?: Date
  readonly endedAt: Date
  readonly reason: string
  readonly message: string
}

export interface RecordQuery {
  /** Of one environment. */
  readonly id?: string
  /** By id; absent: everybody's. */
  readonly userId?: string
  /** By name, for administrators. */
  readonly userName?: string
  /** ms since the epoch: those that ended before. */
  readonly before?: number
  readonly limit: number
}

/** The newest first. */
export async function recordsOf(db: Kysely<Tables>, query: RecordQuery): Promise<readonly EnvironmentRecord[]> {
  let wanted = db.selectFrom('records').selectAll().orderBy('ended_at', 'desc').limit(query.limit)
  if (query.id !== undefined) wanted = wanted.where('environment_id', '=', query.id)
  if (query.userId !== undefined) wanted = wanted.where('user_id', '=', query.userId)
  if (query.userName !== undefined) wanted = wanted.where('user_name', '=', query.userName)
  if (query.before !== undefined) wanted = wanted.where('ended_at', '<', query.before)
  return (await wanted.execute()).map((row) => ({
    id: row.environment_id,
    user: row.user_name,
    title: row.title,
    spawner: row.spawner,
    profile: row.profile,
    flavour: row.flavour,
    ...(row.image === null ? {} : { image: row.image }),
    ...(row.image_digest === null ? {} : { imageDigest: row.image_digest }),
    ...(row.packages === null ? {} : { packages: JSON.parse(row.packages) as string }),
    proposals: JSON.parse(row.proposals) as string[],
    groups: JSON.parse(row.owner_groups) as string[],
    mounts: JSON.parse(row.mounts) as Mount[],
    resources: JSON.parse(row.resources) as Resources,
    used: JSON.parse(row.used) as EnvironmentRecord['used'],
    requestedAt: new Date(row.requested_at),
    ...(row.started_at === null ? {} : { startedAt: new Date(row.started_at) }),
    ...(row.ready_at === null ? {} : { readyAt: new Date(row.ready_at) }),
    endedAt: new Date(row.ended_at),
    reason: row.end_reason,
    message: row.end_message,
  }))
}

/** A line "where-from name version" for each package; undefined: there is no such record of theirs, or it has none. */
export async function packagesOf(
  db: Kysely<Tables>,
  query: Pick<RecordQuery, 'userId'> & { readonly id: string },
): Promise<string | undefined> {
  const [record] = await recordsOf(db, { ...query, limit: 1 })
  if (record?.packages === undefined) return undefined
  const { packages: digest } = record
  const row = await db.selectFrom('package_lists').select('list').where('digest', '=', digest).executeTakeFirst()
  return row?.list
}
