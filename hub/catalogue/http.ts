/** The small API that a facility can put before whatever knows its proposals: config/catalogue-api.md. */
import { z } from 'zod'
import { readSecretFile } from '../../config/secret.ts'
import { type Ask, unreachable } from './ask.ts'
import { type DatasetRow, readDatasetRows } from './dataset-rows.ts'
import type { PageWanted, Seer, Source } from './remote.ts'
import { readRows, type Row } from './rows.ts'

export interface HttpSourceOptions {
  readonly url: string
  readonly tokenFile?: string | undefined
  readonly ask: Ask
}

const answerSchema = z.object({ items: z.array(z.unknown()), total: z.int().min(0) })
/** So that an address stays below what every server takes. */
const idsAtOnce = 50

type Query = readonly (readonly [string, string])[]

export function createHttpSource({ url, tokenFile, ask }: HttpSourceOptions): Source {
  async function get(path: 'proposals' | 'datasets', query: Query, signal: AbortSignal) {
    const about = `GET /${path}`
    const address = new URL(`${url.replace(/\/+$/, '')}/${path}`)
    for (const [name, value] of query) address.searchParams.append(name, value)
    // Read each time, so that a new token counts without a restart.
    const authorised =
      tokenFile === undefined ? {} : { headers: { authorization: `Bearer ${await secretOf(tokenFile)}` } }
    const { status, value } = await ask({ about, url: address, ...authorised }, signal)
    // A service that knows of proposals alone has no such place.
    if (path === 'datasets' && status === 404) return { items: [], total: 0 }
    if (status !== 200) throw unreachable(`${about}: answered ${status}`)
    const answer = answerSchema.safeParse(value)
    if (!answer.success) throw unreachable(`${about}: the answer has no items and total`)
    return answer.data
  }

  return {
    async page(seer, wanted, signal) {
      const { items, total } = await get('proposals', [...of(seer), ...pageQuery(wanted)], signal)
      return { ...readRows(items.slice(0, wanted.limit).map(proposalRow)), total }
    },
    async byIds(seer, ids, signal) {
      const found = await inTurns(ids, (query) => get('proposals', [...of(seer), ...query], signal))
      return readRows(found.map(proposalRow))
    },
    async datasets(seer, proposal, wanted, signal) {
      const query = [...of(seer), ['proposal', proposal], ...pageQuery(wanted)] as const
      const { items, total } = await get('datasets', query, signal)
      return { ...readDatasetRows(proposal, items.slice(0, wanted.limit).map(datasetRow)), total }
    },
    async datasetsByIds(seer, proposal, ids, signal) {
      const found = await inTurns(ids, (query) =>
        get('datasets', [...of(seer), ['proposal', proposal], ...query], signal),
      )
      return readDatasetRows(proposal, found.map(datasetRow))
    },
  }
}

function of({ user, instruments }: Seer): Query {
  return [['user', user.name], ...instruments.map((name) => ['instrument', name] as const)]
}

function pageQuery({ words, offset, limit }: PageWanted): Query {
  return [
    ...(words.length === 0 ? [] : ([['search', words.join(' ')]] as const)),
    ['offset', String(offset)],
    ['limit', String(limit)],
  ]
}

async function inTurns(
  ids: readonly string[],
  ask: (query: Query) => Promise<{ items: readonly unknown[] }>,
): Promise<readonly unknown[]> {
  const rows: unknown[] = []
  for (let first = 0; first < ids.length; first += idsAtOnce) {
    const asked = ids.slice(first, first + idsAtOnce).map((id) => ['id', id] as const)
    // Twice as many: a second one with the same id is seen.
    rows.push(...(await ask([...asked, ['offset', '0'], ['limit', String(asked.length * 2)]])).items)
  }
  return rows
}

/** @throws Problem catalogueUnreachable: what is wrong with the file is for the log. */
export async function secretOf(file: string): Promise<string> {
  return await readSecretFile(file).catch((error: unknown) => {
    throw unreachable(`the secret of the catalogue: ${error instanceof Error ? error.message : 'unreadable'}`)
  })
}

function proposalRow(item: unknown): Row {
  return typeof item === 'object' && item !== null ? { id: undefined, title: undefined, ...item } : noProposal
}

function datasetRow(item: unknown): DatasetRow {
  return typeof item === 'object' && item !== null ? { id: undefined, name: undefined, ...item } : noDataset
}

const noProposal: Row = { id: undefined, title: undefined }
const noDataset: DatasetRow = { id: undefined, name: undefined }
