/**
 * A catalogue that another service keeps. Lists are asked for each time, and shown with their age from memory while it
 * does not answer; what somebody is entitled to is never taken from memory.
 */
import type { Log } from '../../spawners/spawner.ts'
import { datasetIdPattern } from '../domain/dataset-id.ts'
import { Problem } from '../domain/problem.ts'
import { proposalIdPattern } from '../domain/proposal-id.ts'
import type { Catalogue, CataloguePage, Dataset, PageRequest, Proposal, User } from '../domain/services.ts'
import type { ReadDatasets } from './dataset-rows.ts'
import { createMemory, type Memory } from './memory.ts'
import { notOpen } from './not-open.ts'
import { checkedWords } from './proposals.ts'
import type { ReadRows } from './rows.ts'

export interface PageWanted {
  /** Lower case, as they are looked for; none: all. */
  readonly words: readonly string[]
  readonly offset: number
  readonly limit: number
}

/** Who asks; `instruments`: those that this person looks after, whose proposals are theirs as well. */
export interface Seer {
  readonly user: User
  readonly instruments: readonly string[]
}

/** What an adapter does. Throws Problem 'catalogueUnreachable' (unreachable() of ask.ts) when there is no answer. */
export interface Source {
  /** Newest first; at most `limit`. */
  page(seer: Seer, wanted: PageWanted, signal: AbortSignal): Promise<ReadRows & { readonly total: number }>
  byIds(seer: Seer, ids: readonly string[], signal: AbortSignal): Promise<ReadRows>
  /** Of a proposal that was found open to the person just now. Newest first; at most `limit`. */
  datasets(
    seer: Seer,
    proposal: string,
    wanted: PageWanted,
    signal: AbortSignal,
  ): Promise<ReadDatasets & { readonly total: number }>
  datasetsByIds(seer: Seer, proposal: string, ids: readonly string[], signal: AbortSignal): Promise<ReadDatasets>
}

export interface RemoteOptions {
  readonly source: Source
  readonly instrumentsOf: (user: User, signal: AbortSignal) => Promise<readonly string[]>
  /** Whom somebody is told to ask. */
  readonly contact: string
  readonly now: () => Date
  readonly log: Log
}

/** After a failure, what is remembered is shown for this long before it is asked again: nobody waits in vain. */
const pauseMs = 5_000
const mostIds = 1_000

