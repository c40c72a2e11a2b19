/** What limits are judged by, as one transaction (or one look of a page) shows it. */
import type { Kysely, Transaction } from 'kysely'
import type { Tables } from '../store/schema.ts'
import type { Ground, Held, Spent } from './admit.ts'
import type { Everyone } from './everyone.ts'
import { isWithin } from './held.ts'
import { spentOf } from './ledger.ts'
import { isHours, periodStart } from './limit.ts'
import type { Rule, Scope } from './rules.ts'

type Db = Kysely<Tables> | Transaction<Tables>

/** Kept for all launches that are committed together. */
export interface Kept {
  /** Everybody's, when something asked for them. */
  everyone?: Held[]
  readonly spent: Map<string, Spent>
}

export interface GroundOptions {
  readonly db: Db
  readonly everyone: Everyone
  readonly userId: string
  /** The user's own, as they are now. */
  readonly own: readonly Held[]
  readonly kept: Kept
  readonly now: number
}

/** What is held is read before what was spent: what ends in between counts twice rather than not at all. */
export async function groundFor(rules: readonly Rule[], options: GroundOptions): Promise<Ground> {
  const { db, everyone, userId, own, kept, now } = options
  const isOwn = ({ kind, name }: Scope): boolean => kind === 'user' && name === userId
  if (kept.everyone === undefined && rules.some(({ scope }) => !isOwn(scope))) {
    kept.everyone = await everyone(db)
  }
  for (const { limit, scope } of rules) {
    const since = periodStart(limit.period, now)
    const key = keyOf(scope, since)
    if (isHours(limit.resource) && !kept.spent.has(key)) kept.spent.set(key, await spentOf(db, scope, since))
  }
  return {
    held: (scope) => (isOwn(scope) ? own : (kept.everyone ?? []).filter((held) => isWithin(held, scope))),
    spent: (scope, since) => kept.spent.get(keyOf(scope, since)) ?? nothing,
  }
}

const nothing: Spent = { cpuMs: 0, gpuMs: {} }

function keyOf({ kind, name }: Scope, since: number): string {
  return `${kind} ${since} ${name}`
}
