/** Proposals in memory, found by who may see them: what every catalogue of a file is in the end. Pure. */
import { Problem } from '../domain/problem.ts'
import type { Proposal } from '../domain/services.ts'
import type { CatalogueEntry } from './document.ts'

interface ProposalPage {
  readonly items: readonly Proposal[]
  readonly total: number
}

interface PageRequest {
  readonly search?: string
  readonly offset: number
  readonly limit: number
}

export interface Proposals {
  page(user: string, request: PageRequest): ProposalPage
  entitled(user: string, ids: readonly string[]): readonly Proposal[]
}

const longestSearch = 200
const mostWords = 16
const largestPage = 200

interface Searchable {
  readonly proposal: Proposal
  readonly text: string
}

export function createProposals(entries: readonly CatalogueEntry[]): Proposals {
  const byUser = new Map<string, Searchable[]>()
  for (const { proposal, members } of entries.toSorted(newestFirst)) {
    const searchable = { proposal, text: searchText(proposal) }
    for (const member of members) {
      const list = byUser.get(member)
      if (list === undefined) byUser.set(member, [searchable])
      else list.push(searchable)
    }
  }
  return {
    page(user, request) {
      const words = checkedWords(request)
      const mine = byUser.get(user) ?? []
      const found = words.length === 0 ? mine : mine.filter(({ text }) => words.every((word) => text.includes(word)))
      const items = found.slice(request.offset, request.offset + request.limit).map(({ proposal }) => proposal)
      return { items, total: found.length }
    },
    entitled(user, ids) {
      const wanted = new Set(ids)
      return (byUser.get(user) ?? []).filter(({ proposal }) => wanted.has(proposal.id)).map(({ proposal }) => proposal)
    },
  }
}

/** Lower case of the compatible form, so that search finds 'Ångström' written either way. */
function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}

function searchText({ id, title, instrument, technique }: Proposal): string {
  return folded([id, title, instrument, technique ?? ''].join('\n'))
}

/** What has no date comes last; then the larger id, so that pages never overlap. */
function newestFirst(a: CatalogueEntry, b: CatalogueEntry): number {
  const [at, bt] = [a, b].map(({ proposal }) => proposal.startsAt?.getTime() ?? Number.MIN_SAFE_INTEGER)
  return (bt ?? 0) - (at ?? 0) || (a.proposal.id < b.proposal.id ? 1 : -1)
}

/** @throws Problem badRequest, naming the field. */
export function checkedWords({ search = '', offset, limit }: PageRequest): readonly string[] {
  if (search.length > longestSearch) {
    throw new Problem('badRequest', `Search for at most ${longestSearch} characters.`, { field: 'search' })
  }
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new Problem('badRequest', 'offset must be a whole number from 0 on.', { field: 'offset' })
  }
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > largestPage) {
    throw new Problem('badRequest', `limit must be a whole number from 1 to ${largestPage}.`, { field: 'limit' })
  }
  const words = folded(search).split(/\s+/).filter(Boolean)
  if (words.length > mostWords) {
    throw new Problem('badRequest', `Search for at most ${mostWords} words.`, { field: 'search' })
  }
  return words
}
