/**
 * ICAT's REST interface (icat.server 6). Where ICAT trusts the login's provider it is asked with the person's own token,
 * and its rules say what they see; else a reader of the hub's own asks, filtered by the name that the person's account
 * has in ICAT. Either way nobody logs in twice.
 */
import { z } from 'zod'
import { Problem } from '../domain/problem.ts'
import type { User } from '../domain/services.ts'
import { type Ask, unreachable } from './ask.ts'
import { type DatasetRow, readDatasetRows } from './dataset-rows.ts'
import { secretOf } from './http.ts'
import {
  datasetTexts,
  type IcatNames,
  idLiteral,
  investigationTexts,
  isHopeless,
  membership,
  nameLiteral,
  numberLiteral,
  oneOf,
  techniquesText,
  techniqueWord,
  type Texts,
} from './icat-query.ts'
import { createQuery, type Query } from './icat-session.ts'
import { type PageWanted, pageTotal, type Seer, type Source } from './remote.ts'
import { readRows, type Row } from './rows.ts'

/** The person's own token of a login provider, good for a while yet. `fresh`: the one before was refused. */
export type OwnToken = (
  user: User,
  provider: string,
  options: { fresh: boolean },
  signal: AbortSignal,
) => Promise<string | undefined>

export interface IcatOptions extends IcatNames {
  /** With /icat. */
  readonly url: string
  readonly reader?: Readonly<{ plugin: string; username: string; passwordFile: string }> | undefined
  /** Whose tokens ICAT takes, and by which of its authenticators. */
  readonly own?: Readonly<{ provider: string; plugin: string }> | undefined
  readonly ownToken: OwnToken
  /** The user's name in ICAT, with {user} for the one in the hub. */
  readonly user: string
  readonly ask: Ask
  readonly now: () => Date
}

const rowsSchema = z.array(z.unknown())
const countSchema = z.tuple([z.int().min(0)])
const idsAtOnce = 50
const tokenDeadlineMs = 10_000
/** Sessions of people's own; the oldest is forgotten first. */
const mostSessions = 2_000

/** Who asks, and under which name in ICAT (a literal of JPQL). */
interface Asker {
  readonly query: Query
  readonly me: string | undefined
}

