/**
 * SciCat 4.5 and later. A reader of the hub's own asks, and only for what belongs to a group of the person's: nobody
 * logs in twice. Words and groups go into the query as values of JSON, and patterns are escaped.
 */
import { z } from 'zod'
import type { User } from '../domain/services.ts'
import { type Answer, type Ask, unreachable } from './ask.ts'
import { type DatasetRow, readDatasetRows } from './dataset-rows.ts'
import { spanOf } from './dates.ts'
import { secretOf } from './http.ts'
import { type PageWanted, pageTotal, type Seer, type Source } from './remote.ts'
import { readRows, type Row } from './rows.ts'
import { createSessions, type Session } from './session.ts'

export interface ScicatOptions {
  /** With /api/v3. */
  readonly url: string
  readonly reader: Readonly<{ username: string; passwordFile: string }>
  /** Where in a proposal they are, as dotted paths. */
  readonly instrument?: string | undefined
  readonly technique?: string | undefined
  readonly fields: Readonly<Record<string, string>>
  /** Names of all groups whose proposals are this person's. */
  readonly groupsOf: (user: User, signal: AbortSignal) => Promise<readonly string[]>
  readonly ask: Ask
  readonly now: () => Date
}

type Where = Readonly<Record<string, unknown>>

const loginSchema = z.object({ access_token: z.string().min(1).max(16_384), expires_in: z.number().optional() })
const rowsSchema = z.array(z.unknown())
const countSchema = z.object({ count: z.int().min(0) })
/** A token that is about to end is not used any more. */
const marginMs = 30_000
const usualTokenMs = 3_600_000
const mostGroups = 1_000
/** So that an address stays below what every server takes. */
const idsAtOnce = 50

export function createScicatSource(options: ScicatOptions): Source {
  const ask = createAuthorised(options)
  const searched = [
    'proposalId',
    'title',
    ...instrumentPaths(options),
    ...(options.technique ? [options.technique] : []),
    ...Object.values(options.fields),
  ]

  async function find(what: Collection, where: Where, limits: object, signal: AbortSignal): Promise<unknown[]> {
    const about = `GET /${what.path}`
    const { status, value } = await ask(about, `/${what.path}`, { [what.filter]: { where, limits } }, signal)
    if (status !== 200) throw unreachable(`${about}: answered ${status}`)
    const rows = rowsSchema.safeParse(value)
    if (!rows.success) throw unreachable(`${about}: the answer is no list`)
    return rows.data
  }

  /** Undefined: this SciCat is too old to count. */
  async function count({ path }: Collection, where: Where, signal: AbortSignal): Promise<number | undefined> {
    const { status, value } = await ask(`GET /${path}/count`, `/${path}/count`, { filter: where }, signal)
    const read = countSchema.safeParse(value)
    return status === 200 && read.success ? read.data.count : undefined
  }

  async function pageOf(what: Collection, where: Where, { offset, limit }: PageWanted, signal: AbortSignal) {
    const rows = await find(what, where, { limit: limit + 1, skip: offset, order: what.order }, signal)
    const total = await pageTotal({ offset, limit, rows: rows.length }, () => count(what, where, signal))
    return { rows: rows.slice(0, limit), total }
  }

  /** Twice as many are asked for: a second one with the same id is seen. */
  async function byIdsOf(what: Collection, mine: Where, ids: readonly string[], signal: AbortSignal) {
    const rows: unknown[] = []
    for (let first = 0; first < ids.length; first += idsAtOnce) {
      const asked = ids.slice(first, first + idsAtOnce)
      const where = { $and: [mine, { [what.id]: { $in: asked } }] }
      rows.push(...(await find(what, where, { limit: asked.length * 2, skip: 0, order: what.order }, signal)))
    }
    return rows
  }

  return {
    async page(seer, wanted, signal) {
      const mine = await visible(seer, options, signal)
      if (mine === undefined) return { ...readRows([]), total: 0 }
      const where = { $and: [mine, ...wanted.words.map((word) => oneOf(searched, 'startTime', word))] }
      const { rows, total } = await pageOf(proposals, where, wanted, signal)
      return { ...readRows(rows.map((row) => rowOf(row, options))), total }
    },
    async byIds(seer, ids, signal) {
      const mine = await visible(seer, options, signal)
      if (mine === undefined) return readRows([])
      const rows = await byIdsOf(proposals, mine, ids, signal)
      return readRows(rows.map((row) => rowOf(row, options)))
    },
    async datasets(seer, proposal, wanted, signal) {
      const mine = await datasetsIn(seer, proposal, options, signal)
      const where = { $and: [mine, ...wanted.words.map((word) => oneOf(datasetPaths, 'creationTime', word))] }
      const { rows, total } = await pageOf(datasets, where, wanted, signal)
      return { ...readDatasetRows(proposal, rows.map(datasetRow)), total }
    },
    async datasetsByIds(seer, proposal, ids, signal) {
      const rows = await byIdsOf(datasets, await datasetsIn(seer, proposal, options, signal), ids, signal)
      return readDatasetRows(proposal, rows.map(datasetRow))
    },
  }
}

/** A list of SciCat's, and what is its own of it. */
interface Collection {
  readonly path: string
  /** The parameter that carries where and limits. */
  readonly filter: string
  readonly id: string
  readonly order: string
}

const proposals: Collection = { path: 'proposals', filter: 'filters', id: 'proposalId', order: 'startTime:desc' }
const datasets: Collection = { path: 'datasets', filter: 'filter', id: 'pid', order: 'creationTime:desc' }
const datasetPaths = ['pid', 'datasetName', 'description', 'sourceFolder'] as const

type AskAuthorised = (about: string, path: string, query: Where, signal: AbortSignal) => Promise<Answer>

