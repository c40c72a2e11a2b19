/**
 * ICAT's REST interface (icat.server 6). A reader of the hub's own asks, filtered by the name that the person's account
 * has in ICAT: nobody logs in twice. A query is a text without bind parameters, so nothing gets into one that is not
 * checked character by character here. The session travels in addresses: none is ever said or logged.
 */
import { z } from 'zod'
import { proposalIdPattern } from '../domain/proposal-id.ts'
import type { User } from '../domain/services.ts'
import { type Ask, unreachable } from './ask.ts'
import { secretOf } from './http.ts'
import { pageTotal, type Source } from './remote.ts'
import { readRows, type Row } from './rows.ts'
import { createSessions, type Session } from './session.ts'

export interface IcatOptions {
  /** With /icat. */
  readonly url: string
  readonly reader: Readonly<{ plugin: string; username: string; passwordFile: string }>
  /** The user's name in ICAT, with {user} for the one in the hub. */
  readonly user: string
  /** What of an investigation is the proposal's id. */
  readonly proposalId: 'name' | 'id'
  /** Whether scientists of an instrument have its investigations. */
  readonly instrumentScientists: boolean
  readonly ask: Ask
  readonly now: () => Date
}

const sessionSchema = z.object({ sessionId: z.string().min(1).max(512) })
const errorSchema = z.object({ code: z.string().regex(/^[A-Z_]{1,40}$/) })
const rowsSchema = z.array(z.unknown())
const countSchema = z.tuple([z.int().min(0)])
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
/** ICAT says when one ends (two hours after its last use, usually) by refusing it. */
const sessionMs = 24 * 3_600_000
const idsAtOnce = 50

export function createIcatSource(options: IcatOptions): Source {
  const query = createQuery(options)
  const idPath = options.proposalId === 'id' ? 'i.id' : 'i.name'

  async function find(where: string, from: number, limit: number, signal: AbortSignal): Promise<readonly Row[]> {
    const text = `SELECT DISTINCT i FROM ${joins(options)} WHERE ${where} ORDER BY i.startDate DESC, i.id DESC INCLUDE i.investigationInstruments.instrument LIMIT ${from}, ${limit}`
    const rows = rowsSchema.safeParse(await query(text, signal))
    if (!rows.success) throw unreachable('GET /entityManager: the answer is no list')
    return rows.data.map((row) => rowOf(row, options))
  }

  async function count(where: string, signal: AbortSignal): Promise<number> {
    const text = `SELECT COUNT(DISTINCT i) FROM ${joins(options)} WHERE ${where}`
    const counted = countSchema.safeParse(await query(text, signal))
    if (!counted.success) throw unreachable('GET /entityManager: the answer is no count')
    return counted.data[0]
  }

  return {
    async page(user, { words, offset, limit }, signal) {
      const mine = membership(user, options)
      // A word of which nothing can be asked for would find everything.
      const isHopeless = words.some((word) => /^_*$/.test(patternOf(word)))
      if (mine === undefined || isHopeless) return { ...readRows([]), total: 0 }
      const where = [mine, ...words.map(oneOf)].join(' AND ')
      const rows = await find(where, offset, limit + 1, signal)
      const total = await pageTotal({ offset, limit, rows: rows.length }, () => count(where, signal))
      return { ...readRows(rows.slice(0, limit)), total }
    },
    async byIds(user, ids, signal) {
      const mine = membership(user, options)
      const askable = ids.flatMap((id) => idLiteral(id, options))
      if (mine === undefined) return readRows([])
      const rows: Row[] = []
      for (let first = 0; first < askable.length; first += idsAtOnce) {
        const asked = askable.slice(first, first + idsAtOnce)
        // Twice as many: a second one with the same name is seen.
        rows.push(...(await find(`${mine} AND ${idPath} IN (${asked.join(', ')})`, 0, asked.length * 2, signal)))
      }
      return readRows(rows)
    },
  }
}