export function createIcatSource(options: IcatOptions): Source {
  const askerOf = createAskers(options)
  const [investigations, searched] = [investigationTexts(options, false), investigationTexts(options, true)]
  const theirDatasets = datasetTexts(options)
  const [idPath, ofDataset] =
    options.proposalId === 'id' ? ['i.id', 'ds.investigation.id'] : ['i.name', 'ds.investigation.name']

  async function find(query: Query, text: string, signal: AbortSignal): Promise<unknown[]> {
    const rows = rowsSchema.safeParse(await query(text, signal))
    if (!rows.success) throw unreachable('GET /entityManager: the answer is no list')
    return rows.data
  }

  async function count(query: Query, text: string, signal: AbortSignal): Promise<number> {
    const counted = countSchema.safeParse(await query(text, signal))
    if (!counted.success) throw unreachable('GET /entityManager: the answer is no count')
    return counted.data[0]
  }

  async function pageOf(texts: Texts, query: Query, where: string, wanted: PageWanted, signal: AbortSignal) {
    const { offset, limit } = wanted
    const rows = await find(query, texts.find(where, offset, limit + 1), signal)
    const counted = () => count(query, texts.count(where), signal)
    return { rows: rows.slice(0, limit), total: await pageTotal({ offset, limit, rows: rows.length }, counted) }
  }

  async function inTurns(literals: readonly string[], ask: (asked: string, limit: number) => Promise<unknown[]>) {
    const rows: unknown[] = []
    for (let first = 0; first < literals.length; first += idsAtOnce) {
      const asked = literals.slice(first, first + idsAtOnce)
      // Twice as many: a second one with the same name is seen.
      rows.push(...(await ask(asked.join(', '), asked.length * 2)))
    }
    return rows
  }

  /** With their techniques, in one question for all. */
  async function rowsOf(query: Query, rows: readonly unknown[], signal: AbortSignal): Promise<readonly Row[]> {
    const read = rows.map((row) => investigationSchema.safeParse(row).data?.Investigation)
    const ids = read.flatMap((each) => (typeof each?.id === 'number' && Number.isSafeInteger(each.id) ? [each.id] : []))
    const techniques = new Map<number, string[]>()
    for (let first = 0; first < ids.length; first += idsAtOnce) {
      const text = techniquesText(options, ids.slice(first, first + idsAtOnce))
      if (text === undefined) break
      for (const found of await find(query, text, signal)) {
        const pair = techniqueSchema.safeParse(found)
        if (pair.success) techniques.set(pair.data[0], [...(techniques.get(pair.data[0]) ?? []), pair.data[1]])
      }
    }
    return read.map((each) => rowOf(each, options, techniques))
  }

  return {
    async page(seer, wanted, signal) {
      const { query, me } = await askerOf(seer, signal)
      const mine = membership(me, seer.instruments, options)
      if (mine === undefined || wanted.words.some(isHopeless)) return { ...readRows([]), total: 0 }
      const words = wanted.words.map((word) =>
        oneOf(word, investigationPaths, 'i.startDate', techniqueWord(word, options)),
      )
      const texts = words.length === 0 ? investigations : searched
      const { rows, total } = await pageOf(texts, query, [mine, ...words].join(' AND '), wanted, signal)
      return { ...readRows(await rowsOf(query, rows, signal)), total }
    },
    async byIds(seer, ids, signal) {
      const askable = ids.flatMap((id) => idLiteral(id, options))
      if (askable.length === 0) return readRows([])
      const { query, me } = await askerOf(seer, signal)
      const mine = membership(me, seer.instruments, options)
      if (mine === undefined) return readRows([])
      const rows = await inTurns(askable, (asked, limit) =>
        find(query, investigations.find(`${mine} AND ${idPath} IN (${asked})`, 0, limit), signal),
      )
      return readRows(await rowsOf(query, rows, signal))
    },
    async datasets(seer, proposal, wanted, signal) {
      const { query } = await askerOf(seer, signal)
      const [id] = idLiteral(proposal, options)
      if (id === undefined || wanted.words.some(isHopeless)) return { ...readDatasetRows(proposal, []), total: 0 }
      const words = wanted.words.map((word) => oneOf(word, ['ds.name', 'ds.location'], 'ds.startDate'))
      const where = [`${ofDataset} = ${id}`, ...words].join(' AND ')
      const { rows, total } = await pageOf(theirDatasets, query, where, wanted, signal)
      return { ...readDatasetRows(proposal, rows.map(datasetRow)), total }
    },
    async datasetsByIds(seer, proposal, ids, signal) {
      const { query } = await askerOf(seer, signal)
      const [id] = idLiteral(proposal, options)
      if (id === undefined) return readDatasetRows(proposal, [])
      const rows = await inTurns(ids.flatMap(numberLiteral), (asked, limit) =>
        find(query, theirDatasets.find(`${ofDataset} = ${id} AND ds.id IN (${asked})`, 0, limit), signal),
      )
      return readDatasetRows(proposal, rows.map(datasetRow))
    },
  }
}

const investigationPaths = ['i.name', 'i.title', 'i.visitId', 'n.name']

