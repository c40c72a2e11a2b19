/**
 * What of the configuration is offered to whom: rules look at who somebody is and what their proposals are about, open
 * what is closed to others, and put first what fits best. Pure.
 */
import type { Configuration, OfferRule, ProfileConfiguration } from '../../config/schema.ts'
import type { LaunchOption } from '../../spawners/spawner.ts'
import type { Proposal } from '../domain/services.ts'

export interface OfferContext {
  readonly user: Readonly<{ name: string }>
  readonly groups: readonly string[]
  /** Those that are chosen. */
  readonly proposals: readonly Proposal[]
  readonly now: Date
}

export interface OfferedProfile {
  readonly name: string
  /** With the sizes and spawners that are open to this person, those that are put first in front. */
  readonly profile: ProfileConfiguration
  /** The title of the rule that put it first. */
  readonly first?: string
}

export interface Standing {
  /** Profiles in the order in which they are offered; one without a size or a spawner is not. */
  readonly profiles: readonly OfferedProfile[]
  /** The same for what a spawner leaves to the user: values that are open, the default first. */
  options(options: readonly LaunchOption[]): readonly LaunchOption[]
}

type Kind = 'profiles' | 'flavours' | 'spawners'

/** Without rules: what the configuration has, in its order. */
export function standingOf(
  { profiles, offers }: Pick<Configuration, 'profiles' | 'offers'>,
  context: OfferContext,
): Standing {
  const fitting = offers.filter(({ when }) => fits(when, context))
  const order = <Item>(items: readonly Item[], nameOf: (item: Item) => string, kind: Kind): Item[] =>
    arranged(
      items,
      nameOf,
      offers.map(({ opens }) => opens[kind]),
      fitting.map(({ opens }) => opens[kind]),
      fitting.flatMap(({ first }) => first[kind]),
    )
  const own = Object.entries(profiles).filter(
    ([, { groups }]) => groups.length === 0 || groups.some((group) => context.groups.includes(group)),
  )
  return {
    profiles: order(own, ([name]) => name, 'profiles').flatMap(([name, profile]) => {
      const flavours = order(profile.flavours, (flavour) => flavour, 'flavours')
      const on = Object.fromEntries(order(Object.entries(profile.on), ([spawner]) => spawner, 'spawners'))
      if (flavours.length === 0 || Object.keys(on).length === 0) return []
      const first = fitting.find((rule) => rule.first.profiles.includes(name))?.title
      return [{ name, profile: { ...profile, flavours, on }, ...(first === undefined ? {} : { first }) }]
    }),
    options: (options) =>
      options.flatMap((option) => {
        const values = arranged(
          option.values,
          ({ value }) => value,
          offers.map(({ opens }) => opens.options[option.name] ?? []),
          fitting.map(({ opens }) => opens.options[option.name] ?? []),
          fitting.flatMap(({ first }) => first.options[option.name] ?? []),
        )
        return values.length === 0 ? [] : [{ ...option, values }]
      }),
  }
}

/** `closed`: what any rule opens is closed where none of them fits. */
function arranged<Item>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
  closed: readonly (readonly string[])[],
  opened: readonly (readonly string[])[],
  first: readonly string[],
): Item[] {
  const open = items.filter((item) => {
    const name = nameOf(item)
    return !closed.some((names) => names.includes(name)) || opened.some((names) => names.includes(name))
  })
  const place = (item: Item): number => {
    const index = first.indexOf(nameOf(item))
    return index === -1 ? first.length : index
  }
  return open.toSorted((a, b) => place(a) - place(b))
}

/** All conditions hold; those of a proposal for one and the same of the chosen ones. */
function fits(when: OfferRule['when'], { user, groups, proposals, now }: OfferContext): boolean {
  const { users, groups: wanted, instruments, techniques, fields, visit } = when
  if (users !== undefined && !users.includes(user.name)) return false
  if (wanted !== undefined && !wanted.some((group) => groups.includes(group))) return false
  if ([instruments, techniques, fields, visit].every((condition) => condition === undefined)) return true
  return proposals.some(
    (proposal) =>
      (instruments === undefined || isAmong(proposal.instrument, instruments)) &&
      (techniques === undefined || techniquesOf(proposal).some((each) => isAmong(each, techniques))) &&
      Object.entries(fields ?? {}).every(([field, values]) => isAmong(proposal.fields[field], values)) &&
      (visit === undefined || visit.some((each) => each === visitOf(proposal, now, when.around))),
  )
}

/** A catalogue that knows several writes them as one text. */
function techniquesOf({ technique }: Pick<Proposal, 'technique'>): readonly string[] {
  return technique === undefined ? [] : [technique, ...technique.split('; ')]
}

/** Catalogues write SANS, Sans and sans. */
function isAmong(value: string | undefined, values: readonly string[]): boolean {
  return value !== undefined && values.some((each) => each.toLowerCase() === value.toLowerCase())
}

const dayMs = 24 * 3_600_000

/** Undefined: the catalogue does not say when it begins. `aroundMs`: how much longer a visit counts at both ends. */
export function visitOf(
  { startsAt, endsAt }: Pick<Proposal, 'startsAt' | 'endsAt'>,
  now: Date,
  aroundMs: number,
): 'before' | 'during' | 'after' | undefined {
  if (startsAt === undefined) return undefined
  const last = (endsAt ?? startsAt).getTime()
  // A day alone is its midnight, and a visit that ends on a day ends with it.
  const end = last % dayMs === 0 ? last + dayMs : last
  if (now.getTime() < startsAt.getTime() - aroundMs) return 'before'
  return now.getTime() < end + aroundMs ? 'during' : 'after'
}
