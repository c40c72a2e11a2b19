/** What environments took, written when they end, in the transaction that ends them: the record, and sums for limits. */
import type { Kysely, Transaction } from 'kysely'
import type { EnvironmentSpec } from '../../spawners/spawner.ts'
import { readExtensions } from '../domain/extension.ts'
import type { EnvironmentRow, Tables } from '../store/schema.ts'
import type { Slice, Spent } from './admit.ts'
import type { Scope } from './rules.ts'
import { ranMs, settle } from './settle.ts'

type Db = Kysely<Tables> | Transaction<Tables>

/** What an environment holds: from its launch, and from each extension. Without an end of its own there is nothing to count. */
export function slicesOf(
  row: Pick<EnvironmentRow, 'requested_at' | 'extensions'>,
  walltimeMs: number | undefined,
): readonly Slice[] {
  const extensions = readExtensions(row.extensions).map(({ at, ms }) => ({ at, ms }))
  return walltimeMs === undefined ? extensions : [{ at: row.requested_at, ms: walltimeMs }, ...extensions]
}

/** @param row as it is after its end. Nothing, when its record is there already. */
export async function leaveRecord(trx: Transaction<Tables>, row: EnvironmentRow): Promise<void> {
  const spec: EnvironmentSpec = JSON.parse(row.spec)
  const { resources } = spec
  const ran = ranMs(row)
  const left = await trx
    .insertInto('records')
    .values({
      environment_id: row.id,
      user_id: row.user_id,
      user_name: spec.owner,
      title: row.title,
      spawner: row.spawner,
      profile: row.profile,
      flavour: row.flavour,
      image: row.image,
      image_digest: digestIn(row.image),
      packages: row.packages === null ? null : JSON.stringify(row.packages),
      proposals: row.proposals,
      owner_groups: row.owner_groups,
      mounts: JSON.stringify(spec.mounts),
      resources: JSON.stringify(resources),
      used: JSON.stringify({
        ranMs: ran,
        cpuMs: share(resources.cpu, ran),
        gpuMs: share(resources.gpus, ran),
        ...(row.measured === null ? {} : { measured: JSON.parse(row.measured) as object }),
      }),
      requested_at: row.requested_at,
      started_at: row.started_at,
      ready_at: row.ready_at,
      ended_at: row.ended_at ?? row.requested_at,
      end_reason: row.end_reason ?? 'failed',
      end_message: row.end_message ?? '',
    })
    .onConflict((conflict) => conflict.column('environment_id').doNothing())
    .executeTakeFirst()
  if (left.numInsertedOrUpdatedRows === 0n || ran === 0) return
  // What has no end of its own has no slices, and is counted all the same when it is over.
  const slices = settle(slicesOrWhole(row, resources.walltimeMs), ran)
  await trx
    .insertInto('ledger')
    .values(
      scopesOf(row).flatMap(({ kind, name }) =>
        slices.map(({ at, ms }, slice) => ({
          kind,
          name,
          environment_id: row.id,
          slice,
          charged_at: at,
          cpu_ms: share(resources.cpu, ms),
          gpu_ms: share(resources.gpus, ms),
          gpu_type: resources.gpuType ?? '',
        })),
      ),
    )
    .execute()
}

/** It lives again: what was found in a backend was taken for ended. */
export async function takeBackRecord(trx: Transaction<Tables>, id: string): Promise<void> {
  await trx.deleteFrom('ledger').where('environment_id', '=', id).execute()
  await trx.deleteFrom('records').where('environment_id', '=', id).execute()
}

export async function spentOf(db: Db, scope: Scope, since: number): Promise<Spent> {
  let query = db
    .selectFrom('ledger')
    .select((from) => [
      'gpu_type',
      from.fn.sum<number | string>('cpu_ms').as('cpu'),
      from.fn.sum<number | string>('gpu_ms').as('gpu'),
    ])
    .where('kind', '=', scope.kind)
    .where('name', '=', scope.name)
    .groupBy('gpu_type')
  if (since !== -Infinity) query = query.where('charged_at', '>=', since)
  const rows = await query.execute()
  return {
    cpuMs: rows.reduce((sum, { cpu }) => sum + Number(cpu), 0),
    gpuMs: Object.fromEntries(rows.map(({ gpu_type, gpu }) => [gpu_type, Number(gpu)])),
  }
}

function slicesOrWhole(row: EnvironmentRow, walltimeMs: number | undefined): readonly Slice[] {
  const slices = slicesOf(row, walltimeMs)
  return slices.length === 0 ? [{ at: row.requested_at, ms: 0 }] : slices
}

/** Everybody for whom it counts, each once. */
function scopesOf(row: Pick<EnvironmentRow, 'user_id' | 'owner_groups' | 'proposals'>): readonly Scope[] {
  const named = (kind: 'group' | 'proposal', text: string): Scope[] =>
    [...new Set<string>(JSON.parse(text))].map((name) => ({ kind, name }))
  return [
    { kind: 'user', name: row.user_id },
    ...named('group', row.owner_groups),
    ...named('proposal', row.proposals),
    { kind: 'everyone', name: '' },
  ]
}

function share(count: number, ms: number): number {
  return Math.round(count * ms)
}

/** 'registry/name@sha256:…' says it; a tag alone does not. */
function digestIn(image: string | null): string | null {
  return /@(sha256:[0-9a-f]{64})$/.exec(image ?? '')?.[1] ?? null
}
