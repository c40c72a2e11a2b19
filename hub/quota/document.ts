/** Limits as people write them: in a file, by the API, in a form. Each mistake names its entry and the remedy. */
import { z } from 'zod'
import { parseBytes, parseDuration } from '../../config/units.ts'
import { Problem } from '../domain/problem.ts'
import { isHours, type Limit, type Most, mostPossible, type Period, type Resource } from './limit.ts'
import type { NewLimit } from './limits.ts'

const names = {
  cpus: 'cpus',
  memory: 'memoryBytes',
  gpus: 'gpus',
  environments: 'environments',
  cpuHours: 'cpuHours',
  gpuHours: 'gpuHours',
  lifetime: 'lifetimeMs',
  idle: 'idleMs',
  home: 'homeBytes',
} as const satisfies Record<string, Resource>
type WrittenName = keyof typeof names

/** For forms. */
export const writtenNames = Object.keys(names)
const isWrittenName = (text: string): text is WrittenName => Object.hasOwn(names, text)

const unprintable = /[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]/u
const line = (longest: number) =>
  z
    .string()
    .max(longest)
    .refine((text) => !unprintable.test(text), 'must be printable text on one line')

const day = z.union([z.string(), z.date()]).transform((value, ctx) => {
  const text = typeof value === 'string' ? value.trim() : value.toISOString()
  const at = /^20\d\d-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at)) return at
  ctx.addIssue({ code: 'custom', message: 'is not a day such as 2026-12-01 or a time such as 2026-12-01T08:00:00Z' })
  return z.NEVER
})

const subject = line(100).transform((text, ctx) => {
  const [, kind, name = ''] = /^(everyone|group|proposal|user)(?::(\S.*))?$/.exec(text.trim()) ?? []
  if (kind === 'everyone' && name === '') return { kind, name } as const
  if ((kind === 'group' || kind === 'user' || kind === 'proposal') && name !== '') return { kind, name } as const
  ctx.addIssue({
    code: 'custom',
    message: 'is none of everyone, group:NAME, user:NAME, proposal:NUMBER and proposal:*',
  })
  return z.NEVER
})

const written = z.strictObject({
  for: subject,
  limit: z.string().refine(isWrittenName, `is none of ${Object.keys(names).join(', ')}`),
  most: z.union([z.number(), line(100)]),
  of: line(30).default(''),
  per: z.enum(['day', 'week', 'month', 'year', 'ever'], 'is none of day, week, month, year and ever').optional(),
  together: z.boolean().default(false),
  from: day.optional(),
  until: day.optional(),
  note: line(500).default(''),
})

export type WrittenLimit = z.input<typeof written>

const mostEntries = 5_000
const fileSchema = z.strictObject({
  limits: z.array(z.unknown()).max(mostEntries, `has more than ${mostEntries} limits`),
})

/** The whole of a file. @throws Problem badRequest that names the entries at fault. */
export function readLimits(value: unknown, source: string): readonly NewLimit[] {
  const file = fileSchema.safeParse(value ?? {})
  if (!file.success) throw refused([`A file of limits is "limits:" and a list: ${issueText(file.error)}`])
  const mistakes: string[] = []
  const limits = file.data.limits.flatMap((entry, index) => {
    const read = readOne(entry, source)
    if (!('mistake' in read)) return [read]
    mistakes.push(`limits[${index}]: ${read.mistake}`)
    return []
  })
  if (mistakes.length > 0) throw refused(mistakes)
  return limits
}

/** One, from a form or the API. @throws Problem badRequest */
export function readLimit(value: unknown, source: string): NewLimit {
  const read = readOne(value, source)
  if ('mistake' in read) throw refused([read.mistake])
  return read
}

function readOne(value: unknown, source: string): NewLimit | { mistake: string } {
  const parsed = written.safeParse(value)
  if (!parsed.success) return { mistake: issueText(parsed.error) }
  const { for: whose, limit, of, per, together, from, until, note } = parsed.data
  const resource = names[limit]
  const most = readMost(limit, parsed.data.most)
  if (most === undefined) return { mistake: `most: ${amountHelp(limit)}` }
  if (typeof most === 'object' && whose.kind !== 'proposal') {
    return { mistake: 'most: only the limit of a proposal can follow from its fields' }
  }
  if (isHours(resource) !== (per !== undefined)) {
    return {
      mistake: isHours(resource) ? 'per: is missing: day, week, month, year or ever' : 'per: is for hours alone',
    }
  }
  if (of !== '' && !['gpus', 'gpuHours', 'environments'].includes(resource)) {
    return { mistake: 'of: is for GPUs (their type) and environments (a profile) alone' }
  }
  if (together && ['lifetimeMs', 'idleMs', 'homeBytes'].includes(resource)) {
    return { mistake: 'together: such a limit is of each one' }
  }
  if (from !== undefined && until !== undefined && until <= from) return { mistake: 'until: is not after from' }
  return {
    subject: whose,
    share: together ? 'together' : 'each',
    resource,
    of,
    period: per ?? '',
    most,
    ...(from === undefined ? {} : { from }),
    ...(until === undefined ? {} : { until }),
    source,
    note,
  }
}

