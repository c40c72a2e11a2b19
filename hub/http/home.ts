/** The home page: my environments, the ended ones, my proposals; and what can be done to them with a form. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, Environments, Proposal, Visitor } from '../domain/services.ts'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Sharing } from '../sharing/index.ts'
import { type EnvironmentView, isTrouble, versionOf } from '../web/environment-view.ts'
import { answerDeadlineMs } from './api.ts'
import { formBody } from './body.ts'
import type { Homes } from './full-home.ts'
import { parse, renameSchema, searchSchema } from './input.ts'
import type { OwnEnvironments } from './own-environments.ts'
import type { Pages } from './pages.ts'
import { rememberRename, takeRename } from './renamed.ts'
import { sharedWith } from './sharing.ts'
import { visitorOf } from './visitor.ts'

export interface HomeOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly sharing: Sharing
  readonly environments: Environments
  readonly own: OwnEnvironments
  readonly catalogue: Catalogue
  readonly homes: Homes
  readonly pages: Pages
  /** What everybody should know now: a component that is being set up, an alarm. One sentence each. */
  readonly notices: () => readonly string[]
  readonly log: Log
}

export function homeRouter(options: HomeOptions): Router {
  const { environments, own, sharing, homes, pages, notices } = options
  const router = new Router()

  router.get('/', (ctx) => {
    ctx.status = 303
    ctx.redirect('/hub/home')
  })
  router.get('/hub', (ctx) => {
    ctx.status = 303
    ctx.redirect('/hub/home')
  })

  router.get('/hub/home', async (ctx) => {
    const visitor = visitorOf(ctx)
    const [listed, proposals, shared, visits, full] = await Promise.all([
      listing(own, visitor),
      proposalPage(options, ctx, visitor),
      sharedWith(options, visitor),
      sharing.visits.unread(visitor.user.id),
      homes.of(visitor),
    ])
    const renamed = renamedIn(ctx, listed)
    pages.show(ctx, 'home', { ...listed, renamed, proposals, shared, visits, home: full, notices: notices() })
  })

  router.get('/hub/home/environments', async (ctx) => {
    pages.show(ctx, 'parts/environments', await listing(own, visitorOf(ctx)))
  })

  router.post('/hub/environments/:id/stop', async (ctx) => {
    formBody(ctx)
    await own.stop(ctx, ctx.params['id'])
    home(ctx)
  })

  router.post('/hub/environments/:id/forget', async (ctx) => {
    const { id } = await own.get(ctx, ctx.params['id'])
    formBody(ctx)
    await environments.forget(id)
    home(ctx)
  })

  router.post('/hub/environments/:id/rename', async (ctx) => {
    const { id, title: was } = await own.get(ctx, ctx.params['id'])
    const { title } = parse(renameSchema, formBody(ctx))
    await environments.rename(id, title)
    if (title !== was) rememberRename(ctx, { id, was })
    home(ctx)
  })
  return router
}

interface Listing {
  readonly version: string
  readonly live: readonly EnvironmentView[]
  readonly ended: readonly object[]
}

/** Just now, and still so. */
function renamedIn(ctx: Context, { live }: Listing): object | undefined {
  const renamed = takeRename(ctx)
  const now = live.find(({ id }) => id === renamed?.id)
  return renamed && now && now.title !== renamed.was ? { ...renamed, title: now.title } : undefined
}

async function listing(own: OwnEnvironments, visitor: Visitor): Promise<Listing> {
  const views = (await own.list(visitor)).map((each) => own.view(each))
  return {
    version: versionOf(views),
    live: views.filter((each) => each.state !== 'ended'),
    ended: views
      .filter((each) => each.state === 'ended')
      .map((each) => ({ ...each, trouble: each.reason !== undefined && isTrouble(each.reason) })),
  }
}

interface ProposalPage {
  readonly items: readonly Proposal[]
  readonly total: number
  readonly search: string
  readonly offset: number
  readonly limit: number
  /** The catalogue does not answer; the rest of the page does. */
  readonly unavailable?: string
  /** It does not answer: this is what it said then. */
  readonly asOf?: Date
}

async function proposalPage({ catalogue, log }: HomeOptions, ctx: Context, visitor: Visitor): Promise<ProposalPage> {
  const { search = '', offset, limit } = parse(searchSchema, { limit: 10, ...ctx.query })
  try {
    const wanted = { ...(search ? { search } : {}), offset, limit }
    const found = await catalogue.proposals(visitor.user, wanted, AbortSignal.timeout(answerDeadlineMs))
    return { ...found, search, offset, limit }
  } catch (error) {
    log.warn({ request: ctx.state['requestId'], err: error }, 'the catalogue does not answer')
    const unavailable = error instanceof Problem ? error.detail : 'The catalogue does not answer just now.'
    return { items: [], total: 0, search, offset, limit, unavailable }
  }
}

function home(ctx: Context): void {
  ctx.status = 303
  ctx.redirect('/hub/home')
}
