/**
 * Limits that backends keep too, brought up to date while environments live: a launch tells its own, and afterwards an
 * administrator may change them, or their time may come.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Log, OwnerLimits, Spawner } from '../../spawners/spawner.ts'
import type { Environment } from '../domain/environment.ts'
import { ownerLimits } from './life.ts'
import type { Limit } from './limit.ts'
import type { Asker } from './rules.ts'

export interface Fences {
  /** Tells what is new. Never rejects because of a backend: what it does not take is told with the next round. */
  round(limits: readonly Limit[]): Promise<void>
}

export interface FencesOptions {
  readonly live: () => readonly Environment[]
  readonly spawners: ReadonlyMap<string, Pick<Spawner, 'limitOwner'>>
  readonly now: () => Date
  readonly log: Log
}

const askTimeoutMs = 10_000

export function createFences({ live, spawners, now, log }: FencesOptions): Fences {
  /** Owner → limits, by spawner. */
  const told = new Map<string, Map<string, OwnerLimits>>()

  async function tell(name: string, limitOwner: NonNullable<Spawner['limitOwner']>, limits: readonly Limit[]) {
    const wanted = live().filter(({ spawner, wanted: { is } }) => spawner === name && is === 'present')
    const known = told.get(name) ?? new Map<string, OwnerLimits>()
    const byOwner = Map.groupBy(wanted, ({ userId }) => userId)
    for (const userId of known.keys()) if (!byOwner.has(userId)) known.delete(userId)
    told.set(name, known)
    for (const [userId, theirs] of byOwner) {
      const most = widest(theirs.map((each) => ownerLimits(askerOf(each), limits, now().getTime(), each.spec)))
      const [first] = theirs
      if (first === undefined || isDeepStrictEqual(known.get(userId), most)) continue
      await limitOwner({ ...first.spec, ownerLimits: most }, AbortSignal.timeout(askTimeoutMs))
      known.set(userId, most)
    }
  }

  return {
    async round(limits) {
      for (const [name, { limitOwner }] of spawners) {
        if (limitOwner === undefined) continue
        try {
          await tell(name, limitOwner, limits)
        } catch (error) {
          log.warn({ spawner: name, err: error }, 'limits that changed can not be told; they are with the next round')
        }
      }
    },
  }
}

function askerOf({ userId, owner, groups, proposals }: Environment): Asker {
  return { user: { id: userId, name: owner }, groups, proposals: proposals.map((id) => ({ id, fields: {} })) }
}

/** The hub decides, and the fence refuses nothing that it admits: where several limits hold, the widest. */
function widest(all: readonly OwnerLimits[]): OwnerLimits {
  const names = ['cpu', 'memoryBytes', 'gpus', 'environments'] as const
  const known = names.flatMap((name) => {
    const amounts = all.flatMap((each) => each[name] ?? [])
    return amounts.length < all.length ? [] : [[name, Math.max(...amounts)] as const]
  })
  return Object.fromEntries(known)
}