/** '64GiB', '7d', 16, 'shifts * 100': by the unit of what is limited. */
function readMost(limit: WrittenName, value: number | string): Most | undefined {
  const text = String(value).trim()
  const [, field, factor] = /^([A-Za-z]\w{0,63})\s*[*×]\s*(\S+)$/.exec(text) ?? []
  const amount = readAmount(limit, factor ?? text)
  if (amount === undefined) return undefined
  return field === undefined ? amount : { field, factor: amount }
}

function readAmount(limit: WrittenName, text: string): number | undefined {
  const number = /^\d{1,15}(\.\d{1,6})?$/.test(text) ? Number(text) : undefined
  const value = isBytes(limit) ? parseBytes(text) : isTime(limit) ? parseDuration(text) : number
  if (value === undefined || !(value <= mostPossible)) return undefined
  return (limit === 'environments' || limit === 'gpus') && !Number.isInteger(value) ? undefined : value
}

const isBytes = (limit: WrittenName): boolean => limit === 'memory' || limit === 'home'
const isTime = (limit: WrittenName): boolean => limit === 'lifetime' || limit === 'idle'

function amountHelp(limit: WrittenName): string {
  const example = isBytes(limit) ? '64GiB' : isTime(limit) ? '7d' : '16'
  return `is no amount for ${limit}, such as ${example}; of a proposal also FIELD * ${example}`
}

/** As it would be written. */
export function writeLimit(limit: Omit<Limit, 'id' | 'source'>): WrittenLimit {
  const { subject: whose, resource, of, period, share, from, until, note } = limit
  const name = Object.entries(names).find(([, each]) => each === resource)?.[0] ?? resource
  return {
    for: whose.kind === 'everyone' ? 'everyone' : `${whose.kind}:${whose.name}`,
    limit: name,
    most: writeMost(resource, limit.most),
    ...(of === '' ? {} : { of }),
    ...(period === '' ? {} : { per: period satisfies Period }),
    ...(share === 'together' ? { together: true } : {}),
    ...(from === undefined ? {} : { from: new Date(from).toISOString() }),
    ...(until === undefined ? {} : { until: new Date(until).toISOString() }),
    ...(note === '' ? {} : { note }),
  }
}

function writeMost(resource: Resource, most: Most): number | string {
  const amount = (value: number): number | string => {
    switch (resource) {
      case 'memoryBytes':
      case 'homeBytes':
        return inUnits(value, [
          [2 ** 40, 'TiB'],
          [2 ** 30, 'GiB'],
          [2 ** 20, 'MiB'],
          [1, 'B'],
        ])
      case 'lifetimeMs':
      case 'idleMs':
        return inUnits(value, [
          [86_400_000, 'd'],
          [3_600_000, 'h'],
          [60_000, 'min'],
          [1_000, 's'],
          [1, 'ms'],
        ])
      case 'cpus':
      case 'gpus':
      case 'environments':
      case 'cpuHours':
      case 'gpuHours':
        return value
    }
  }
  return typeof most === 'number' ? amount(most) : `${most.field} * ${amount(most.factor)}`
}

/** The largest unit that it is a whole number of. */
function inUnits(value: number, units: readonly (readonly [number, string])[]): string {
  const [factor, unit] = units.find(([each]) => value % each === 0 && value >= each) ?? units.at(-1) ?? [1, '']
  return `${value / factor}${unit}`
}

export interface Difference {
  readonly add: readonly NewLimit[]
  readonly remove: readonly Limit[]
}

/** What makes the limits of a source those that are wanted. Its order means nothing. */
export function difference(known: readonly Limit[], wanted: readonly NewLimit[], source: string): Difference {
  const key = (limit: Omit<Limit, 'id'>): string => JSON.stringify(writeLimit(limit))
  const there = known.filter((limit) => limit.source === source)
  const wantedKeys = new Set(wanted.map(key))
  const thereKeys = new Set(there.map(key))
  const seen = new Set<string>()
  return {
    add: wanted.filter((limit) => !thereKeys.has(key(limit)) && !seen.has(key(limit)) && seen.add(key(limit))),
    remove: there.filter((limit) => !wantedKeys.has(key(limit))),
  }
}

/** One line, as the file would have it. */
export function limitLine(limit: Omit<Limit, 'id'>): string {
  return Object.entries(writeLimit(limit))
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join(', ')
}

const mostMistakes = 20

function refused(mistakes: readonly string[]): Problem {
  const more = mistakes.length > mostMistakes ? `; and ${mistakes.length - mostMistakes} more` : ''
  const field = /^([a-z[\]\d.]+):/.exec(mistakes[0] ?? '')?.[1]
  const detail = `${mistakes.slice(0, mostMistakes).join('; ')}${more}.`
  return new Problem('badRequest', detail, field === undefined ? {} : { field })
}

function issueText(error: z.ZodError): string {
  const [issue] = error.issues
  if (issue === undefined) return 'is not understood'
  if (issue.code === 'unrecognized_keys') return `there is no field ${JSON.stringify(issue.keys[0] ?? '')}`
  const where = issue.path.join('.')
  return where === '' ? issue.message : `${where}: ${issue.message}`
}
