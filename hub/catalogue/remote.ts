/**
 * A catalogue that another service keeps. Lists are asked for each time, and shown with their age from memory while it
 * does not answer; what somebody is entitled to is never taken from memory.
 */
import type { Log } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import { proposalIdPattern } from '../domain/proposal-id.ts'
import type { Catalogue, Proposal, User } from '../domain/services.ts'
import { checkedWords } from './proposals.ts'
import type { ReadRows } from './rows.ts'

interface PageWanted {
  /** Lower case, as they are looked for; none: all. */
  readonly words: readonly string[]
  readonly offset: number
  readonly limit: number
}

/** What an adapter does. Throws Problem 'catalogueUnreachable' (unreachable() of ask.ts) when there is no answer. */
export interface Source {
  /** Newest first; at most `limit`. */
  page(user: User, wanted: PageWanted, signal: AbortSignal): Promise<ReadRows & { readonly total: number }>
  byIds(user: User, ids: readonly string[], signal: AbortSignal): Promise<ReadRows>
}

export interface RemoteOptions {
  readonly source: Source
  /** Whom somebody is told to ask. */
  readonly contact: string
  readonly now: () => Date
  readonly log: Log
}

/** After a failure, what is remembered is shown for this long before it is asked again: nobody waits in vain. */
const pauseMs = 5_000
const keepMs = 24 * 3_600_000
/** In memory, over all pages: about 50 MB. */
const mostRemembered = 50_000
const mostIds = 1_000

interface Page {
  readonly items: readonly Proposal[]
  readonly total: number
}

export function createRemoteCatalogue({ source, contact, now, log }: RemoteOptions): Catalogue {
  const memory = createMemory(() => now().getTime())
  let failedAt: number | undefined

  function isPaused(): boolean {
    const age = failedAt === undefined ? undefined : now().getTime() - failedAt
    // A clock that went back makes a negative age: ask.
    return age !== undefined && age >= 0 && age < pauseMs
  }

  function complain({ wrong, twice }: ReadRows): void {
    if (wrong > 0) log.warn({ rows: wrong }, 'rows of the catalogue are no proposals that can be used: left out')
    if (twice.length > 0) {
      log.warn({ ids: twice.slice(0, 10) }, 'the catalogue has several proposals with one id: they can not be used')
    }
  }

  return {
    async proposals(user, options, signal) {
      const words = checkedWords(options)
      const { offset, limit } = options
      const key = JSON.stringify([user.id, user.name, words, offset, limit])
      const remembered = memory.get(key)
      if (remembered !== undefined && isPaused()) return remembered
      try {
        const found = await source.page(user, { words, offset, limit }, signal)
        complain(found)
        failedAt = undefined
        const page = { items: found.proposals.slice(0, limit), total: Math.max(0, found.total) }
        memory.set(key, page)
        return page
      } catch (error) {
        if (!isAway(error)) throw error
        failedAt = now().getTime()
        if (remembered === undefined) throw error
        log.warn({ err: error }, 'the catalogue does not answer: what it said before is shown, with its age')
        return remembered
      }
    },
    async entitled(user, ids, signal) {
      const wanted = new Set(ids.filter((id) => proposalIdPattern.test(id)).slice(0, mostIds))
      if (wanted.size === 0) return []
      const found = await source.byIds(user, [...wanted], signal).catch((error: unknown) => {
        if (!isAway(error)) throw error
        failedAt = now().getTime()
        throw new Problem('catalogueUnreachable', undecided(contact), { cause: error, retryAfter: 60 })
      })
      complain(found)
      const [several] = found.twice.filter((id) => wanted.has(id))
      if (several !== undefined) {
        const sentence = `The catalogue has several proposals named ${several}, so it can't be told which one is meant. Ask ${contact}.`
        throw new Problem('launchRefused', sentence, { field: 'proposals' })
      }
      return found.proposals.filter(({ id }) => wanted.has(id))
    },
  }
}

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

/** The pages that were asked for last. */
function createMemory(now: () => number) {
  const pages = new Map<string, Page & { readonly asOf: Date }>()
  let held = 0
  const weight = ({ items }: Page): number => 1 + items.length

  function forget(key: string): void {
    const page = pages.get(key)
    if (page === undefined) return
    pages.delete(key)
    held -= weight(page)
  }

  return {
    get(key: string): (Page & { readonly asOf: Date }) | undefined {
      const page = pages.get(key)
      if (page !== undefined && Math.abs(now() - page.asOf.getTime()) > keepMs) forget(key)
      return pages.get(key)
    },
    set(key: string, page: Page): void {
      forget(key)
      pages.set(key, { ...page, asOf: new Date(now()) })
      held += weight(page)
      for (const oldest of pages.keys()) {
        if (held <= mostRemembered) break
        forget(oldest)
      }
    },
  }
}
