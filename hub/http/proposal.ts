/** One proposal: what was measured in it, a page at a time, and what of it is to be there in an environment. */
import { Router } from '@koa/router'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import { notOpen } from '../catalogue/not-open.ts'
import { datasetReference } from '../domain/dataset-id.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, CataloguePage, Dataset, PageRequest, User } from '../domain/services.ts'
import { answerDeadlineMs } from './api.ts'
import { draftOfForm } from './choices.ts'
import { draftFields } from './draft.ts'
import { findSchema, parse } from './input.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface ProposalOptions {
  readonly configuration: Pick<Configuration, 'mounts'>
  readonly catalogue: Catalogue
  readonly pages: Pages
  readonly log: Log
}

export function proposalRouter({ configuration, catalogue, pages, log }: ProposalOptions): Router {
  const router = new Router()
  // Without a rule for them, one that is chosen would change nothing.
  const choosable = hasDatasetRules(configuration)

  async function datasetsOf(user: User, proposal: string, request: PageRequest): Promise<Listed> {
    try {
      return await catalogue.datasets(user, proposal, request, AbortSignal.timeout(answerDeadlineMs))
    } catch (error) {
      if (error instanceof Problem && error.type !== 'catalogueUnreachable') throw error
      log.warn({ proposal, err: error }, 'the catalogue does not answer')
      const unavailable = error instanceof Problem ? error.detail : 'The catalogue does not answer just now.'
      return { items: [], total: 0, unavailable }
    }
  }

  router.get('/hub/proposals/:id', async (ctx) => {
    const { user } = visitorOf(ctx)
    const id = ctx.params['id'] ?? ''
    const { find = '', offset, limit } = parse(findSchema, ctx.query)
    const [proposal] = await catalogue.entitled(user, [id], AbortSignal.timeout(answerDeadlineMs))
    if (proposal === undefined) throw notOpen(id)
    const datasets = await datasetsOf(user, id, { ...(find ? { search: find } : {}), offset, limit })
    const draft = draftOfForm(ctx.query)
    const shown = datasets.items.map((each) => ({
      ...each,
      reference: datasetReference({ proposal: id, dataset: each.id }),
    }))
    const proposals = [...new Set([...(draft.proposals ?? []), id])]
    pages.show(ctx, 'proposal', {
      proposal,
      datasets: { ...datasets, items: shown },
      chosen: draft.datasets ?? [],
      fields: draftFields(
        { ...draft, proposals },
        shown.map(({ reference }) => reference),
      ),
      whole: draftFields({ ...draft, proposals, datasets: datasetsOfOthers(draft.datasets, id) }),
      find,
      offset,
      limit,
      choosable,
    })
  })
  return router
}

type Listed = CataloguePage<Dataset> & { readonly unavailable?: string }

export function hasDatasetRules({ mounts }: Pick<Configuration, 'mounts'>): boolean {
  return mounts.some((rule) => rule.for === 'dataset')
}

function datasetsOfOthers(datasets: readonly string[] = [], proposal: string): readonly string[] {
  return datasets.filter((text) => !text.startsWith(`${proposal}/`))
}
