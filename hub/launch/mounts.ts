/**
 * Which directories an environment gets: the configuration's rules × the chosen proposals × the account, and nothing
 * that a browser sent. Pure: the hub need not see the storage, so links and existence are checked by the agent.
 */
import { posix } from 'node:path'
import { mountPlaceholders } from '../../config/mount-rules.ts'
import type { Configuration, MountRule } from '../../config/schema.ts'
import { checkMounts, isWithin } from '../../spawners/common/checkMounts.ts'
import type { Account, Mount } from '../../spawners/spawner.ts'
import type { RestoredPlace } from '../archive/index.ts'
import { Problem } from '../domain/problem.ts'
import { refusingAsProblem } from '../domain/refusal.ts'
import type { Dataset, Proposal } from '../domain/services.ts'
import { isBeneath, isPlainPath, parseSource } from './paths.ts'

export interface MountRequest {
  readonly rules: readonly MountRule[]
  readonly account: Account
  /** Where the account's home lies on the host. */
  readonly homeSource: string
  readonly proposals: readonly Proposal[]
  /** Those that were chosen of proposals which are not wanted whole. */
  readonly datasets: readonly Dataset[]
  /** Where archived ones of those were restored to, by their ids: mounted as `archive` says, and not by rules. */
  readonly restored?: ReadonlyMap<string, RestoredPlace>
  readonly archive?: Pick<NonNullable<Configuration['archive']>, 'target' | 'readOnly'> | undefined
  /** Why exports that want Kerberos tickets can't be had there: one clause. Absent: they can. */
  readonly noTickets?: string | undefined
  /** The hub's own state, absolute: never shown, but for the homes and demo proposals in it. */
  readonly stateFolder: string
}

/** A mount and the proposal that it is for; absent for the home and for rules of the user. */
export interface DerivedMount {
  readonly mount: Mount
  readonly proposal?: string
}

/** As many as an agent checks before it starts an application. */
const mostMounts = 256

/**
 * The home and what the rules say, parents before what lies in them.
 * @throws Problem launchRefused, naming the rule and what is wrong with it for this proposal.
 */
export function deriveMounts(request: MountRequest): readonly DerivedMount[] {
  const derived = [homeOf(request)]
  for (const rule of request.rules) {
    for (const subject of subjectsOf(rule, request)) {
      if (subject.dataset === undefined || !request.restored?.has(subject.dataset.id))
        derived.push(derive(rule, subject, request))
    }
  }
  derived.push(...restoredMounts(request))
  if (derived.length > mostMounts) {
    throw refused(`These proposals need ${derived.length} directories; at most ${mostMounts} can be there at once.`)
  }
  const ordered = refusingAsProblem(() => checkMounts(derived.map((each) => each.mount)), 'proposals')
  return derived.toSorted((a, b) => ordered.indexOf(a.mount) - ordered.indexOf(b.mount))
}

function homeOf({ account, homeSource, stateFolder }: MountRequest): DerivedMount {
  const source = { kind: 'host', path: homeSource } as const
  if (!isPlainPath(homeSource) || showsState(source, stateFolder)) {
    throw refused(`The home directory of ${account.name} (${homeSource}) can't be used: it holds files of the hub.`)
  }
  return { mount: { name: 'home', source, target: account.home, readOnly: false } }
}

function restoredMounts({
  datasets,
  proposals,
  restored,
  archive,
  account,
  stateFolder,
}: MountRequest): DerivedMount[] {
  return datasets.flatMap((dataset) => {
    const place = restored?.get(dataset.id)
    if (place === undefined || archive === undefined) return []
    const proposal = proposals.find(({ id }) => id === dataset.proposal)
    const name = `dataset ${dataset.name}, restored`
    const target = fillFor(archive.target, name, { dataset, ...(proposal === undefined ? {} : { proposal }) }, account)
    if (showsState(place.source, stateFolder)) throw refused(`${name}: its source holds files of the hub.`)
    const { source, root: beneath, vouched } = place
    const common = { name, source, target, readOnly: archive.readOnly, beneath }
    const mount: Mount = vouched ? { ...common, vouched } : common
    return [{ mount, proposal: dataset.proposal }]
  })
}

/** What a rule makes one directory for. */
export interface MountSubject {
  readonly proposal?: Proposal
  readonly dataset?: Dataset
}

