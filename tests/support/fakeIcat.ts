/**
 * icat.server's REST interface as documented, as far as investigations are read: sessions, and as much of its JPQL as
 * is asked here. It reads a query as a language, so that a quote which is not escaped changes what it means.
 */
import { randomUUID } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import { type FakeAnswer, type FakeRequest, type FakeService, fakeService } from './fakeService.ts'

interface FakeInvestigation {
  readonly id: number
  readonly name: unknown
  readonly visitId: string
  readonly title?: unknown
  readonly startDate?: unknown
  readonly endDate?: unknown
  readonly investigationUsers: readonly Readonly<{ user: { name: string } }>[]
  readonly investigationInstruments: readonly Readonly<{ instrument: object }>[]
  readonly parameters?: readonly Readonly<{ type: { name: string }; stringValue: string }>[]
}

export interface FakeIcat extends FakeService {
  readonly investigations: FakeInvestigation[]
  readonly datasets: Readonly<Record<string, unknown>>[]
  /** Tokens of a trusted login provider, each with the name of its user in ICAT. */
  readonly tokens: Map<string, string>
  forgetSessions(): void
}

export interface FakeIcatOptions {
  readonly plugin: string
  readonly username: string
  readonly password: string
}

export async function fakeIcat(t: ExecutionContext, reader: FakeIcatOptions): Promise<FakeIcat> {
  const investigations: FakeInvestigation[] = []
  const datasets: FakeIcat['datasets'] = []
  const tokens: FakeIcat['tokens'] = new Map()
  /** With the name of each one's user in ICAT. */
  const sessions = new Map<string, string>()

  function logIn({ body }: FakeRequest): FakeAnswer {
    const { plugin, credentials } = JSON.parse(new URLSearchParams(body).get('json') ?? '{}') as {
      plugin: string
      credentials: object[]
    }
    const { username, password, token } = Object.assign({}, ...credentials) as Partial<
      Record<'username' | 'password' | 'token', string>
    >
    const tokenUser = plugin === 'oidc' ? tokens.get(token ?? '') : undefined
    if (tokenUser !== undefined) return started(tokenUser)
    if (plugin !== reader.plugin || username !== reader.username || password !== reader.password) {
      return failed(403, 'SESSION', 'The username and password do not match')
    }
    return started(`${plugin}/${username}`)
  }

  function started(user: string): FakeAnswer {
    const sessionId = `icat-session-${randomUUID()}`
    sessions.set(sessionId, user)
    return { body: { sessionId } }
  }

  const service = await fakeService(t, (request) => {
    const { method, url } = request
    if (method === 'POST' && url.pathname === '/icat/session') return logIn(request)
    if (method !== 'GET' || url.pathname !== '/icat/entityManager') return failed(404, 'NOT_IMPLEMENTED', 'no')
    const sessionId = url.searchParams.get('sessionId') ?? ''
    const user = sessions.get(sessionId)
    if (user === undefined) return failed(403, 'SESSION', `Unable to find user by sessionid: ${sessionId}`)
    const text = (url.searchParams.get('query') ?? '').replaceAll(':user', `'${user}'`)
    try {
      return { body: answerOf(text, investigations, datasets) }
    } catch (error) {
      return failed(400, 'BAD_PARAMETER', `${String(error)} in ${text}`)
    }
  })
  return Object.assign(service, {
    url: `${service.url}/icat`,
    investigations,
    datasets,
    tokens,
    forgetSessions: () => sessions.clear(),
  })
}

function failed(status: number, code: string, message: string): FakeAnswer {
  return { status, body: { code, message } }
}

const shape =
  /^SELECT (DISTINCT i|COUNT\(DISTINCT i\)) FROM Investigation i((?: LEFT JOIN [\w.]+ AS \w+)*) WHERE (.*?)(?: ORDER BY i\.startDate DESC, i\.id DESC)?(?: INCLUDE i\.investigationInstruments\.instrument)?(?: LIMIT (\d+), (\d+))?$/

const datasetShape =
  /^SELECT (ds|COUNT\(ds\)) FROM Dataset ds WHERE (.*?)(?: ORDER BY ds\.startDate DESC, ds\.id DESC)?( INCLUDE ds\.datasetTechniques\.technique)?(?: LIMIT (\d+), (\d+))?$/

const techniquesShape =
  /^SELECT DISTINCT i\.id, ([\w.]+) FROM Investigation i((?: JOIN [\w.]+ AS \w+)+) WHERE (.*?) LIMIT (\d+), (\d+)$/

const aliasesOf = (joins: string) => [...joins.matchAll(/JOIN (\w+)\.(\w+) AS (\w+)/g)]

