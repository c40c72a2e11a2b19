/** What a command printed → plain jobs. Pure; runs in a thread when it is long. */
import type { ClusterJob } from '../cluster.ts'
import { rowsOf, type Row } from './rows.ts'
import type { Field, JobsFormat } from './template.ts'

export interface Asked {
  /** What the command was told to put after each column. */
  readonly mark: string
  /** When, ms since the epoch: some systems tell times without a year. */
  readonly at: number
}

export function readJobs(text: string, format: JobsFormat, { mark, at }: Asked): readonly ClusterJob[] {
  const patterns = new Map<string, RegExp>()
  const compiled = (source: string): RegExp => {
    const known = patterns.get(source) ?? new RegExp(source)
    patterns.set(source, known)
    return known
  }
  return rowsOf(text, format.rows, mark).flatMap((row) => readJob(row, format, { compiled, at }))
}

type Compiled = (source: string) => RegExp

interface Reading {
  readonly compiled: Compiled
  readonly at: number
}

/** None: it has no number, so it is no job. */
function readJob(row: Row, { fields, states }: JobsFormat, { compiled, at }: Reading): readonly ClusterJob[] {
  const text = (field: Field | undefined): string => valueOf(row, field, compiled)
  const jobId = numberOf(text(fields.jobId))
  if (jobId === undefined || jobId <= 0) return []
  const found = states.find(({ column, matches }) => compiled(matches).test(row.get(column) ?? ''))
  const [code, signal] = [numberOf(text(fields.exit)), numberOf(text(fields.signal))]
  return [
    {
      jobId,
      name: text(fields.name),
      user: text(fields.user),
      uid: numberOf(text(fields.uid)) ?? -1,
      comment: text(fields.comment),
      state: found?.is ?? (found === undefined ? '' : (row.get(found.column) ?? '').split(/\s/, 1)[0]) ?? '',
      reason: text(fields.reason),
      description: '',
      partition: text(fields.partition),
      batchHost: text(fields.host),
      startAt: dateOf(text(fields.start), at),
      endAt: dateOf(text(fields.end), at),
      exit: exitOf(code, signal),
      priority: Number(text(fields.priority) || 1),
      ...(fields.account &&
        fields.qos && { account: text(fields.account), qos: text(fields.qos), tres: text(fields.tres) }),
      ...(found?.words === undefined ? {} : { words: found.words }),
    },
  ]
}

function valueOf(row: Row, field: Field | undefined, compiled: Compiled): string {
  if (field === undefined) return ''
  if (typeof field === 'string') return row.get(field) ?? ''
  const text = row.get(field.column) ?? ''
  return field.pattern === undefined ? text : (compiled(field.pattern).exec(text)?.[1] ?? '')
}

function numberOf(text: string): number | undefined {
  return /^-?\d+$/.test(text) ? Number(text) : undefined
}

/** Shells say a signal as 128 and more. */
function exitOf(code: number | undefined, signal: number | undefined): ClusterJob['exit'] {
  if (code === undefined && signal === undefined) return undefined
  if (signal === undefined && code !== undefined && code > 128 && code < 192) return { code: 0, signal: code - 128 }
  return { code: code ?? 0, signal: signal ?? 0 }
}

/** Seconds since the epoch, or a time without a zone: commands are run in UTC. */
function dateOf(text: string, at: number): Date | undefined {
  if (/^\d+$/.test(text)) return Number(text) > 0 ? new Date(Number(text) * 1_000) : undefined
  if (!/\d/.test(text)) return undefined
  const [, month, time] = /^([A-Z][a-z]{2} +\d+) +(\d+:\d\d(?::\d\d)?)\b/.exec(text) ?? []
  if (month !== undefined && time !== undefined && !/\d{4}/.test(text))
    return lastOf(`${month}, {year} ${time} UTC`, at)
  const hasZone = /(Z|UTC|[+-]\d\d:?\d\d)$/.test(text)
  const date = new Date(hasZone ? text : `${text}${/^\d{4}-\d\d-\d\dT/.test(text) ? 'Z' : ' UTC'}`)
  return Number.isNaN(date.getTime()) ? undefined : date
}

const longestAheadMs = 180 * 86_400_000

/** The year is not told: the one that is nearest. */
function lastOf(text: string, at: number): Date | undefined {
  const year = new Date(at).getUTCFullYear()
  const [date, before, after] = [year, year - 1, year + 1].map((each) => new Date(text.replace('{year}', String(each))))
  if (date === undefined || Number.isNaN(date.getTime())) return undefined
  if (date.getTime() - at > longestAheadMs) return before
  return at - date.getTime() > longestAheadMs ? after : date
}
