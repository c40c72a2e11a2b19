/** The launch page's part about data: what is chosen, what is found, and what of a link could not be taken. */
import type { Context } from 'koa'
import type { Log } from '../../spawners/spawner.ts'
import { readDatasetReference } from '../domain/dataset-id.ts'
import type { Choices } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, Dataset, Proposal } from '../domain/services.ts'
import { byProposal } from '../launch/chosen-data.ts'
import { answerDeadlineMs } from './api.ts'
import { parse, searchSchema } from './input.ts'
import { quoted } from './quoted.ts'
import { visitorOf } from './visitor.ts'

export interface ProposalChoices {
  /** Those that are chosen, whatever the search says. */
  readonly chosen: readonly Proposal[]
  /** Of those, the datasets that were chosen singly. */
  readonly datasets: readonly Dataset[]
  readonly found: readonly Proposal[]
  readonly total: number
  readonly search: string
  readonly limit: number
  readonly unavailable?: string
  /** The catalogue does not answer: this is what it said then. */
  readonly asOf?: Date
  /** What was wanted and can't be had, a sentence each. */
  readonly notes: readonly string[]
}

export interface ProposalChoicesOptions {
  readonly catalogue: Catalogue
  readonly log: Log
}

export async function proposalChoices(
  { catalogue, log }: ProposalChoicesOptions,
  ctx: Context,
  draft: Partial<Choices>,
): Promise<ProposalChoices> {
  const { user } = visitorOf(ctx)
  const { search = '', limit } = parse(searchSchema, { search: ctx.query['search'], limit: ctx.query['limit'] ?? 8 })
  const ids = draft.proposals ?? []
  const signal = AbortSignal.timeout(answerDeadlineMs)
  try {
    const [chosen, page] = await Promise.all([
      ids.length === 0 ? [] : catalogue.entitled(user, ids, signal),
      catalogue.proposals(user, { ...(search ? { search } : {}), offset: 0, limit }, signal),
    ])
    const open = new Set(chosen.map(({ id }) => id))
    const wanted = [...byProposal(draft.datasets ?? [])].filter(([proposal]) => open.has(proposal))
    const datasets = await Promise.all(
      wanted.map(([proposal, some]) => catalogue.datasetsOf(user, proposal, some, signal)),
    )
    const found = page.items.filter((each) => !ids.includes(each.id))
    const { total, asOf } = page
    const data = { chosen, datasets: datasets.flat() }
    const notes = missing(draft, data)
    return { ...data, found, total, search, limit, notes, ...(asOf === undefined ? {} : { asOf }) }
  } catch (error) {
    log.warn({ request: ctx.state['requestId'], err: error }, 'the catalogue does not answer')
    const unavailable = error instanceof Problem ? error.detail : 'The catalogue does not answer just now.'
    return { chosen: [], datasets: [], found: [], total: 0, search, limit, unavailable, notes: [] }
  }
}

/** The same for what is somebody else's and what is not there: neither is told. */
function missing(
  { proposals = [], datasets = [] }: Partial<Choices>,
  there: Pick<ProposalChoices, 'chosen' | 'datasets'>,
): readonly string[] {
  const lost = proposals.filter((id) => !there.chosen.some((each) => each.id === id))
  const gone = datasets.filter((text) => {
    const { proposal, dataset } = readDatasetReference(text) ?? {}
    return !lost.includes(proposal ?? '') && !there.datasets.some((each) => each.id === dataset)
  })
  return [
    ...lost.map((id) => `There is no proposal ${quoted(id)} that is open to you: it is left out.`),
    ...gone.map((text) => `There is no dataset ${quoted(text)} there: it is left out.`),
  ].slice(0, 10)
}
