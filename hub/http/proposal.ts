/** One proposal: what was measured in it, a page at a time, and what of it is to be there in an environment. */
import { Router } from '@koa/router'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Archive, ArchiveState } from '../archive/index.ts'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import { notOpen } from '../catalogue/not-open.ts'
import { datasetReference } from '../domain/dataset-id.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, CataloguePage, Dataset, PageRequest, User } from '../domain/services.ts'
import { answerDeadlineMs } from './api.ts'
import { draftOfForm } from './choices.ts'
import { draftFields } from './draft.ts'
import { formBody } from './body.ts'
import { findSchema, parse, restoreSchema } from './input.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface ProposalOptions {
  readonly configuration: Pick<Configuration, 'mounts' | 'archive'>
  readonly catalogue: Catalogue
  readonly archive: Archive
  readonly audit: Pick<Audit, 'write'>
  readonly pages: Pages
  readonly log: Log
}

export function proposalRouter({ configuration, catalogue, archive, audit, pages, log }: ProposalOptions): Router {
  const router = new Router()
  const choosable = canChooseDatasets(configuration)

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

  /** What the archive does not tell is shown as archived, and why it is not known. */
  async function statesOf(user: User, archived: readonly Dataset[]) {
    try {
      return { states: await archive.states(user, archived, AbortSignal.timeout(answerDeadlineMs)) }
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      return { states: new Map<string, ArchiveState>(), archiveSays: error.detail }
    }
  }

  router.get('/hub/proposals/:id', async (ctx) => {
    const { user } = visitorOf(ctx)
    const id = ctx.params['id'] ?? ''
    const { find = '', offset, limit } = parse(findSchema, ctx.query)
    const [proposal] = await catalogue.entitled(user, [id], AbortSignal.timeout(answerDeadlineMs))
    if (proposal === undefined) throw notOpen(id)
    const draft = draftOfForm(ctx.query)
    const datasets = await datasetsOf(user, id, { ...(find ? { search: find } : {}), offset, limit })
    const { states, archiveSays } = await statesOf(
      user,
      datasets.items.filter((each) => each.archived),
    )
    const shown = datasets.items.map((each) => {
      const reference = datasetReference({ proposal: id, dataset: each.id })
      const state = each.archived ? (states.get(each.id) ?? { is: 'archived' }) : undefined
      return { ...each, reference, state, folder: draft.folders?.[reference] ?? '' }
    })
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
      archiveSays,
      canAsk: archive.canAsk,
      canPick: archive.canPick,
    })
  })
  /** The button of a dataset that lies in the archive; the form comes back as it was. */
  router.post('/hub/proposals/:id/restore', async (ctx) => {
    const visitor = visitorOf(ctx)
    const id = ctx.params['id'] ?? ''
    const form = formBody(ctx)
    const { restore } = parse(restoreSchema, form)
    const signal = AbortSignal.timeout(answerDeadlineMs)
    const [dataset] = await catalogue.datasetsOf(visitor.user, id, [restore], signal)
    if (dataset === undefined) throw new Problem('notFound', 'There is no such dataset in this proposal.')
    await archive.request(visitor.user, dataset, signal)
    await audit.write({ ...actorOf(visitor), did: 'dataset.requested', what: `${id}/${dataset.id}` })
    const { find, offset } = parse(findSchema, form)
    const query = new URLSearchParams()
    for (const [name, value] of draftFields(draftOfForm(form))) query.append(name, value)
    if (find) query.append('find', find)
    query.append('offset', String(offset))
    ctx.status = 303
    ctx.redirect(`/hub/proposals/${encodeURIComponent(id)}?${query.toString()}`)
  })
  return router
}

type Listed = CataloguePage<Dataset> & { readonly unavailable?: string }

/** Without a rule for them and an archive, one that is chosen would change nothing. */
export function canChooseDatasets({ mounts, archive }: Pick<Configuration, 'mounts' | 'archive'>): boolean {
  return archive !== undefined || mounts.some((rule) => rule.for === 'dataset')
}

function datasetsOfOthers(datasets: readonly string[] = [], proposal: string): readonly string[] {
  return datasets.filter((text) => !text.startsWith(`${proposal}/`))
}
