/** /v1/proposals/…/restores: archived data of one's own proposals, what the archive says of them, and asking for them. */
import type { Context } from 'koa'
import { z } from 'zod'
import type { ScopeName } from '../../../config/scopes.ts'
import type { Archive, ArchiveState } from '../../archive/index.ts'
import { Problem } from '../../domain/problem.ts'
import type { Catalogue, Dataset, Visitor } from '../../domain/services.ts'
import { answerDeadlineMs } from '../api.ts'
import { requireScope, visitorOf } from '../visitor.ts'
import { type Operation, operation } from './operation.ts'

export interface ArchiveTools {
  readonly catalogue: Pick<Catalogue, 'datasets' | 'datasetsOf'>
  readonly archive: Pick<Archive, 'states' | 'request'>
}

const restoreSchema = z.strictObject({
  dataset: z.string().describe('Its id in the catalogue.'),
  name: z.string(),
  state: z
    .enum(['online', 'archived', 'restoring', 'restored', 'refused'])
    .describe('online: it lies on disk, and needs no restoring.'),
  message: z.string().optional().describe('What the archive says of it.'),
  readyAt: z.iso.datetime().optional().describe('When the archive expects it to be there.'),
  path: z.string().optional().describe('Where it was restored to: a path, or server:/path of an export.'),
})

function permitted(ctx: Context, scope: ScopeName): Visitor {
  const visitor = visitorOf(ctx)
  requireScope(visitor, scope)
  return visitor
}

const datasetId = z.string().min(1).max(255)
const none = 'There is no such dataset in this proposal. Look at its list of datasets.'

/** They are for people and their tokens: a service has no proposals. */
export function archiveOperations({ catalogue, archive }: ArchiveTools): readonly Operation[] {
  async function found(ctx: Context, proposal: string, id: string, signal: AbortSignal): Promise<Dataset> {
    const [dataset] = await catalogue.datasetsOf(visitorOf(ctx).user, proposal, [id], signal)
    if (dataset === undefined) throw new Problem('notFound', none)
    return dataset
  }

  const list = operation({
    method: 'GET',
    path: '/v1/proposals/{proposal}/restores',
    summary: 'What the archive says of the archived datasets of one of your proposals',
    scopes: ['read:servers'],
    query: z.object({
      dataset: datasetId.optional().describe('This one alone, archived or not.'),
      offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
      limit: z.coerce.number().int().min(1).max(100).default(20).describe('Of datasets that are looked through.'),
    }),
    answers: {
      200: {
        description: 'Those of this page that are archived, of `total` datasets',
        schema: z.strictObject({ items: z.array(restoreSchema), total: z.int(), offset: z.int(), limit: z.int() }),
      },
    },
    async handle({ ctx, params: { proposal = '' }, query: { dataset, offset, limit } }) {
      const { user } = permitted(ctx, 'read:servers')
      const signal = AbortSignal.timeout(answerDeadlineMs)
      const { items, total } =
        dataset === undefined
          ? await catalogue.datasets(user, proposal, { offset, limit }, signal)
          : { items: [await found(ctx, proposal, dataset, signal)], total: 1 }
      const archived = items.filter((each) => each.archived)
      const states = await archive.states(user, archived, signal)
      const shown = dataset === undefined ? archived : items
      return {
        status: 200,
        body: { items: shown.map((each) => modelOf(each, states.get(each.id))), total, offset, limit },
      }
    },
  })

  const request = operation({
    method: 'POST',
    path: '/v1/proposals/{proposal}/restores',
    summary: 'Asks the archive for a dataset of one of your proposals; twice is once',
    scopes: ['servers'],
    did: 'dataset.requested',
    body: z.strictObject({ dataset: datasetId }),
    answers: { 202: { description: 'What the archive says of it now', schema: restoreSchema } },
    async handle({ ctx, params: { proposal = '' }, body: { dataset: id } }) {
      const { user } = permitted(ctx, 'servers')
      const signal = AbortSignal.timeout(answerDeadlineMs)
      const dataset = await found(ctx, proposal, id, signal)
      if (dataset.archived !== true) {
        throw new Problem('conflict', `The dataset ${dataset.name} lies on disk: launch with it as it is.`)
      }
      const state = await archive.request(user, dataset, signal)
      return { status: 202, body: modelOf(dataset, state), detail: { dataset: dataset.id } }
    },
  })
  return [list, request]
}

function modelOf({ id, name, archived }: Dataset, state: ArchiveState | undefined): z.output<typeof restoreSchema> {
  const common = { dataset: id, name }
  if (archived !== true) return { ...common, state: 'online' }
  switch (state?.is) {
    case undefined:
    case 'archived':
      return { ...common, state: 'archived' }
    case 'restoring': {
      const { message, readyAt } = state
      return {
        ...common,
        state: 'restoring',
        ...(message === undefined ? {} : { message }),
        ...(readyAt === undefined ? {} : { readyAt: readyAt.toISOString() }),
      }
    }
    case 'restored': {
      const { source } = state.place
      return {
        ...common,
        state: 'restored',
        path: source.kind === 'nfs' ? `${source.server}:${source.path}` : source.path,
      }
    }
    case 'refused':
      return { ...common, state: 'refused', message: state.message }
  }
}
