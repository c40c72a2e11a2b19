/** Limits at a launch: judged inside the transaction that commits it, so that no two launches take the same room. */
import type { Transaction } from 'kysely'
import type { OwnerLimits } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Admit } from '../domain/services.ts'
import type { Store } from '../store/index.ts'
import type { NewEnvironment, Tables } from '../store/schema.ts'
import { type Ask, type Held, judge, type Refusal } from './admit.ts'
import { createEveryone } from './everyone.ts'
import { groundFor, type Kept } from './ground.ts'
import { heldBy } from './held.ts'
import type { Limits } from './limits.ts'
import { ownerLimits, timeLimit } from './life.ts'
import { type Asker, rulesFor } from './rules.ts'
import { refusalText } from './words.ts'

export interface QuotaAdmissionOptions {
  readonly store: Pick<Store, 'type'>
  readonly limits: Pick<Limits, 'known' | 'at'>
  /** Whom a user is told to ask. */
  readonly contact: string
  readonly now: () => Date
}

/** What else could be launched instead: its size by title, and what it would ask for. */
export interface Alternative {
  readonly title: string
  readonly ask: Ask
}

export interface QuotaAdmission {
  /** What limits allow an environment to live at most; undefined: for ever. */
  longestMs(asker: Asker): number | undefined
  /** How long it may be unused; undefined: for ever. */
  idleMs(asker: Asker): number | undefined
  /** What one person may have at once, for backends that keep limits too. */
  atOnce(asker: Asker): OwnerLimits
  /** What a home may hold; undefined: nothing says. */
  homeBytes(asker: Asker): number | undefined
  /** `made`: what there will be once it is admitted. Its time of request says in which period its hours count. */
  admission(ask: Ask, made: Made, alternatives: readonly Alternative[]): Admitting
}

type Made = Pick<NewEnvironment, 'id' | 'title' | 'requested_at'>

export interface Admitting {
  /** Throws Problem overQuota. */
  readonly admit: Admit
  /** Whether it is counted with other people's. */
  readonly together: () => boolean
}

export function createQuotaAdmission({ store, limits, contact, now }: QuotaAdmissionOptions): QuotaAdmission {
  const everyone = createEveryone(store.type)
  const keptBy = new WeakMap<Transaction<Tables>, Kept>()

  function keptFor(trx: Transaction<Tables>): Kept {
    const known = keptBy.get(trx)
    if (known) return known
    const made: Kept = { spent: new Map() }
    keptBy.set(trx, made)
    return made
  }

  return {
    idleMs: (asker) => timeLimit(asker, limits.known(), 'idleMs', now().getTime())?.most,
    atOnce: (asker) => ownerLimits(asker, limits.known(), now().getTime()),
    homeBytes: (asker) => timeLimit(asker, limits.known(), 'homeBytes', now().getTime())?.most,
    longestMs: (asker) => timeLimit(asker, limits.known(), 'lifetimeMs', now().getTime())?.most,

    admission: (ask, made, alternatives) => ({
      // Asked again at each try: the first may have found limits that were not known.
      together: () => limits.known().some((limit) => limit.share === 'together'),
      async admit(live, { trx, limits: version, together }) {
        const at = made.requested_at
        const holding = await limits.at(trx, version)
        const rules = rulesFor(ask, holding, at)
        if (rules.length === 0) return
        // Locks are taken in one order, so what has begun without this one begins anew, and knows better then.
        const isShared = rules.some(({ scope }) => scope.kind !== 'user' || scope.name !== ask.user.id)
        if (isShared && !together && store.type === 'postgresql') throw new LimitsChanged()
        const kept = keptFor(trx)
        const own = live.map(heldBy)
        const userId = ask.user.id
        const ground = await groundFor(rules, { db: trx, everyone, userId, own, kept, now: at })
        const [refusal] = judge(ask, rules, ground, at)
        if (refusal === undefined) return keep(kept, ask, made)
        const fitting = alternatives.filter((each) => judge(each.ask, rules, ground, at).length === 0)
        throw overQuota(refusal, userId, fitting)
      },
    }),
  }

  function overQuota(refusal: Refusal, userId: string, fitting: readonly Alternative[]): Problem {
    const titles = fitting.map(({ title }) => title)
    return new Problem('overQuota', refusalText(refusal, { userId, fitting: titles, contact }), { field: 'flavour' })
  }
}

/** For those that are committed together with it. */
function keep({ everyone }: Kept, ask: Ask, made: Made): void {
  if (ask.extends === undefined) return void everyone?.push(heldFor(ask, made))
  const index = everyone?.findIndex(({ id }) => id === made.id) ?? -1
  const before = everyone?.[index]
  if (before === undefined) return
  const slice = { at: made.requested_at, ms: ask.walltimeMs ?? 0 }
  everyone?.splice(index, 1, { ...copyOf(before), slices: [...before.slices, slice] })
}

/** What is read when it is asked for is no property that a spread would take along lazily: each is named. */
function copyOf({
  id,
  title,
  userId,
  groups,
  proposals,
  profile,
  cpu,
  memoryBytes,
  gpus,
  gpuType,
  slices,
}: Held): Held {
  return { id, title, userId, groups, proposals, profile, cpu, memoryBytes, gpus, gpuType, slices }
}

function heldFor(ask: Ask, { id, title, requested_at: at }: Made): Held {
  const { user, groups, proposals, profile, cpu, memoryBytes, gpus, gpuType, walltimeMs } = ask
  return {
    id,
    title,
    userId: user.id,
    groups,
    proposals: proposals.map((proposal) => proposal.id),
    profile,
    cpu,
    memoryBytes,
    gpus,
    gpuType,
    slices: walltimeMs === undefined ? [] : [{ at, ms: walltimeMs }],
  }
}

/** As PostgreSQL says it: the transaction is tried again. */
class LimitsChanged extends Error {
  override readonly name = 'LimitsChanged'
  readonly code = '40001'
}