function createAskers(options: IcatOptions): (seer: Seer, signal: AbortSignal) => Promise<Asker> {
  const { url, reader, own, ownToken, ask, now } = options
  const ownQueries = new Map<string, Query>()
  const readers =
    reader &&
    createQuery(url, ask, now, {
      plugin: reader.plugin,
      who: 'the reader',
      credentials: async () => [
        { name: 'username', value: reader.username },
        { name: 'password', value: await secretOf(reader.passwordFile) },
      ],
    })

  function ownQuery(user: User, provider: string, plugin: string): Query {
    const known = ownQueries.get(user.id)
    if (known !== undefined) return known
    const query = createQuery(url, ask, now, {
      plugin,
      who: `the token of ${user.name}`,
      async credentials(fresh) {
        const token = await ownToken(user, provider, { fresh }, AbortSignal.timeout(tokenDeadlineMs))
        if (token === undefined) throw noToken()
        return [{ name: 'token', value: token }]
      },
    })
    ownQueries.set(user.id, query)
    for (const oldest of ownQueries.keys()) {
      if (ownQueries.size <= mostSessions) break
      ownQueries.delete(oldest)
    }
    return query
  }

  return async ({ user }, signal) => {
    // Each time: whose login is over has no session of their own any more.
    const token = own && (await ownToken(user, own.provider, { fresh: false }, signal))
    if (own !== undefined && token !== undefined) {
      // ICAT itself puts the name of the session's user there.
      return { query: ownQuery(user, own.provider, own.plugin), me: ':user' }
    }
    ownQueries.delete(user.id)
    if (readers === undefined) throw noToken()
    return { query: readers, me: nameLiteral(options.user.replaceAll('{user}', () => user.name)) }
  }
}

function noToken(): Problem {
  return new Problem(
    'launchRefused',
    "The catalogue of proposals knows you by your login at the facility, and there is none just now. Log out, and log in with the facility's account.",
    { field: 'proposals' },
  )
}

const investigationSchema = z.object({
  Investigation: z.object({
    id: z.unknown().optional(),
    name: z.unknown().optional(),
    visitId: z.unknown().optional(),
    title: z.unknown().optional(),
    startDate: z.unknown().optional(),
    endDate: z.unknown().optional(),
    investigationInstruments: z.array(z.unknown()).optional(),
  }),
})
const instrumentSchema = z.object({ instrument: z.object({ name: z.unknown().optional() }) })

const techniqueSchema = z.tuple([z.int(), z.string()])

type Investigation = z.output<typeof investigationSchema>['Investigation']

function rowOf(
  row: Investigation | undefined,
  { proposalId }: IcatNames,
  techniques: ReadonlyMap<unknown, readonly string[]>,
): Row {
  if (row === undefined) return { id: undefined, title: undefined }
  const { id, name, visitId, title, startDate, endDate, investigationInstruments = [] } = row
  const [instrument] = investigationInstruments.flatMap((each) => {
    const found = instrumentSchema.safeParse(each)
    return found.success ? [found.data.instrument.name] : []
  })
  return {
    id: proposalId === 'name' ? name : typeof id === 'number' ? String(id) : undefined,
    title,
    instrument,
    technique: inOrder(techniques.get(id)),
    startsAt: startDate,
    endsAt: endDate,
    fields: { name, visit: visitId, session: visitId },
  }
}

/** Several as one text, as rules read it. */
function inOrder(techniques: readonly string[] = []): string | undefined {
  return techniques.length === 0 ? undefined : [...new Set(techniques)].toSorted().join('; ')
}

const datasetSchema = z.object({
  Dataset: z.object({
    id: z.int(),
    name: z.unknown().optional(),
    location: z.unknown().optional(),
    startDate: z.unknown().optional(),
    endDate: z.unknown().optional(),
    fileSize: z.unknown().optional(),
    fileCount: z.unknown().optional(),
    datasetTechniques: z.array(z.unknown()).optional(),
  }),
})
const ofDatasetSchema = z.object({ technique: z.object({ name: z.string() }) })

function datasetRow(row: unknown): DatasetRow {
  const read = datasetSchema.safeParse(row)
  if (!read.success) return { id: undefined, name: undefined }
  const { id, name, location, startDate, endDate, fileSize, fileCount, datasetTechniques = [] } = read.data.Dataset
  return {
    id: String(id),
    name,
    folder: location,
    technique: inOrder(datasetTechniques.flatMap((each) => ofDatasetSchema.safeParse(each).data?.technique.name ?? [])),
    sizeBytes: fileSize,
    files: fileCount,
    startsAt: startDate,
    endsAt: endDate,
  }
}
