/** What a command printed → plain jobs. Pure; runs in a thread when it is long. */
import type { ClusterJob } from '../cluster.ts'
import { rowsOf, type Row } from './rows.ts'
import type { Field, JobsFormat } from './template.ts'

export function readJobs(text: string, format: JobsFormat, mark: string): readonly ClusterJob[] {
  const patterns = new Map<string, RegExp>()
  const compiled = (source: string): RegExp => {
    const known = patterns.get(source) ?? new RegExp(source)
    patterns.set(source, known)
    return known
  }
  return rowsOf(text, format.rows, mark).flatMap((row) => readJob(row, format, compiled))
}

type Compiled = (source: string) => RegExp

/** None: it has no number, so it is no job. */
function readJob(row: Row, { fields, states }: JobsFormat, compiled: Compiled): readonly ClusterJob[] {
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
      startAt: dateOf(text(fields.start)),
      endAt: dateOf(text(fields.end)),
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
function dateOf(text: string): Date | undefined {
  if (/^\d+$/.test(text)) return Number(text) > 0 ? new Date(Number(text) * 1_000) : undefined
  if (!/\d/.test(text)) return undefined
  const hasZone = /(Z|UTC|[+-]\d\d:?\d\d)$/.test(text)
  const date = new Date(hasZone ? text : `${text}${/^\d{4}-\d\d-\d\dT/.test(text) ? 'Z' : ' UTC'}`)
  return Number.isNaN(date.getTime()) ? undefined : date
}
