/** The launch page and what it sends; also "launch again". A refusal shows the form again, with what was chosen. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import type { Configuration } from '../../config/schema.ts'
import type { Choices } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, Launches, Offer, Visitor } from '../domain/services.ts'
import type { Log } from '../../spawners/spawner.ts'
import { answerDeadlineMs } from './api.ts'
import { formBody } from './body.ts'
import type { Homes } from './full-home.ts'
import { choicesOfForm, draftOfForm } from './choices.ts'
import { pathWithin } from '../web/environment-url.ts'
import { belowSchema, parse } from './input.ts'
import { checkDraft } from './draft.ts'
import type { OwnEnvironments } from './own-environments.ts'
import type { Pages } from './pages.ts'
import { canChooseDatasets } from './proposal.ts'
import { proposalChoices } from './proposal-choices.ts'
import { visitorOf } from './visitor.ts'

export interface LaunchOptions {
  readonly configuration: Pick<Configuration, 'mounts' | 'archive'>
  readonly own: OwnEnvironments
  readonly launches: Launches
  readonly catalogue: Catalogue
  readonly homes: Homes
  readonly pages: Pages
  readonly notices: () => readonly string[]
  readonly log: Log
}

export function launchRouter(options: LaunchOptions): Router {
  const { own, launches, pages } = options
  const router = new Router()

  router.get('/hub/launch', async (ctx) => {
    await showForm(options, ctx, draftOfForm(ctx.query))
  })

  router.get('/hub/launch/proposals', async (ctx) => {
    const draft = draftOfForm(ctx.query)
    const choosable = canChooseDatasets(options.configuration)
    pages.show(ctx, 'parts/proposal-choices', { ...(await proposalChoices(options, ctx, draft)), choosable })
  })

  /** What is offered with the proposals that are ticked now. */
  router.get('/hub/launch/offers', async (ctx) => {
    const visitor = visitorOf(ctx)
    const wanted = draftOfForm(ctx.query)
    const ids = wanted.proposals ?? []
    const chosen = ids.length === 0 ? [] : await options.catalogue.entitled(visitor.user, ids, deadline())
    pages.show(ctx, 'parts/offers', offersShown(await launches.offers(visitor, chosen), wanted))
  })

  router.post('/hub/launch', async (ctx) => {
    const visitor = visitorOf(ctx)
    const form = formBody(ctx)
    await orFormAgain(options, ctx, draftOfForm(form), () => launch(visitor, choicesOfForm(form), ctx))
  })

  router.post('/hub/environments/:id/again', async (ctx) => {
    const visitor = visitorOf(ctx)
    const { choices } = await own.get(ctx, ctx.params['id'])
    const { below } = parse(belowSchema, formBody(ctx))
    await orFormAgain(options, ctx, choices, () => launch(visitor, choices, ctx, below))
  })

  /** `below`: where in the environment the browser goes once it is ready. */
  async function launch(visitor: Visitor, choices: Choices, ctx: Context, below?: string): Promise<void> {
    const environment = await launches.launch(visitor, choices, deadline())
    ctx.state['environmentId'] = environment.id
    ctx.status = 303
    const next = below === undefined ? undefined : pathWithin(environment.spec.prefix, environment.spec.prefix + below)
    ctx.redirect(`/hub/environments/${environment.id}${next ? `?next=${encodeURIComponent(next)}` : ''}`)
  }
  return router
}

/** What a person can put right on the form comes back on the form; everything else is an error page. */
async function orFormAgain(
  options: LaunchOptions,
  ctx: Context,
  draft: Partial<Choices>,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Problem) || error.status >= 500 || error.type === 'notLoggedIn') throw error
    if (error.retryAfter !== undefined) ctx.set('Retry-After', String(Math.ceil(error.retryAfter)))
    await showForm(options, ctx, draft, error)
    ctx.status = error.status
  }
}

const deadline = (): AbortSignal => AbortSignal.timeout(answerDeadlineMs)

function offersShown(offers: readonly Offer[], draft: Partial<Choices>) {
  const usable = offers.filter((each) => each.unavailable === undefined)
  const chosen = usable.find((each) => each.profile === draft.profile) ?? usable[0]
  return { offers, draft, chosen: chosen?.profile }
}

async function showForm(
  options: LaunchOptions,
  ctx: Context,
  wanted: Partial<Choices>,
  problem?: Problem,
): Promise<void> {
  const visitor = visitorOf(ctx)
  const [proposals, home, limits] = await Promise.all([
    proposalChoices(options, ctx, wanted),
    options.homes.of(visitor),
    options.launches.backendLimits(visitor),
  ])
  const offers = await options.launches.offers(visitor, proposals.chosen)
  const { draft, notes } = checkDraft(wanted, offers)
  options.pages.show(ctx, 'launch', {
    ...offersShown(offers, draft),
    limits,
    proposals,
    home,
    problem,
    // What a refusal says is said by it.
    notes: problem === undefined ? [...notes, ...proposals.notes] : [],
    choosable: canChooseDatasets(options.configuration),
    notices: options.notices(),
  })
}
