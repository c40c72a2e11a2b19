/** Proposals in memory, found by who may see them: what every catalogue of a file is in the end. Pure. */
import { Problem } from '../domain/problem.ts'
import type { Dataset, PageRequest, Proposal } from '../domain/services.ts'
import type { CatalogueEntry } from './document.ts'
import { notOpen } from './not-open.ts'

interface Page<Item> {
  readonly items: readonly Item[]
  readonly total: number
}

/** Whose proposals, by the name in the hub; `instruments`: whose proposals are theirs as well. */
interface Seer {
  readonly name: string
  readonly instruments?: readonly string[]
}

export interface Proposals {
  page(seer: Seer, request: PageRequest): Page<Proposal>
  entitled(seer: Seer, ids: readonly string[]): readonly Proposal[]
  datasets(seer: Seer, proposal: string, request: PageRequest): Page<Dataset>
  datasetsOf(seer: Seer, proposal: string, ids: readonly string[]): readonly Dataset[]
}

const longestSearch = 200
const mostWords = 16
const largestPage = 200

interface Searchable extends CatalogueEntry {
  readonly text: string
}

interface SearchableDataset {
  readonly dataset: Dataset
  readonly text: string
}

export function createProposals(entries: readonly CatalogueEntry[]): Proposals {
  const all: Searchable[] = []
  const byUser = new Map<string, Searchable[]>()
  for (const entry of entries.toSorted(newestFirst)) {
    const searchable = { ...entry, text: searchText(entry.proposal) }
    all.push(searchable)
    for (const member of entry.members) {
      const list = byUser.get(member)
      if (list === undefined) byUser.set(member, [searchable])
      else list.push(searchable)
    }
  }

  function seenBy({ name, instruments = [] }: Seer): readonly Searchable[] {
    const own = byUser.get(name) ?? []
    if (instruments.length === 0) return own
    const mine = new Set(own)
    return all.filter((each) => mine.has(each) || instruments.includes(each.proposal.instrument))
  }

  /** Made when somebody looks: most proposals are never opened. */
  const searchableDatasets = new Map<string, readonly SearchableDataset[]>()

  function datasetsIn(seer: Seer, id: string): readonly SearchableDataset[] {
    const found = seenBy(seer).find(({ proposal }) => proposal.id === id)
    if (found === undefined) throw notOpen(id)
    const known = searchableDatasets.get(id)
    if (known !== undefined) return known
    const made = found.datasets.toSorted(latestFirst).map((dataset) => ({ dataset, text: datasetText(dataset) }))
    searchableDatasets.set(id, made)
    return made
  }

  return {
    page(seer, request) {
      const { items, total } = pageOf(seenBy(seer), request, ({ text }) => text)
      return { items: items.map(({ proposal }) => proposal), total }
    },
    entitled(seer, ids) {
      const wanted = new Set(ids)
      return seenBy(seer)
        .filter(({ proposal }) => wanted.has(proposal.id))
        .map(({ proposal }) => proposal)
    },
    datasets(seer, id, request) {
      const { items, total } = pageOf(datasetsIn(seer, id), request, ({ text }) => text)
      return { items: items.map(({ dataset }) => dataset), total }
    },
    datasetsOf: (seer, id, ids) =>
      datasetsIn(seer, id).flatMap(({ dataset }) => (ids.includes(dataset.id) ? [dataset] : [])),
  }
}

function pageOf<Item>(all: readonly Item[], request: PageRequest, textOf: (item: Item) => string): Page<Item> {
  const words = checkedWords(request)
  const found = words.length === 0 ? all : all.filter((each) => words.every((word) => textOf(each).includes(word)))
  return { items: found.slice(request.offset, request.offset + request.limit), total: found.length }
}

/** Lower case of the compatible form, so that search finds 'Ångström' written either way. */
function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}

function searchText({ id, title, instrument, technique, fields, startsAt, endsAt }: Proposal): string {
  return folded([id, title, instrument, technique, ...Object.values(fields), day(startsAt), day(endsAt)].join('\n'))
}

function datasetText({ id, name, technique, startsAt, endsAt }: Dataset): string {
  return folded([id, name, technique, day(startsAt), day(endsAt)].join('\n'))
}

function day(at: Date | undefined): string | undefined {
  return at?.toISOString().slice(0, 10)
}

/** What has no date comes last; then the larger id, so that pages never overlap. */
function newestFirst({ proposal: a }: CatalogueEntry, { proposal: b }: CatalogueEntry): number {
  return latestFirst(a, b)
}

function latestFirst(a: Dated, b: Dated): number {
  const [at, bt] = [a, b].map(({ startsAt }) => startsAt?.getTime() ?? Number.MIN_SAFE_INTEGER)
  return (bt ?? 0) - (at ?? 0) || (a.id < b.id ? 1 : -1)
}

type Dated = Pick<Proposal, 'id' | 'startsAt'>

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
