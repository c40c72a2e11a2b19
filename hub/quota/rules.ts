/** Which limits hold for somebody who asks for something now: of those for each person the most specific. Pure. */
import { isValidAt, type Limit, mostPossible, type Subject } from './limit.ts'

/** The proposal as the catalogue has it: what limits may be derived from. */
interface ProposalFacts {
  readonly id: string
  readonly startsAt?: Date
  readonly endsAt?: Date
  readonly fields: Readonly<Record<string, string>>
}

export interface Asker {
  readonly user: Readonly<{ id: string; name: string }>
  readonly groups: readonly string[]
  readonly proposals: readonly ProposalFacts[]
}

/** Whose holdings count. A user is meant by id; a group, a proposal and everyone by name. */
export type Scope = Subject

/** A limit that holds now. */
export interface Rule {
  readonly limit: Limit
  /** Undefined: it is derived from a field that the catalogue does not have, or has in a shape that is no amount. */
  readonly most: number | undefined
  readonly scope: Scope
}

/** In the order of the limits; one rule for each thing that is limited and for each of those who share it. */
export function rulesFor(asker: Asker, limits: readonly Limit[], now: number): readonly Rule[] {
  const best = new Map<string, { rule: Rule; rank: number }>()
  for (const limit of limits) {
    if (!isValidAt(limit, now)) continue
    for (const rule of rulesOf(limit, asker)) {
      const key = keyOf(rule)
      const rank = rankOf(limit)
      const other = best.get(key)
      if (other === undefined || rank > other.rank || (rank === other.rank && isMore(rule, other.rule))) {
        best.set(key, { rule, rank })
      }
    }
  }
  return [...best.values()].map(({ rule }) => rule)
}

/** One and the same thing is limited; where two limits have this key, one of them wins. */
function keyOf({ limit: { share, resource, of, period }, scope }: Rule): string {
  return JSON.stringify([share, resource, of, period, scope.kind, scope.name])
}

function rulesOf(limit: Limit, asker: Asker): Rule[] {
  const { kind, name } = limit.subject
  const mine: Scope = { kind: 'user', name: asker.user.id }
  const rule = (scope: Scope, proposal?: ProposalFacts): Rule => ({
    limit,
    scope: limit.share === 'each' ? mine : scope,
    most: amount(limit, proposal),
  })
  switch (kind) {
    case 'everyone':
      return [rule({ kind, name: '' })]
    case 'user':
      return asker.user.name === name ? [rule(mine)] : []
    case 'group':
      return asker.groups.includes(name) ? [rule({ kind, name })] : []
    case 'proposal':
      return asker.proposals
        .filter(({ id }) => name === '*' || id === name)
        .map((proposal) => rule({ kind, name: proposal.id }, proposal))
  }
}

/** A limit with an end is an exception to the one without; between the same kinds the more generous one holds. */
function rankOf({ subject: { kind, name }, source, until }: Limit): number {
  const specific = { everyone: 1, group: 2, proposal: name === '*' ? 3 : 4, user: 5 }[kind]
  return (source === defaultSource ? 0 : specific) * 2 + (until === undefined ? 0 : 1)
}

/** What the configuration alone says: anything that an administrator writes is more specific. */
export const defaultSource = 'configuration'

function isMore(rule: Rule, other: Rule): boolean {
  return (rule.most ?? -1) > (other.most ?? -1)
}

function amount({ most }: Limit, proposal: ProposalFacts | undefined): number | undefined {
  if (typeof most === 'number') return most
  const value = proposal && fieldOf(proposal, most.field)
  if (value === undefined) return undefined
  return Math.min(mostPossible, value * most.factor)
}

const dayMs = 86_400_000

/** `days`: from its start to its end, both included. Anything else is a field of the catalogue, as text. */
function fieldOf(proposal: ProposalFacts, field: string): number | undefined {
  const text = Object.hasOwn(proposal.fields, field) ? proposal.fields[field]?.trim() : undefined
  if (text !== undefined) return /^\d{1,15}(\.\d{1,6})?$/.test(text) ? Number(text) : undefined
  const { startsAt, endsAt } = proposal
  if (field !== 'days' || startsAt === undefined || endsAt === undefined) return undefined
  const days = Math.floor((endsAt.getTime() - startsAt.getTime()) / dayMs) + 1
  return Number.isSafeInteger(days) && days > 0 ? days : undefined
}
