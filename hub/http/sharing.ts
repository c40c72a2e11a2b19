/** Sharing, as pages: who may come into an environment of mine, who was there, and what others share with me. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { actorOf } from '../audit/entry.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments, Visitor } from '../domain/services.ts'
import type { Grantees } from '../sharing/grantees.ts'
import type { Sharing } from '../sharing/index.ts'
import { noSuchCode } from '../sharing/codes.ts'
import { canBeViewed, closedBecause } from '../sharing/share.ts'
import type { Configuration } from '../../config/schema.ts'
import { environmentUrl } from '../web/environment-url.ts'
import { formBody } from './body.ts'
import { parse, shareLinkSchema, shareSchema } from './input.ts'
import type { OwnEnvironments } from './own-environments.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface SharingPagesOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly environments: Pick<Environments, 'get'>
  readonly own: OwnEnvironments
  readonly sharing: Sharing
  readonly grantees: Grantees
  readonly pages: Pages
  readonly now: () => Date
}

const hourMs = 3_600_000

export function sharingRouter(options: SharingPagesOptions): Router {
  const { configuration, publicUrl, environments, own, sharing, grantees, pages, now } = options
  const { shares, codes, visits } = sharing
  const router = new Router()

  async function show(ctx: Context, environment: Environment, more: { problem?: Problem; link?: string } = {}) {
    const visitor = visitorOf(ctx)
    const [listed, links, seen] = await Promise.all([
      shares.of(environment, { ended: true }),
      codes.list(environment),
      visits.list({ environment: environment.id }),
    ])
    pages.show(ctx, 'sharing', {
      environment: own.view(environment),
      closed: closedBecause(environment.spec, configuration),
      canBeViewed: canBeViewed(environment.spec),
      shares: listed.filter(({ endedAt }) => endedAt === undefined),
      ended: listed.filter(({ endedAt }) => endedAt !== undefined),
      links,
      visits: seen.map((each) => ({ ...each, isOver: each.endedAt !== undefined || each.expiresAt <= now() })),
      groups: visitor.groups,
      ...more,
    })
    if (more.problem) ctx.status = more.problem.status
  }

  /** What a person can put right on the page comes back on the page. */
  async function orAgain(ctx: Context, environment: Environment, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      lead(ctx, `/hub/environments/${environment.id}/sharing`)
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error
      await show(ctx, environment, { problem: error })
    }
  }

  router.get('/hub/environments/:id/sharing', async (ctx) => show(ctx, await own.get(ctx, ctx.params['id'])))

  router.post('/hub/environments/:id/sharing', async (ctx) => {
    const environment = await own.get(ctx, ctx.params['id'])
    await orAgain(ctx, environment, async () => {
      const { with: name, kind, role, hours } = parse(shareSchema, formBody(ctx))
      const visitor = visitorOf(ctx)
      sharing.requireOpen(environment)
      const to = await grantees.find(kind, name, visitor)
      const until = hours === '' ? {} : { expiresAt: new Date(now().getTime() + hours * hourMs) }
      await shares.grant(environment, { with: to, role, ...until }, actorOf(visitor))
    })
  })

  for (const verb of ['end', 'restore'] as const) {
    router.post(`/hub/environments/:id/sharing/:share/${verb}`, async (ctx) => {
      const environment = await own.get(ctx, ctx.params['id'])
      await orAgain(ctx, environment, async () => {
        formBody(ctx)
        await shares[verb](environment, ctx.params['share'] ?? '', actorOf(visitorOf(ctx)))
      })
    })
  }

  /** The link is shown in the answer and never again: it stands in no address and on no other page. */
  router.post('/hub/environments/:id/sharing/links', async (ctx) => {
    const environment = await own.get(ctx, ctx.params['id'])
    const { role, hours } = parse(shareLinkSchema, formBody(ctx))
    try {
      sharing.requireOpen(environment)
      const expiresAt = new Date(now().getTime() + hours * hourMs)
      const { code } = await codes.create(environment, { role, expiresAt }, actorOf(visitorOf(ctx)))
      await show(ctx, environment, { link: new URL(`/hub/accept-share?code=${code}`, publicUrl).href })
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error
      await show(ctx, environment, { problem: error })
    }
  })

  router.post('/hub/environments/:id/sharing/links/:link/end', async (ctx) => {
    const environment = await own.get(ctx, ctx.params['id'])
    await orAgain(ctx, environment, async () => {
      formBody(ctx)
      await codes.end(environment, { id: ctx.params['link'] ?? '' }, actorOf(visitorOf(ctx)))
    })
  })

  router.get('/hub/accept-share', async (ctx) => {
    const { text, found, environment } = await followed(ctx)
    pages.show(ctx, 'accept-share', {
      code: text,
      role: found.role,
      owner: environment.owner,
      title: environment.title,
    })
    // The code is in the address.
    ctx.set('Referrer-Policy', 'no-referrer')
  })

  router.post('/hub/accept-share', async (ctx) => {
    const visitor = visitorOf(ctx)
    const { found, environment } = await followed(ctx)
    formBody(ctx)
    await codes.accept(found, environment, visitor.user, actorOf(visitor))
    lead(ctx, '/hub/home#shared-title')
  })

  async function followed(ctx: Context) {
    const { user } = visitorOf(ctx)
    const { code = '' } = ctx.method === 'POST' ? formBody(ctx) : ctx.query
    const found = typeof code === 'string' ? await codes.find(code) : undefined
    const environment = found && (await environments.get(found.environment))
    if (found === undefined || environment === undefined || environment.state.is === 'ended') throw noSuchCode()
    sharing.requireOpen(environment)
    if (environment.userId === user.id) throw new Problem('conflict', 'This link is to an environment of your own.')
    return { text: code, found, environment }
  }

  router.post('/hub/shared/:id/leave', async (ctx) => {
    const visitor = visitorOf(ctx)
    formBody(ctx)
    const share = await shares.get(ctx.params['id'] ?? '')
    if (share?.with.kind === 'user' && share.with.id === visitor.user.id) {
      await shares.end({ id: share.environment }, share.id, actorOf(visitor))
    }
    lead(ctx, '/hub/home')
  })

  router.post('/hub/visits/:id/read', async (ctx) => {
    formBody(ctx)
    await visits.putAway(visitorOf(ctx).user.id, ctx.params['id'] ?? '')
    lead(ctx, '/hub/home')
  })

  /** Its owner shows somebody out, or somebody leaves. */
  router.post('/hub/visits/:id/end', async (ctx) => {
    const visitor = visitorOf(ctx)
    formBody(ctx)
    const visit = await endVisit(sharing, visitor, ctx.params['id'] ?? '')
    lead(ctx, visit.owner.id === visitor.user.id ? `/hub/environments/${visit.environment}/sharing` : '/hub/home')
  })

  return router
}

/** For its owner and for who is there. @throws Problem 'notFound' */
export async function endVisit({ visits }: Pick<Sharing, 'visits'>, visitor: Visitor, id: string) {
  const visit = await visits.get(id)
  const isOwner = visit?.owner.id === visitor.user.id
  if (visit === undefined || (!isOwner && visit.visitor.id !== visitor.user.id)) {
    throw new Problem('notFound', 'There is no such visit, or it is not yours to end.')
  }
  await visits.end(id, actorOf(visitor), isOwner ? 'its owner ended it' : 'left')
  return visit
}

/** For the home page. */
export async function sharedWith(
  { sharing, configuration, publicUrl }: Pick<SharingPagesOptions, 'sharing' | 'configuration' | 'publicUrl'>,
  visitor: Visitor,
) {
  return (await sharing.openTo(visitor)).map(({ share, environment }) => ({
    share,
    title: environment.title,
    owner: environment.owner,
    isReady: environment.state.is === 'ready',
    url: environmentUrl(environment, configuration, publicUrl),
  }))
}

function lead(ctx: Context, to: string): void {
  ctx.status = 303
  ctx.redirect(to)
}