/** Answers the value of a query, with the reader's session. */
function createQuery({ url, reader, ask, now }: IcatOptions): (text: string, signal: AbortSignal) => Promise<unknown> {
  const base = url.replace(/\/+$/, '')

  async function logIn(): Promise<Session> {
    const about = 'POST /session'
    const credentials = [{ username: reader.username }, { password: await secretOf(reader.passwordFile) }]
    const body = new URLSearchParams({ json: JSON.stringify({ plugin: reader.plugin, credentials }) }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const question = { about, url: new URL(`${base}/session`), method: 'POST', headers, body } as const
    // Not the signal of whoever asked first: others wait for the same login.
    const { status, value } = await ask(question, new AbortController().signal)
    const read = sessionSchema.safeParse(value)
    if (status >= 300 || !read.success) throw unreachable(`${about}: the reader is refused (${status})`)
    return { value: read.data.sessionId, endsAt: now().getTime() + sessionMs }
  }

  const sessions = createSessions(logIn, now)
  return async (text, signal) => {
    const about = 'GET /entityManager'
    for (let again = false; ; again = true) {
      const session = await sessions.get()
      const address = new URL(`${base}/entityManager`)
      address.searchParams.set('sessionId', session.value)
      address.searchParams.set('query', text)
      const { status, value } = await ask({ about, url: address }, signal)
      if (status === 200) return value
      // Its message may repeat the query or the session; its code is one of few words.
      const error = errorSchema.safeParse(value)
      const code = error.success ? error.data.code : ''
      if (code !== 'SESSION' || again) throw unreachable(`${about}: answered ${status} ${code}`)
      sessions.forget(session)
    }
  }
}

function joins({ instrumentScientists }: IcatOptions): string {
  return [
    'Investigation i',
    'LEFT JOIN i.investigationUsers AS iu LEFT JOIN iu.user AS u',
    'LEFT JOIN i.investigationInstruments AS ii LEFT JOIN ii.instrument AS n',
    ...(instrumentScientists ? ['LEFT JOIN n.instrumentScientists AS s LEFT JOIN s.user AS su'] : []),
  ].join(' ')
}

/** Undefined: nobody can have this name in ICAT, so nothing is theirs. */
function membership({ name }: User, { user, instrumentScientists }: IcatOptions): string | undefined {
  const full = user.replaceAll('{user}', () => name)
  if (!/^[A-Za-z0-9][A-Za-z0-9._@/-]{0,254}$/.test(full)) return undefined
  return instrumentScientists ? `(u.name = '${full}' OR su.name = '${full}')` : `u.name = '${full}'`
}

/** None: no investigation can have it. */
function idLiteral(id: string, { proposalId }: IcatOptions): readonly string[] {
  if (proposalId === 'id') return /^[1-9]\d{0,17}$/.test(id) ? [id] : []
  return proposalIdPattern.test(id) ? [`'${id}'`] : []
}

/** What is neither letter nor digit nor harmless stands for any one character, as _ does in LIKE. */
function patternOf(word: string): string {
  return word.replaceAll(/[^\p{L}\p{N}. +@/()-]/gu, '_')
}

function oneOf(word: string): string {
  const pattern = `'%${patternOf(word)}%'`
  const paths = ['i.name', 'i.title', 'i.visitId', 'n.name']
  return `(${paths.map((path) => `LOWER(${path}) LIKE ${pattern}`).join(' OR ')})`
}

function rowOf(row: unknown, { proposalId }: IcatOptions): Row {
  const read = investigationSchema.safeParse(row)
  if (!read.success) return { id: undefined, title: undefined }
  const { id, name, visitId, title, startDate, endDate, investigationInstruments = [] } = read.data.Investigation
  const [instrument] = investigationInstruments.flatMap((each) => {
    const found = instrumentSchema.safeParse(each)
    return found.success ? [found.data.instrument.name] : []
  })
  return {
    id: proposalId === 'name' ? name : typeof id === 'number' ? String(id) : undefined,
    title,
    instrument,
    startsAt: startDate,
    endsAt: endDate,
    fields: { name, visit: visitId, session: visitId },
  }
}
