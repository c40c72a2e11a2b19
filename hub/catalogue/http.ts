/** The small API that a facility can put before whatever knows its proposals: config/catalogue-api.md. */
import { z } from 'zod'
import { readSecretFile } from '../../config/secret.ts'
import { type Ask, unreachable } from './ask.ts'
import type { Source } from './remote.ts'
import { readRows, type Row } from './rows.ts'

export interface HttpSourceOptions {
  readonly url: string
  readonly tokenFile?: string | undefined
  readonly ask: Ask
}

const answerSchema = z.object({ items: z.array(z.unknown()), total: z.int().min(0) })
/** So that an address stays below what every server takes. */
const idsAtOnce = 50

export function createHttpSource({ url, tokenFile, ask }: HttpSourceOptions): Source {
  async function proposals(query: readonly (readonly [string, string])[], signal: AbortSignal) {
    const about = 'GET /proposals'
    const address = new URL(`${url.replace(/\/+$/, '')}/proposals`)
    for (const [name, value] of query) address.searchParams.append(name, value)
    // Read each time, so that a new token counts without a restart.
    const authorised =
      tokenFile === undefined ? {} : { headers: { authorization: `Bearer ${await secretOf(tokenFile)}` } }
    const { status, value } = await ask({ about, url: address, ...authorised }, signal)
    if (status !== 200) throw unreachable(`${about}: answered ${status}`)
    const answer = answerSchema.safeParse(value)
    if (!answer.success) throw unreachable(`${about}: the answer has no items and total`)
    return answer.data
  }

  return {
    async page(user, { words, offset, limit }, signal) {
      const { items, total } = await proposals(
        [
          ['user', user.name],
          ...(words.length === 0 ? [] : ([['search', words.join(' ')]] as const)),
          ['offset', String(offset)],
          ['limit', String(limit)],
        ],
        signal,
      )
      return { ...readRows(items.slice(0, limit).map(rowOf)), total }
    },
    async byIds(user, ids, signal) {
      const rows: unknown[] = []
      for (let first = 0; first < ids.length; first += idsAtOnce) {
        const asked = ids.slice(first, first + idsAtOnce).map((id) => ['id', id] as const)
        // Twice as many: a second one with the same id is seen.
        const limit = String(asked.length * 2)
        const { items } = await proposals([['user', user.name], ...asked, ['offset', '0'], ['limit', limit]], signal)
        rows.push(...items)
      }
      return readRows(rows.map(rowOf))
    },
  }
}

/** @throws Problem catalogueUnreachable: what is wrong with the file is for the log. */
export async function secretOf(file: string): Promise<string> {
  return await readSecretFile(file).catch((error: unknown) => {
    throw unreachable(`the secret of the catalogue: ${error instanceof Error ? error.message : 'unreadable'}`)
  })
}

function rowOf(item: unknown): Row {
  return typeof item === 'object' && item !== null ? { id: undefined, title: undefined, ...item } : nothing
}

const nothing: Row = { id: undefined, title: undefined }
