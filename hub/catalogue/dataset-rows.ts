/** Rows of a foreign catalogue → datasets. What can't be one is left out and counted. Pure; never throws on any value. */
import { z } from 'zod'
import { datasetIdPattern } from '../domain/dataset-id.ts'
import type { Dataset } from '../domain/services.ts'
import { isPlainPath } from '../launch/paths.ts'
import { date, line } from './rows.ts'

/** What an adapter takes out of a row, unchecked. */
export interface DatasetRow {
  readonly id: unknown
  readonly name: unknown
  readonly folder?: unknown
  readonly sizeBytes?: unknown
  readonly files?: unknown
  readonly technique?: unknown
  readonly startsAt?: unknown
  readonly endsAt?: unknown
  readonly archived?: unknown
}

export interface ReadDatasets {
  /** Each id once, in the order of the rows. */
  readonly items: readonly Dataset[]
  /** How many rows could not be read. */
  readonly wrong: number
  /** Ids that several rows have. */
  readonly twice: readonly string[]
}

/** Text and numbers are amounts; what is neither, negative or no whole number is none. */
const amount = z.unknown().transform((value) => {
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined
})

const folder = z.unknown().transform((value) => {
  if (typeof value !== 'string') return undefined
  const path = value.length > 1 ? value.replace(/\/+$/, '') : value
  return isPlainPath(path) ? path : undefined
})

const rowSchema = z.object({
  id: z.string().regex(datasetIdPattern),
  name: line(200).nullish(),
  folder: folder.optional(),
  sizeBytes: amount.optional(),
  files: amount.optional(),
  technique: line(100).nullish(),
  startsAt: date,
  endsAt: date,
  archived: z.unknown().optional(),
})

export function readDatasetRows(proposal: string, rows: readonly DatasetRow[]): ReadDatasets {
  const found = new Map<string, Dataset>()
  const twice = new Set<string>()
  let wrong = 0
  for (const row of rows) {
    const read = rowSchema.safeParse(row)
    if (!read.success) wrong += 1
    else if (found.has(read.data.id)) twice.add(read.data.id)
    else found.set(read.data.id, datasetOf(proposal, read.data))
  }
  return { items: [...found.values()], wrong, twice: [...twice] }
}

function datasetOf(proposal: string, row: z.output<typeof rowSchema>): Dataset {
  const { id, name, sizeBytes, files, technique, startsAt, endsAt } = row
  const ends = startsAt !== undefined && endsAt !== undefined && endsAt < startsAt ? undefined : endsAt
  return {
    id,
    proposal,
    name: name || id,
    ...(row.folder === undefined ? {} : { folder: row.folder }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(files === undefined ? {} : { files }),
    ...(technique ? { technique } : {}),
    ...(startsAt === undefined ? {} : { startsAt }),
    ...(ends === undefined ? {} : { endsAt: ends }),
    ...(row.archived === true ? { archived: true } : {}),
  }
}