/** With the reader's token: one login for all questions, and another when the token does not count any more. */
function createAuthorised({ url, reader, ask, now }: ScicatOptions): AskAuthorised {
  const base = url.replace(/\/+$/, '')

  async function logIn(): Promise<Session> {
    const about = 'POST /auth/login'
    const body = JSON.stringify({ username: reader.username, password: await secretOf(reader.passwordFile) })
    const question = { about, url: new URL(`${base}/auth/login`), method: 'POST', headers: json, body } as const
    // Not the signal of whoever asked first: others wait for the same login.
    const { status, value } = await ask(question, new AbortController().signal)
    const read = loginSchema.safeParse(value)
    if (status >= 300 || !read.success) throw unreachable(`${about}: the reader is refused (${status})`)
    const { access_token, expires_in } = read.data
    const forMs = expires_in === undefined || expires_in <= 0 ? usualTokenMs : expires_in * 1_000
    return { value: access_token, endsAt: now().getTime() + forMs - marginMs }
  }

  const sessions = createSessions(logIn, now)
  return async (about, path, query, signal) => {
    const address = new URL(base + path)
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, JSON.stringify(value))
    for (let again = false; ; again = true) {
      const session = await sessions.get()
      const headers = { authorization: `Bearer ${session.value}` }
      const answer = await ask({ about, url: address, headers }, signal)
      if (answer.status !== 401) return answer
      if (again) throw unreachable(`${about}: a fresh token of the reader is refused`)
      sessions.forget(session)
    }
  }
}

const json = { 'content-type': 'application/json' }

/** Undefined: nothing can be this person's. */
async function visible(seer: Seer, options: ScicatOptions, signal: AbortSignal): Promise<Where | undefined> {
  const own = await membership(seer, options, signal)
  const { instruments } = seer
  if (instruments.length === 0) return own
  const theirs = instrumentPaths(options).map((path) => ({ [path]: { $in: instruments } }))
  return { $or: [...(own === undefined ? [] : [own]), ...theirs] }
}

async function membership(
  { user }: Seer,
  { groupsOf }: ScicatOptions,
  signal: AbortSignal,
): Promise<Where | undefined> {
  const groups = [...new Set(await groupsOf(user, signal))].slice(0, mostGroups)
  if (groups.length === 0) return undefined
  return { $or: [{ ownerGroup: { $in: groups } }, { accessGroups: { $in: groups } }] }
}

/** A dataset may be closed to some of its proposal's members; who looks after an instrument has all of them. */
async function datasetsIn(seer: Seer, proposal: string, options: ScicatOptions, signal: AbortSignal): Promise<Where> {
  const inProposal = { $or: [{ proposalId: proposal }, { proposalIds: proposal }] }
  const own = seer.instruments.length > 0 ? undefined : await membership(seer, options, signal)
  return own === undefined ? inProposal : { $and: [inProposal, own] }
}

function oneOf(paths: readonly string[], date: string, word: string): Where {
  const pattern = word.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)
  const texts = paths.map((path) => ({ [path]: { $regex: pattern, $options: 'i' } }))
  const span = spanOf(word)
  if (span === undefined) return { $or: texts }
  return { $or: [...texts, { [date]: { $gte: span.from.toISOString(), $lt: span.until.toISOString() } }] }
}

/** Where it is by SciCat's own schema, unless the facility keeps it elsewhere. */
function instrumentPaths({ instrument }: ScicatOptions): readonly string[] {
  return instrument === undefined ? ['MeasurementPeriodList.instrument', 'instrumentIds'] : [instrument]
}

function rowOf(row: unknown, options: ScicatOptions): Row {
  const at = (path: string): unknown => valueAt(row, path)
  const fields = Object.entries(options.fields).map(([name, path]) => [name, at(path)])
  return {
    id: at('proposalId'),
    title: at('title'),
    instrument: instrumentPaths(options)
      .map(at)
      .find((found) => found !== undefined && found !== null),
    technique: options.technique === undefined ? undefined : at(options.technique),
    startsAt: at('startTime'),
    endsAt: at('endTime'),
    fields: Object.fromEntries(fields) as Record<string, unknown>,
  }
}

/** Of a list its first; of SciCat's `{ value, unit }` the value. */
function valueAt(value: unknown, path: string): unknown {
  let found = value
  for (const name of path.split('.')) {
    if (Array.isArray(found)) found = (found as unknown[])[0]
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    found = (found as Record<string, unknown>)[name]
  }
  if (Array.isArray(found)) found = (found as unknown[])[0]
  return typeof found === 'object' && found !== null && 'value' in found ? found.value : found
}

const lifecycleSchema = z.object({
  datasetlifecycle: z.object({ isOnCentralDisk: z.boolean().optional(), archiveStatusMessage: z.string().optional() }),
})

/** On an archive's disk or tape alone: what is on the central disk as well can be used as it is. */
function isArchived(row: unknown): boolean {
  const read = lifecycleSchema.safeParse(row)
  if (!read.success) return false
  const { isOnCentralDisk, archiveStatusMessage } = read.data.datasetlifecycle
  return isOnCentralDisk === undefined ? archiveStatusMessage === 'datasetOnArchiveDisk' : !isOnCentralDisk
}

function datasetRow(row: unknown): DatasetRow {
  const at = (path: string): unknown => valueAt(row, path)
  return {
    id: at('pid'),
    name: at('datasetName') ?? at('description') ?? at('pid'),
    folder: at('sourceFolder'),
    sizeBytes: at('size'),
    files: at('numberOfFiles'),
    technique: at('techniques.name'),
    startsAt: at('creationTime'),
    endsAt: at('endTime'),
    archived: isArchived(row),
  }
}
