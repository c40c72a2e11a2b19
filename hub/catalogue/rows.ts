/**
 * Rows of a foreign catalogue → proposals. What can't be a proposal is left out and counted; what is merely odd (a
 * line break in a title, a date in the year 9999) is put right or left away. Pure; never throws on any value.
 */
import { z } from 'zod'
import { proposalIdPattern } from '../domain/proposal-id.ts'
import type { Proposal } from '../domain/services.ts'

/** What an adapter takes out of a row, unchecked. */
export interface Row {
  readonly id: unknown
  readonly title: unknown
  readonly instrument?: unknown
  readonly technique?: unknown
  readonly startsAt?: unknown
  readonly endsAt?: unknown
  readonly fields?: unknown
  readonly origin?: unknown
  readonly notebook?: unknown
}

export interface ReadRows {
  /** Each id once, in the order of the rows. */
  readonly items: readonly Proposal[]
  /** How many rows could not be read. */
  readonly wrong: number
  /** Ids that several rows have: which of them is meant, nobody can say. */
  readonly twice: readonly string[]
}

/** No part of a path can be this, so no mount rule makes a directory of it. */
const noInstrument = '—'

export const line = (longest: number) =>
  z.string().transform((text) =>
    text
      .slice(0, longest * 4)
      .replaceAll(/[\p{Cc}\p{Cs}\p{Zs}\u2028\u2029\u202A-\u202E\u2066-\u2069]+/gu, ' ')
      .trim()
      .slice(0, longest),
  )

export const date = z
  .string()
  .nullish()
  .transform((text) => (text == null ? undefined : realDate(text)))

const notebook = z
  .string()
  .nullish()
  .transform((text) =>
    text != null && text.length <= 512 && !/[\p{Cc}\p{Cs}]/u.test(text) && text.split('/').every(isPart)
      ? text
      : undefined,
  )

const rowSchema = z.object({
  id: z.string().regex(proposalIdPattern),
  title: line(300),
  instrument: line(100).nullish(),
  technique: line(100).nullish(),
  startsAt: date,
  endsAt: date,
  fields: z.record(z.string(), z.unknown()).nullish(),
  origin: line(500).nullish(),
  notebook,
})

export function readRows(rows: readonly Row[]): ReadRows {
  const proposals = new Map<string, Proposal>()
  const twice = new Set<string>()
  let wrong = 0
  for (const row of rows) {
    const read = rowSchema.safeParse(row)
    if (!read.success) wrong += 1
    else if (proposals.has(read.data.id)) twice.add(read.data.id)
    else proposals.set(read.data.id, proposalOf(read.data))
  }
  return { items: [...proposals.values()], wrong, twice: [...twice] }
}

function proposalOf(row: z.output<typeof rowSchema>): Proposal {
  const { id, title, instrument, technique, startsAt, endsAt, origin } = row
  const ends = startsAt !== undefined && endsAt !== undefined && endsAt < startsAt ? undefined : endsAt
  return {
    id,
    title: title || id,
    instrument: instrument || noInstrument,
    ...(technique ? { technique } : {}),
    ...(startsAt === undefined ? {} : { startsAt }),
    ...(ends === undefined ? {} : { endsAt: ends }),
    fields: Object.fromEntries(
      Object.entries(row.fields ?? {})
        .flatMap(fieldOf)
        .slice(0, mostFields),
    ),
    ...(origin ? { origin } : {}),
    ...(row.notebook === undefined ? {} : { notebook: row.notebook }),
  }
}

const mostFields = 50

/** Amounts are numbers in some catalogues; what is neither text nor number is no field. */
function fieldOf([name, value]: [string, unknown]): readonly (readonly [string, string])[] {
  const text = typeof value === 'number' && Number.isFinite(value) ? String(value) : value
  if (typeof text !== 'string' || text.length === 0 || text.length > 128) return []
  if (/[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]/u.test(text)) return []
  return /^[a-z][A-Za-z0-9_]{0,31}$/.test(name) ? [[name, text]] : []
}

function isPart(part: string): boolean {
  return !['', '.', '..'].includes(part)
}

/** Of the years that a calendar page can show: 9999 is how some catalogues say that there is no end. */
function realDate(text: string): Date | undefined {
  if (!/^(19|20|21)\d\d-\d\d-\d\d(T|$)/.test(text) || text.length > 40) return undefined
  const readable = z.union([z.iso.date(), z.iso.datetime({ offset: true, local: true })])
  if (!readable.safeParse(text).success) return undefined
  // Without a zone it would be read in the hub's own.
  const zoned = /T.*(Z|[+-]\d\d:?\d\d)$/.test(text) || !text.includes('T') ? text : `${text}Z`
  const read = new Date(zoned)
  return Number.isNaN(read.getTime()) ? undefined : read
}