function answerOf(
  text: string,
  investigations: readonly FakeInvestigation[],
  datasets: readonly Readonly<Record<string, unknown>>[],
): unknown {
  const withDatasets = (each: FakeInvestigation): Bound => ({
    ...each,
    datasets: datasets.filter(({ investigation }) => investigation === each),
  })
  const [, column, inner = '', wherePair = '', start = '0', rows = '0'] = techniquesShape.exec(text) ?? []
  if (column !== undefined) {
    const tokens = tokensOf(wherePair)
    const test = condition(tokens)
    if (tokens.length > 0) throw new Error(`unexpected ${tokens.join(' ')}`)
    const bound = investigations.flatMap((each) => combinations({ i: withDatasets(each) }, aliasesOf(inner)))
    const pairs = bound.flatMap((each) => {
      const value = valueOf(each, column)
      return value !== undefined && test(each) ? [JSON.stringify([valueOf(each, 'i.id'), value])] : []
    })
    return [...new Set(pairs)]
      .slice(Number(start), Number(start) + Number(rows))
      .map((pair) => JSON.parse(pair) as unknown)
  }
  const [, what, whereDataset = '', included, first = '0', most = '10000'] = datasetShape.exec(text) ?? []
  if (what !== undefined) {
    const tokens = tokensOf(whereDataset)
    const test = condition(tokens)
    if (tokens.length > 0) throw new Error(`unexpected ${tokens.join(' ')}`)
    const found = datasets.filter((each) => test({ ds: each }))
    if (what !== 'ds') return [found.length]
    return found
      .toSorted((a, b) => (String(a['startDate']) < String(b['startDate']) ? 1 : -1))
      .slice(Number(first), Number(first) + Number(most))
      .map(({ investigation: _notIncluded, datasetTechniques = [], ...rest }) => ({
        Dataset: { ...rest, ...(included === undefined ? {} : { datasetTechniques }) },
      }))
  }
  const [, select, joins = '', where = '', from = '0', limit = '10000'] = shape.exec(text) ?? []
  if (select === undefined) throw new Error('unexpected query')
  const tokens = tokensOf(where)
  const aliases = aliasesOf(joins)
  const test = condition(tokens)
  if (tokens.length > 0) throw new Error(`unexpected ${tokens.join(' ')}`)
  const found = investigations.filter((each) => combinations({ i: withDatasets(each) }, aliases).some(test))
  if (select.startsWith('COUNT')) return [found.length]
  const begin = ({ startDate }: FakeInvestigation) => (typeof startDate === 'string' ? startDate : '')
  return found
    .toSorted((a, b) => (begin(a) < begin(b) ? 1 : begin(a) > begin(b) ? -1 : b.id - a.id))
    .slice(Number(from), Number(from) + Number(limit))
    .map(({ investigationUsers: _notIncluded, parameters: _neither, ...rest }) => ({ Investigation: rest }))
}

type Bound = Readonly<Record<string, unknown>>
type Test = (bound: Bound) => boolean

/** One for each way to bind the aliases, null where there is nothing to join. */
function combinations(bound: Bound, [first, ...rest]: readonly RegExpMatchArray[]): Bound[] {
  if (first === undefined) return [bound]
  const [, of = '', field = '', alias = ''] = first
  const joined = (bound[of] as Bound | null)?.[field]
  const values = Array.isArray(joined) ? (joined as unknown[]) : [joined]
  return (values.length === 0 ? [null] : values).flatMap((value) =>
    combinations({ ...bound, [alias]: value ?? null }, rest),
  )
}

function tokensOf(text: string): string[] {
  const tokens = text.match(/'(?:[^']|'')*'|\{ts [\d :-]{19}\}|[\w.]+|>=|[(),=<]|\S/g) ?? []
  if (tokens.some((token) => !/^('.*'|\{ts .*\}|[\w.]+|>=|[(),=<])$/s.test(token))) throw new Error('bad token')
  return tokens
}

function condition(tokens: string[]): Test {
  let left = conjunction(tokens)
  while (tokens[0] === 'OR') {
    tokens.shift()
    const [a, b] = [left, conjunction(tokens)]
    left = (bound) => a(bound) || b(bound)
  }
  return left
}

function conjunction(tokens: string[]): Test {
  let left = atom(tokens)
  while (tokens[0] === 'AND') {
    tokens.shift()
    const [a, b] = [left, atom(tokens)]
    left = (bound) => a(bound) && b(bound)
  }
  return left
}

function atom(tokens: string[]): Test {
  const first = tokens.shift()
  if (first === '(') {
    const inner = condition(tokens)
    expect(tokens, ')')
    return inner
  }
  if (first === 'LOWER') {
    expect(tokens, '(')
    const path = tokens.shift() ?? ''
    expect(tokens, ')')
    expect(tokens, 'LIKE')
    const pattern = String(literal(tokens)).replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`)
    const like = new RegExp(`^${pattern.replaceAll('%', '.*').replaceAll('_', '.')}$`, 'su')
    return (bound) => {
      const value = valueOf(bound, path)
      return typeof value === 'string' && like.test(value.toLowerCase())
    }
  }
  if (first === undefined || !/^[a-z]+(\.[A-Za-z]+)+$/.test(first)) throw new Error(`unexpected ${first}`)
  const operator = tokens.shift()
  if (operator === '=') {
    const wanted = literal(tokens)
    return (bound) => valueOf(bound, first) === wanted
  }
  if (operator === '>=' || operator === '<') {
    const at = /^\{ts (.*)\}$/.exec(tokens.shift() ?? '')?.[1]?.replace(' ', 'T')
    if (at === undefined) throw new Error(`unexpected after ${operator}`)
    return (bound) => {
      const value = valueOf(bound, first)
      if (typeof value !== 'string') return false
      const [one, other] = [new Date(value), new Date(`${at}Z`)]
      return operator === '<' ? one < other : one >= other
    }
  }
  if (operator !== 'IN') throw new Error(`unexpected ${operator}`)
  expect(tokens, '(')
  const wanted = [literal(tokens)]
  while (tokens[0] === ',') {
    tokens.shift()
    wanted.push(literal(tokens))
  }
  expect(tokens, ')')
  return (bound) => wanted.includes(valueOf(bound, first) as string)
}

function expect(tokens: string[], wanted: string): void {
  const token = tokens.shift()
  if (token !== wanted) throw new Error(`${token} is not ${wanted}`)
}

function literal(tokens: string[]): string | number {
  const token = tokens.shift() ?? ''
  if (/^\d+$/.test(token)) return Number(token)
  if (!token.startsWith("'")) throw new Error(`unexpected ${token}`)
  return token.slice(1, -1).replaceAll("''", "'")
}

function valueOf(bound: Bound, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (value as Bound | null | undefined)?.[name], bound)
}
