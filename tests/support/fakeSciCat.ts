/**
 * SciCat 4.5 as documented, as far as proposals and datasets are read: login, lists with `filters` (proposals) and
 * `filter` (datasets), fullquery, count. Paths in any case, as its clients write them. Held against pyscicat.
 */
import { randomBytes } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import { type FakeAnswer, type FakeRequest, type FakeService, fakeService } from './fakeService.ts'

type Document = Record<string, unknown>

export interface FakeSciCat extends FakeService {
  readonly proposals: Document[]
  readonly datasets: Document[]
  /** Makes every token worthless. */
  forgetTokens(): void
}

export interface FakeSciCatOptions {
  readonly accounts: Readonly<Record<string, Readonly<{ password: string; groups: readonly string[] | 'all' }>>>
  /** Before 4.8 there was none. */
  readonly counts?: boolean
}

const prefix = '/api/v3'

export async function fakeSciCat(
  t: ExecutionContext,
  { accounts, counts = true }: FakeSciCatOptions,
): Promise<FakeSciCat> {
  const proposals: Document[] = []
  const datasets: Document[] = []
  const tokens = new Map<string, readonly string[] | 'all'>()

  function logIn({ body }: FakeRequest): FakeAnswer {
    const { username = '', password } = JSON.parse(body) as { username?: string; password?: string }
    const account = Object.hasOwn(accounts, username) ? accounts[username] : undefined
    if (account === undefined || account.password !== password) return failed(401, 'Unauthorized')
    const token = `eyJ.${randomBytes(12).toString('hex')}.sig`
    tokens.set(token, account.groups)
    const user = { id: '1', username, email: `${username}@example.org`, authStrategy: 'local' }
    const created = new Date().toISOString()
    return {
      status: 201,
      body: { access_token: token, id: token, expires_in: 3600, ttl: 3600, created, userId: '1', user },
    }
  }

  function answer(request: FakeRequest): FakeAnswer {
    const { method, url, authorization } = request
    const [collection = '', ...rest] = url.pathname
      .slice(prefix.length + 1)
      .split('/')
      .map(decodeURIComponent)
    const path = [collection.toLowerCase(), ...rest]
    if (!url.pathname.startsWith(`${prefix}/`)) return failed(404, `Cannot ${method} ${url.pathname}`)
    if (method === 'POST' && path.join('/') === 'auth/login') return logIn(request)
    const groups = tokens.get(authorization?.replace(/^Bearer /, '') ?? '')
    if (groups === undefined) return failed(401, 'Unauthorized')
    const mine = (all: readonly Document[]) => all.filter((each) => groups === 'all' || belongs(each, groups))
    if (method === 'POST' && path[0] === 'proposals') {
      const made = { accessGroups: [], ...(JSON.parse(request.body) as Document) }
      proposals.push(made)
      return { status: 201, body: made }
    }
    if (method !== 'GET') return failed(404, `Cannot ${method} ${url.pathname}`)
    switch (path[0]) {
      case 'proposals':
        return proposalsAnswer(path.slice(1), url, mine(proposals), mine(datasets))
      case 'datasets':
        return datasetsAnswer(path.slice(1), url, mine(datasets))
      case undefined:
      default:
        return failed(404, `Cannot GET ${url.pathname}`)
    }
  }

  function proposalsAnswer(
    [id, of]: readonly string[],
    { searchParams }: URL,
    mine: readonly Document[],
    data: readonly Document[],
  ): FakeAnswer {
    if (id === undefined) return { body: listed(mine, searchParams.get('filters')) }
    if (id === 'count' && counts) {
      return { body: { count: mine.filter((each) => fits(each, parsed(searchParams.get('filter')))).length } }
    }
    const found = mine.find(({ proposalId }) => proposalId === id)
    if (found === undefined) return failed(404, `Proposal: ${id} not found`)
    return { body: of === 'datasets' ? data.filter((each) => each['proposalId'] === id) : found }
  }

  function datasetsAnswer([pid]: readonly string[], { searchParams }: URL, mine: readonly Document[]): FakeAnswer {
    if (pid === undefined) return { body: listed(mine, searchParams.get('filter')) }
    if (pid === 'count' && counts) {
      return { body: { count: mine.filter((each) => fits(each, parsed(searchParams.get('filter')))).length } }
    }
    if (pid === 'fullquery') {
      const filter = { where: parsed(searchParams.get('fields')), limits: parsed(searchParams.get('limits')) }
      return { body: listed(mine, JSON.stringify(filter)) }
    }
    const found = mine.find((each) => each['pid'] === pid)
    return found === undefined ? failed(404, `Dataset: ${pid} not found`) : { body: found }
  }

  const service = await fakeService(t, answer)
  return Object.assign(service, {
    url: service.url + prefix,
    proposals,
    datasets,
    forgetTokens: () => tokens.clear(),
  })
}

function failed(statusCode: number, message: string): FakeAnswer {
  return { status: statusCode, body: { statusCode, message } }
}

function belongs({ ownerGroup, accessGroups }: Document, groups: readonly string[]): boolean {
  return [ownerGroup, ...(Array.isArray(accessGroups) ? accessGroups : [])].some((each) =>
    groups.includes(String(each)),
  )
}

function parsed(text: string | null): Document {
  return JSON.parse(text ?? '{}') as Document
}

function listed(documents: readonly Document[], filter: string | null): Document[] {
  const { where = {}, limits = {} } = parsed(filter) as { where?: Document; limits?: Record<string, unknown> }
  const { limit = 100, skip = 0, order } = limits as { limit?: number; skip?: number; order?: string }
  const [by = '', direction] = order?.split(':') ?? []
  const sign = direction === 'desc' ? -1 : 1
  const text = (each: Document) => JSON.stringify(each[by] ?? '')
  return documents
    .filter((each) => fits(each, where))
    .toSorted((a, b) => sign * (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0))
    .slice(skip, skip + limit)
}

/** As much of MongoDB's language as anybody here uses; anything else is an error, so that no test trusts it. */
function fits(document: Document, where: Document): boolean {
  return Object.entries(where).every(([key, wanted]) => {
    if (key === '$and') return (wanted as Document[]).every((each) => fits(document, each))
    if (key === '$or') return (wanted as Document[]).some((each) => fits(document, each))
    if (key.startsWith('$')) throw new Error(`the fake does not know ${key}`)
    const values = valuesAt(document, key.split('.'))
    return values.some((value) => matches(value, wanted))
  })
}

function matches(value: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return value === wanted
  const { $in, $regex, $options, $gte, $lt, ...more } = wanted as Readonly<
    Partial<Record<'$regex' | '$options' | '$gte' | '$lt', string>> & { $in?: unknown }
  >
  if (Object.keys(more).length > 0) throw new Error(`the fake does not know ${Object.keys(more).join()}`)
  if (Array.isArray($in)) return $in.includes(value)
  if ($gte !== undefined && $lt !== undefined)
    return typeof value === 'string' && isBetween(new Date(value), new Date($gte), new Date($lt))
  return typeof value === 'string' && new RegExp($regex ?? '', $options).test(value)
}

function isBetween(at: Date, from: Date, until: Date): boolean {
  return at >= from && at < until
}

function valuesAt(value: unknown, [name, ...rest]: readonly string[]): readonly unknown[] {
  if (Array.isArray(value)) return value.flatMap((each) => valuesAt(each, name === undefined ? [] : [name, ...rest]))
  if (name === undefined) return [value]
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return []
  return valuesAt((value as Document)[name], rest)
}