export function createRemoteCatalogue(options: RemoteOptions): Catalogue {
  const { source, instrumentsOf, contact, now, log } = options
  const time = (): number => now().getTime()
  const proposals = createMemory<CataloguePage<Proposal>>(time)
  const datasets = createMemory<CataloguePage<Dataset>>(time)
  let failedAt: number | undefined

  function isPaused(): boolean {
    const age = failedAt === undefined ? undefined : time() - failedAt
    // A clock that went back makes a negative age: ask.
    return age !== undefined && age >= 0 && age < pauseMs
  }

  async function seerOf(user: User, signal: AbortSignal): Promise<Seer> {
    return { user, instruments: await instrumentsOf(user, signal) }
  }

  function complain({ wrong, twice }: Pick<ReadRows, 'wrong' | 'twice'>): void {
    if (wrong > 0) log.warn({ rows: wrong }, 'rows of the catalogue can not be used: left out')
    if (twice.length > 0) {
      log.warn({ ids: twice.slice(0, 10) }, 'the catalogue has several with one id: they can not be used')
    }
  }

  async function listed<Item>(
    memory: Memory<CataloguePage<Item>>,
    asked: readonly unknown[],
    request: PageRequest,
    ask: (wanted: PageWanted) => Promise<Listed<Item>>,
  ): Promise<CataloguePage<Item>> {
    const words = checkedWords(request)
    const { offset, limit } = request
    const key = JSON.stringify([...asked, words, offset, limit])
    const remembered = memory.get(key)
    if (remembered !== undefined && isPaused()) return remembered
    try {
      const found = await ask({ words, offset, limit })
      complain(found)
      failedAt = undefined
      const page = { items: found.items.slice(0, limit), total: Math.max(0, found.total) }
      memory.set(key, page)
      return page
    } catch (error) {
      if (!isAway(error)) throw error
      failedAt = time()
      if (remembered === undefined) throw error
      log.warn({ err: error }, 'the catalogue does not answer: what it said before is shown, with its age')
      return remembered
    }
  }

  /** What decides: never from memory. */
  async function live<Found extends Pick<ReadRows, 'wrong' | 'twice'>>(
    what: 'proposals' | 'datasets',
    ids: ReadonlySet<string>,
    ask: () => Promise<Found>,
  ): Promise<Found> {
    const found = await ask().catch((error: unknown) => {
      if (!isAway(error)) throw error
      failedAt = time()
      throw new Problem('catalogueUnreachable', undecided(contact), { cause: error, retryAfter: 60 })
    })
    complain(found)
    const [several] = found.twice.filter((id) => ids.has(id))
    if (several !== undefined) {
      const sentence = `The catalogue has several ${what} named ${several}, so it can't be told which one is meant. Ask ${contact}.`
      throw new Problem('launchRefused', sentence, { field: 'proposals' })
    }
    return found
  }

  async function entitled(seer: Seer, ids: readonly string[], signal: AbortSignal): Promise<readonly Proposal[]> {
    const wanted = new Set(ids.filter((id) => proposalIdPattern.test(id)).slice(0, mostIds))
    if (wanted.size === 0) return []
    const found = await live('proposals', wanted, () => source.byIds(seer, [...wanted], signal))
    return found.items.filter(({ id }) => wanted.has(id))
  }

  async function requireOpen(seer: Seer, proposal: string, signal: AbortSignal): Promise<void> {
    if ((await entitled(seer, [proposal], signal)).length === 0) throw notOpen(proposal)
  }

  return {
    async proposals(user, request, signal) {
      const seer = await seerOf(user, signal)
      const asked = [user.id, user.name, seer.instruments]
      return await listed(proposals, asked, request, (wanted) => source.page(seer, wanted, signal))
    },
    async entitled(user, ids, signal) {
      return await entitled(await seerOf(user, signal), ids, signal)
    },
    async datasets(user, proposal, request, signal) {
      const seer = await seerOf(user, signal)
      const asked = [user.id, user.name, seer.instruments, proposal]
      return await listed(datasets, asked, request, async (wanted) => {
        await requireOpen(seer, proposal, signal)
        return await source.datasets(seer, proposal, wanted, signal)
      })
    },
    async datasetsOf(user, proposal, ids, signal) {
      const seer = await seerOf(user, signal)
      await requireOpen(seer, proposal, signal)
      const wanted = new Set(ids.filter((id) => datasetIdPattern.test(id)).slice(0, mostIds))
      if (wanted.size === 0) return []
      const found = await live('datasets', wanted, () => source.datasetsByIds(seer, proposal, [...wanted], signal))
      return found.items.filter(({ id }) => wanted.has(id))
    },
  }
}

type Listed<Item> = Pick<ReadRows, 'wrong' | 'twice'> & { readonly items: readonly Item[]; readonly total: number }

/**
 * How many there are, asked only where the page does not show it. `rows`: one more than `limit` was asked for. Where
 * nobody can count them, there is at least one more.
 */
export async function pageTotal(
  { offset, limit, rows }: Readonly<{ offset: number; limit: number; rows: number }>,
  count: () => Promise<number | undefined>,
): Promise<number> {
  const seen = rows === 0 ? 0 : offset + rows
  const isLast = rows <= limit && (rows > 0 || offset === 0)
  return isLast ? seen : Math.max((await count()) ?? seen, seen)
}

function undecided(contact: string): string {
  return `The catalogue of proposals does not answer, so nobody can say which are open to you now. Try again in a minute, or launch without a proposal; if it stays so, ask ${contact}.`
}

function isAway(error: unknown): boolean {
  return error instanceof Problem && error.type === 'catalogueUnreachable'
}
