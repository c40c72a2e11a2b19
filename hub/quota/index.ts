/** Limits for the rest of the hub: asked at each launch, shown on pages, changed by administrators. */
import type { Audit } from '../audit/index.ts'
import type { AuditedActor } from '../audit/entry.ts'
import { Problem } from '../domain/problem.ts'
import type { Store } from '../store/index.ts'
import { createQuotaAdmission, type QuotaAdmission } from './admission.ts'
import { difference, limitLine, readLimit, readLimits } from './document.ts'
import type { Limit } from './limit.ts'
import { createLimits, type NewLimit } from './limits.ts'
import { createUsage, type Usage } from './usage.ts'

/** What applying a file does, or would do: a line for each. */
export interface Applied {
  readonly added: readonly string[]
  readonly removed: readonly string[]
}

export interface Quota extends QuotaAdmission {
  readonly usage: Usage
  list(): Promise<readonly Limit[]>
  /** @throws Problem badRequest, conflict */
  add(written: unknown, actor: AuditedActor): Promise<void>
  addLimit(limit: NewLimit, actor: AuditedActor): Promise<void>
  /** @throws Problem notFound */
  remove(id: string, actor: AuditedActor): Promise<void>
  /** Makes what `source` says the limits of that source; others stay as they are. */
  apply(file: Readonly<{ source: string; value: unknown; dryRun: boolean }>, actor: AuditedActor): Promise<Applied>
}

export interface QuotaOptions {
  readonly store: Store
  readonly audit: Pick<Audit, 'write'>
  readonly perUser: number
  readonly contact: string
  readonly now: () => Date
  readonly newId: () => string
}

export async function createQuota(options: QuotaOptions): Promise<Quota> {
  const { store, audit, contact, now } = options
  const limits = createLimits(options)
  await limits.fresh()

  async function change(add: readonly NewLimit[], remove: readonly Limit[], actor: AuditedActor): Promise<void> {
    const name = typeof actor.who === 'string' ? actor.who : actor.who.name
    await limits.change(
      add,
      remove.map(({ id }) => id),
      name,
    )
    for (const [did, changed] of [
      ['limit.added', add],
      ['limit.removed', remove],
    ] as const) {
      if (changed.length > 0) await audit.write({ ...actor, did, detail: { limits: changed.map(limitLine) } })
    }
    await limits.fresh()
  }

  return {
    ...createQuotaAdmission({ store, limits, contact, now }),
    usage: createUsage({ store, limits, contact, now }),
    list: () => limits.fresh(),
    add: async (written, actor) => await change([readLimit(written, 'page')], [], actor),
    addLimit: async (limit, actor) => await change([limit], [], actor),
    async remove(id, actor) {
      const known = (await limits.fresh()).find((limit) => limit.id === id && id !== '')
      if (known === undefined) throw new Problem('notFound', 'There is no such limit any more. Look at the list again.')
      await change([], [known], actor)
    },
    async apply({ source, value, dryRun }, actor) {
      const wanted = readLimits(value, source)
      const { add, remove } = difference(await limits.fresh(), wanted, source)
      if (!dryRun && add.length + remove.length > 0) await change(add, remove, actor)
      return { added: add.map(limitLine), removed: remove.map(limitLine) }
    },
  }
}
