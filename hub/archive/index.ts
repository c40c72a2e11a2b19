/**
 * Archived data: what the facility's archive says of them, and asking for them back. The archive keeps the state, and is
 * asked each time; where it says data were restored to is held against the configuration's roots.
 */
import { z } from 'zod'
import type { Configuration } from '../../config/schema.ts'
import type { Log, Mount } from '../../spawners/spawner.ts'
import { type Ask, unreachable } from '../catalogue/ask.ts'
import { secretOf } from '../catalogue/http.ts'
import { date, line } from '../catalogue/rows.ts'
import { Problem } from '../domain/problem.ts'
import type { Dataset, User } from '../domain/services.ts'
import { isBeneath, isPlainPath, parseSource } from '../launch/paths.ts'

export type ArchiveState =
  | Readonly<{ is: 'archived' }>
  | Readonly<{ is: 'restoring'; message?: string; readyAt?: Date }>
  | Readonly<{ is: 'restored'; place: RestoredPlace }>
  | Readonly<{ is: 'refused'; message: string }>

/** Nothing between the root and it may be a link: where it is mounted that is looked at. */
export interface RestoredPlace {
  readonly source: Mount['source']
  /** The path of the root, on the same machine as `source`. */
  readonly root: string
  /** The archive itself named it, and not who wants it. */
  readonly vouched: boolean
}

export interface Archive {
  /** Whether people may ask for data here, and whether they may say themselves where data were restored to. */
  readonly canAsk: boolean
  readonly canPick: boolean
  /** By the dataset's id; what the archive says nothing of is archived. @throws Problem archiveUnreachable */
  states(user: User, datasets: readonly Dataset[], signal: AbortSignal): Promise<ReadonlyMap<string, ArchiveState>>
  /** Twice is once. @throws Problem archiveUnreachable, or conflict where nobody can ask */
  request(user: User, dataset: Dataset, signal: AbortSignal): Promise<ArchiveState>
  /** `picked`: the folder that the user says. @throws Problem launchRefused */
  place(user: User, dataset: Dataset, picked: string | undefined, signal: AbortSignal): Promise<RestoredPlace>
}

export interface ArchiveOptions {
  readonly configuration: Configuration['archive']
  readonly ask: Ask
  /** Whom somebody is told to ask. */
  readonly contact: string
  readonly log: Log
}

const itemSchema = z.object({
  dataset: z.string().max(255),
  state: z.enum(['archived', 'restoring', 'restored', 'refused']),
  path: z.string().max(4_096).nullish(),
  message: line(300).nullish(),
  readyAt: date,
})
const itemsSchema = z.object({ items: z.array(itemSchema).max(1_000) })

export function createArchive({ configuration, ask, contact, log }: ArchiveOptions): Archive {
  const { hook, roots = [], picks = false } = configuration ?? {}

  function placeOf(path: string, vouched: boolean): RestoredPlace | undefined {
    const source = parseSource(path)
    if (source === undefined || !isPlainPath(source.path)) return undefined
    const root = roots.map(parseSource).find((each) => isBeneath(source, each) && each?.path !== source.path)
    return root === undefined ? undefined : { source, root: root.path, vouched }
  }

  function stateOf({ dataset, state, path, message, readyAt }: z.output<typeof itemSchema>): ArchiveState {
    switch (state) {
      case 'archived':
        return { is: 'archived' }
      case 'restoring':
        return { is: 'restoring', ...(message ? { message } : {}), ...(readyAt === undefined ? {} : { readyAt }) }
      case 'refused':
        return { is: 'refused', message: message || `The archive refuses it. Ask ${contact}.` }
      case 'restored': {
        const place = placeOf(path ?? '', true)
        if (place !== undefined) return { is: 'restored', place }
        log.warn({ dataset, path }, 'the archive names a folder that lies beneath none of archive.roots')
        return { is: 'refused', message: `It was restored to a place that is not allowed here. Ask ${contact}.` }
      }
    }
  }

  async function asked<T>(
    schema: z.ZodType<T>,
    query: readonly (readonly string[])[],
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<T> {
    if (hook === undefined) throw new Problem('conflict', `Archived data are brought back by ${contact}: ask there.`)
    const url = new URL(hook.url)
    for (const [name = '', value = ''] of query) url.searchParams.append(name, value)
    const about = `${body === undefined ? 'GET' : 'POST'} of the archive`
    try {
      const token: Record<string, string> =
        hook.tokenFile === undefined ? {} : { authorization: `Bearer ${await secretOf(hook.tokenFile)}` }
      const json = { ...token, 'content-type': 'application/json' }
      const sent =
        body === undefined
          ? { headers: token }
          : ({ method: 'POST', headers: json, body: JSON.stringify(body) } as const)
      const { status, value } = await ask({ about, url, ...sent }, signal)
      const read = schema.safeParse(value)
      if (status > 299 || !read.success)
        throw unreachable(`${about}: answered ${status}, or something else than documented`)
      return read.data
    } catch (cause) {
      log.warn({ err: cause }, 'the archive does not answer as documented')
      throw new Problem('archiveUnreachable', 'The archive does not answer just now. Try again in a minute.', {
        cause,
        retryAfter: 60,
      })
    }
  }

  async function states(
    user: User,
    datasets: readonly Dataset[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, ArchiveState>> {
    const [first] = datasets
    if (hook === undefined || first === undefined) return new Map()
    const query = [['user', user.name], ['proposal', first.proposal], ...datasets.map(({ id }) => ['dataset', id])]
    const { items } = await asked(itemsSchema, query, undefined, signal)
    return new Map(items.map((item) => [item.dataset, stateOf(item)]))
  }

  function refused(dataset: Dataset, why: string): Problem {
    return new Problem('launchRefused', `The dataset ${dataset.name} ${why}`, { field: 'datasets' })
  }

  return {
    canAsk: hook !== undefined,
    canPick: picks,
    states,

    async request(user, { id, proposal, name, folder }, signal) {
      const body = { user: user.name, proposal, dataset: id, name, ...(folder === undefined ? {} : { folder }) }
      const item = await asked(itemSchema, [], body, signal)
      if (item.dataset === id) return stateOf(item)
      throw new Problem('archiveUnreachable', `The archive answered of another dataset. Ask ${contact}.`)
    },

    async place(user, dataset, picked, signal) {
      if (picked !== undefined) {
        if (!picks) throw refused(dataset, 'can not be taken from a folder of your choice here. Leave the folder out.')
        const place = placeOf(picked, false)
        if (place !== undefined) return place
        throw refused(dataset, `can not be taken from there: write a folder beneath ${roots.slice(0, 5).join(' or ')}.`)
      }
      const state = (await states(user, [dataset], signal)).get(dataset.id) ?? { is: 'archived' }
      switch (state.is) {
        case 'restored':
          return state.place
        case 'restoring':
          throw refused(dataset, 'is being brought back from the archive. Try again when it is there, or leave it out.')
        case 'refused':
          throw refused(dataset, `lies in the archive. ${state.message}`)
        case 'archived':
          throw refused(
            dataset,
            hook === undefined
              ? `lies in the archive. Ask ${contact} for it.`
              : "lies in the archive: request it back on its proposal's page first.",
          )
      }
    },
  }
}
