/** What a limit is: for whom, on what, how much, when, and who said so. */

/** In the order in which pages and files show them. Units are in the names; hours are of one core or one GPU. */
const resources = [
  'cpus',
  'memoryBytes',
  'gpus',
  'environments',
  'cpuHours',
  'gpuHours',
  'lifetimeMs',
  'idleMs',
  'homeBytes',
] as const
export type Resource = (typeof resources)[number]

/** Calendar periods in UTC (weeks begin on Monday); `ever`: never starts anew. */
const periods = ['day', 'week', 'month', 'year', 'ever'] as const
export type Period = (typeof periods)[number]

const subjectKinds = ['everyone', 'group', 'proposal', 'user'] as const
export type SubjectKind = (typeof subjectKinds)[number]

/** `name` is empty for everyone; for proposals `*` means each of them. */
export interface Subject {
  readonly kind: SubjectKind
  readonly name: string
}

/** So many, or what the catalogue says of the proposal in `field`, times `factor`. */
export type Most = number | Readonly<{ field: string; factor: number }>

export interface Limit {
  readonly id: string
  readonly subject: Subject
  /** `each`: what one person holds, whoever it applies to. `together`: what all that it applies to hold. */
  readonly share: 'each' | 'together'
  readonly resource: Resource
  /** Of GPUs and their hours: one type. Of environments: one profile. Empty: all of them. */
  readonly of: string
  /** Of hours alone; otherwise empty. */
  readonly period: Period | ''
  readonly most: Most
  /** ms since the epoch; absent: always has been. */
  readonly from?: number
  /** ms since the epoch, itself not included; absent: for good. */
  readonly until?: number
  /** Where it was written: a page, a file, a request, the configuration. */
  readonly source: string
  readonly note: string
}

/** More than anybody has, and still exact in sums. */
export const mostPossible = 2 ** 50

export function isHours(resource: Resource): resource is 'cpuHours' | 'gpuHours' {
  return resource === 'cpuHours' || resource === 'gpuHours'
}

export function isValidAt({ from, until }: Pick<Limit, 'from' | 'until'>, now: number): boolean {
  return (from === undefined || from <= now) && (until === undefined || now < until)
}

/** The beginning of the period that `now` is in; -Infinity: it had none. */
export function periodStart(period: Period | '', now: number): number {
  const at = new Date(now)
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()]
  switch (period) {
    case 'day':
      return Date.UTC(year, month, day)
    case 'week':
      return Date.UTC(year, month, day - ((at.getUTCDay() + 6) % 7))
    case 'month':
      return Date.UTC(year, month)
    case 'year':
      return Date.UTC(year, 0)
    case 'ever':
    case '':
      return -Infinity
  }
}
