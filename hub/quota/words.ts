/** Limits and refusals in words: which limit, whose, what uses it, and what would fit. Pure. */
import { formatBytes, formatDay, formatDuration } from '../domain/format.ts'
import { isHours, type Limit, type Most, type Period, type Resource } from './limit.ts'
import type { Refusal } from './admit.ts'

/** 16 → '16 cores'; of hours without the period. */
export function quantity(resource: Resource, of: string, value: number): string {
  const count = (one: string, many: string): string => {
    const rounded = Number(value.toFixed(value < 10 ? 1 : 0))
    return `${Number.isFinite(rounded) ? rounded.toLocaleString('en') : 'endless'} ${rounded === 1 ? one : many}`
  }
  const type = of === '' ? '' : `${of} `
  switch (resource) {
    case 'cpus':
      return count('core', 'cores')
    case 'memoryBytes':
    case 'homeBytes':
      return formatBytes(value)
    case 'gpus':
      return count(`${type}GPU`, `${type}GPUs`)
    case 'environments':
      return of === '' ? count('environment', 'environments') : count(`environment of ${of}`, `environments of ${of}`)
    case 'cpuHours':
      return count('core hour', 'core hours')
    case 'gpuHours':
      return count(`${type}GPU hour`, `${type}GPU hours`)
    case 'lifetimeMs':
    case 'idleMs':
      return formatDuration(value)
  }
}

const titles: Readonly<Record<Resource, string>> = {
  cpus: 'Cores at once',
  memoryBytes: 'Memory at once',
  gpus: 'GPUs at once',
  environments: 'Environments at once',
  cpuHours: 'Core hours',
  gpuHours: 'GPU hours',
  lifetimeMs: 'Longest life',
  idleMs: 'Longest time unused',
  homeBytes: 'Home storage',
}

const within: Readonly<Record<Period, string>> = {
  day: 'per day',
  week: 'per week',
  month: 'per month',
  year: 'per year',
  ever: 'in all',
}

/** 'GPU hours, a100, per month'. */
export function titleOf({ resource, of, period }: Pick<Limit, 'resource' | 'of' | 'period'>): string {
  const parts = [titles[resource], ...(of === '' ? [] : [of]), ...(period === '' ? [] : [within[period]])]
  return parts.join(', ')
}

export function mostText(limit: Pick<Limit, 'resource' | 'of'>, most: Most): string {
  if (typeof most === 'number') return quantity(limit.resource, limit.of, most)
  return `${quantity(limit.resource, limit.of, most.factor)} for each of the proposal's {${most.field}}`
}

/** 'the limit of the group imaging, until 3 Dec 2026'. */
export function sourceText({ subject, share, until, source }: Limit): string {
  const end = until === undefined ? '' : `, until ${formatDay(new Date(until))}`
  switch (subject.kind) {
    case 'everyone':
      return share === 'together' ? `the limit of all people together${end}` : `${ownWords(source)}${end}`
    case 'group':
      return `the limit of the group ${subject.name}${end}`
    case 'proposal':
      return subject.name === '*' ? `the limit of every proposal${end}` : `the limit of ${subject.name}${end}`
    case 'user':
      return `your own limit${end}`
  }
}

function ownWords(source: string): string {
  return source === 'configuration' ? 'as the configuration has it for everyone' : 'the limit for everyone'
}

const mostNamed = 4

export interface RefusalContext {
  /** Only what is the reader's own is named. */
  readonly userId: string
  /** What else the reader could launch here and that is within the limits: sizes by their titles. */
  readonly fitting: readonly string[]
  readonly contact: string
}

/** One sentence or a few: which limit, whose, what is used by what, and what would fit. */
export function refusalText(refusal: Refusal, { userId, fitting, contact }: RefusalContext): string {
  const { rule, used, wanted, by } = refusal
  const { limit, most } = rule
  const text = (value: number): string => quantity(limit.resource, limit.of, value)
  if (most === undefined) {
    const field = typeof limit.most === 'number' ? '' : limit.most.field
    return `The limit on ${titleOf(limit).toLowerCase()} follows from the {${field}} of the proposal, and the catalogue has no such amount. Ask ${contact}.`
  }
  const who = whose(refusal, userId)
  const parts = [`${who.subject} may have at most ${text(most)} ${timing(limit)}, ${sourceText(limit)}.`]
  if (limit.resource === 'lifetimeMs') parts.push(`This would live for ${text(wanted)}.`)
  else {
    const names = namesOf(by, userId, isHours(limit.resource))
    parts.push(`${who.uses} ${text(used)}${names}${wantedText(refusal, text)}.`)
  }
  parts.push(remedy(refusal, userId, fitting, contact))
  return parts.join(' ')
}

function timing({ period, resource }: Limit): string {
  if (period !== '') return within[period]
  return resource === 'lifetimeMs' ? 'for one environment' : 'at once'
}

/** Of environments it is always one. */
function wantedText({ rule: { limit, most = 0 }, used, wanted }: Refusal, text: (value: number) => string): string {
  if (limit.resource === 'environments') return ''
  if (!Number.isFinite(wanted)) return ', and this size has no end that could be counted'
  return `, this needs ${text(wanted)}, and ${text(Math.max(0, most - used))} are left`
}

function whose({ rule: { scope } }: Refusal, userId: string): { subject: string; uses: string } {
  if (scope.kind === 'user' && scope.name === userId) return { subject: 'You', uses: 'You have' }
  const name = scope.kind === 'everyone' ? 'All people together' : `The ${scope.kind} ${scope.name}`
  return { subject: name, uses: 'Together they have' }
}

function namesOf(by: Refusal['by'], userId: string, isOfHours: boolean): string {
  const own = by.filter((held) => held.userId === userId)
  if (own.length === 0) return ''
  const names = own.slice(0, mostNamed).map(({ title }) => `“${title}”`)
  const more = own.length > names.length ? ` and ${own.length - names.length} more` : ''
  const others = by.length > own.length ? ', and other people' : ''
  return ` (${isOfHours ? 'held by what runs: ' : ''}${names.join(', ')}${more}${others})`
}

function remedy({ rule, by }: Refusal, userId: string, fitting: readonly string[], contact: string): string {
  const ways: string[] = []
  if (fitting.length > 0) ways.push(`${fitting.slice(0, 3).join(' or ')} would fit`)
  if (by.some((held) => held.userId === userId)) ways.push('stop one of yours')
  if (isHours(rule.limit.resource) && rule.limit.period !== 'ever' && rule.limit.period !== '') {
    ways.push(`wait for the next ${rule.limit.period}`)
  }
  ways.push(`ask for more on the page My usage`)
  if (rule.scope.kind === 'everyone') ways.push(`ask ${contact}`)
  const text = ways.join(', or ')
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`
}