export function subjectsOf(
  rule: MountRule,
  { proposals, datasets }: Pick<MountRequest, 'proposals' | 'datasets'>,
): readonly MountSubject[] {
  switch (rule.for) {
    case 'user':
      return [{}]
    case 'proposal': {
      const inPart = new Set(rule.wholeOnly ? datasets.map(({ proposal }) => proposal) : [])
      return proposals.filter(({ id }) => !inPart.has(id)).map((proposal) => ({ proposal }))
    }
    case 'dataset':
      return datasets.flatMap((dataset) => {
        const proposal = proposals.find(({ id }) => id === dataset.proposal)
        return proposal === undefined ? [] : [{ proposal, dataset }]
      })
  }
}

function nameOf(rule: MountRule, { proposal, dataset }: MountSubject): string {
  if (dataset !== undefined) return `dataset ${dataset.name}, ${rule.name}`
  return proposal === undefined ? rule.name : `proposal ${proposal.id}, ${rule.name}`
}

function derive(rule: MountRule, subject: MountSubject, request: MountRequest): DerivedMount {
  const { proposal } = subject
  const name = nameOf(rule, subject)
  const fill = (text: string) => fillFor(text, name, subject, request.account)
  const source = parseSource(fill(rule.source))
  const target = fill(rule.target)
  if (source === undefined || !isPlainPath(source.path)) throw refused(`${name}: its source is not a plain path.`)
  if (!rule.allowedRoots.some((root) => isBeneath(source, parseSource(root)))) {
    throw refused(`${name}: its source lies outside the roots that the configuration allows.`)
  }
  if (showsState(source, request.stateFolder)) throw refused(`${name}: its source holds files of the hub.`)
  const needsTicket = rule.security === 'krb5'
  if (needsTicket && request.noTickets !== undefined) {
    throw refused(
      `${name}: its file server wants a Kerberos ticket (krb5), and ${request.noTickets}. Ask your administrator.`,
    )
  }
  return {
    mount: { name, source, target, readOnly: rule.readOnly, ...(needsTicket ? { security: 'krb5' } : {}) },
    ...(proposal === undefined ? {} : { proposal: proposal.id }),
  }
}

/** The text of a rule for this proposal and account. @throws Problem launchRefused when a value can't be had. */
export function fillFor(text: string, name: string, subject: MountSubject, account: Account): string {
  return fillIn(text, name, values(subject, account))
}

type Values = Readonly<Record<(typeof mountPlaceholders)[number], string | undefined>>

function values({ proposal, dataset }: MountSubject, account: Account): Values {
  return {
    proposal: proposal?.id,
    instrument: proposal?.instrument,
    session: proposal?.fields['session'],
    year: proposal?.fields['year'] ?? proposal?.startsAt?.getUTCFullYear().toString(),
    user: account.name,
    dataset: dataset?.name,
    // Handles have slashes.
    datasetId: dataset?.id.replaceAll('/', '-'),
    folder: dataset?.folder,
  }
}

/** One pass: a value that looks like a placeholder stays as it is (and is refused, having braces). */
function fillIn(text: string, name: string, values: Values): string {
  return text.replaceAll(/\{([^{}]*)\}/g, (_whole, key: string) => {
    const known = mountPlaceholders.find((each) => each === key)
    const value = known === undefined ? undefined : values[known]
    if (value === undefined) throw refused(`${name}: the catalogue has no {${key}} for it.`)
    if (known === 'folder' ? !isPlainPath(value) : !isPlainValue(value))
      throw refused(`${name}: its {${key}} can't be part of a path.`)
    return value
  })
}

/**
 * One component of a path and nothing else, whatever reads it later: bwrap, a manifest, a job script, mount(8).
 * Letters and digits of any script, and after the first of them also . _ - + @ = and spaces.
 */
export function isPlainValue(value: string): boolean {
  return (
    value.length <= 128 &&
    /^[\p{L}\p{N}_][\p{L}\p{N}\p{M}_ .+@=-]*$/u.test(value) &&
    !value.includes('..') &&
    !value.endsWith(' ')
  )
}

/** Whether the hub's own files lie in it, or it in them. */
function showsState({ kind, path }: Mount['source'], stateFolder: string): boolean {
  if (kind !== 'host') return false
  if (isWithin(stateFolder, path)) return true
  const shown = ['homes', 'proposals'].map((folder) => posix.join(stateFolder, folder))
  return isWithin(path, stateFolder) && !shown.some((folder) => path !== folder && isWithin(path, folder))
}

function refused(sentence: string): Problem {
  return new Problem('launchRefused', sentence, { field: 'proposals' })
}
