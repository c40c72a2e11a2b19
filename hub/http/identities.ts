/**
 * Linking, as pages: for who came by an identity that nobody here has, for who looks at their own, and for the
 * administrators who are asked.
 */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { actorOf } from '../audit/entry.ts'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'
import type { Linking } from '../identity/index.ts'
import type { Actor } from '../identity/links.ts'
import type { Outsider } from '../identity/outsiders.ts'
import { provesAccount } from '../identity/providers.ts'
import { formBody } from './body.ts'
import { approveSchema, askSchema, identitySchema, parse, refuseSchema } from './input.ts'
import type { Pages } from './pages.ts'
import { permissionsAt, serviceOf, possibleVisitor, visitorOf } from './visitor.ts'
import { allows } from '../roles/permissions.ts'

export interface IdentitiesOptions {
  readonly linking: Linking
  readonly pages: Pages
  readonly now: () => Date
}

/** The local account must have been proved this lately, so that nobody links at a browser that was left alone. */
const freshMs = 600_000

export function identitiesRouter({ linking, pages, now }: IdentitiesOptions): Router {
  const { links, requests, outsiders, providers } = linking
  const router = new Router()

  /** Whether this visitor has shown just now that the account is theirs. */
  function hasProved(visitor: Visitor | undefined): visitor is Visitor {
    const provider = providers.all.find(({ name }) => name === visitor?.provider)
    if (!provider || !provesAccount(provider) || visitor?.authenticatedAt === undefined) return false
    return now().getTime() - visitor.authenticatedAt.getTime() < freshMs
  }

  async function outsiderAt(ctx: Context): Promise<Outsider> {
    const outsider = await outsiders.of(ctx)
    if (outsider) return outsider
    throw new Problem(
      'conflict',
      'This took more than an hour, or began in another browser. Begin again by logging in.',
    )
  }

  async function showLink(ctx: Context, problem?: Problem): Promise<void> {
    const outsider = await outsiders.of(ctx)
    const visitor = possibleVisitor(ctx)
    const proved = hasProved(visitor)
    pages.show(ctx, 'link', {
      outsider,
      provider: outsider && providers.byIssuer(outsider.issuer)?.title,
      again: outsider && `/hub/login/${encodeURIComponent(outsider.provider)}`,
      request: outsider && (await requests.of(outsider)),
      proved,
      // Whoever is logged in is led to their own provider first.
      accounts: providers.all.filter(provesAccount).map(({ name, title }) => ({
        title,
        href: `/hub/login/${encodeURIComponent(name)}?prompt=login&next=%2Fhub%2Flink`,
      })),
      problem,
    })
    if (problem) ctx.status = problem.status
  }

  /** What a person can put right on the page comes back on the page. */
  async function orLinkAgain(ctx: Context, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500 || error.type === 'notLoggedIn') throw error
      if (error.retryAfter !== undefined) ctx.set('Retry-After', String(Math.ceil(error.retryAfter)))
      await showLink(ctx, error)
    }
  }

  router.get('/hub/link', (ctx) => showLink(ctx))

  router.post('/hub/link/ask', (ctx) =>
    orLinkAgain(ctx, async () => {
      const { note } = parse(askSchema, formBody(ctx))
      await requests.ask(await outsiderAt(ctx), note, ctx.ip)
      lead(ctx, '/hub/link')
    }),
  )

  router.post('/hub/link/confirm', (ctx) =>
    orLinkAgain(ctx, async () => {
      const visitor = visitorOf(ctx)
      formBody(ctx)
      const outsider = await outsiderAt(ctx)
      if (!hasProved(visitor)) {
        throw new Problem('forbidden', 'Log in with your facility account again, then confirm within ten minutes.')
      }
      const actor = actorOf(visitor)
      await links.link(visitor.user, outsider, 'proof', actor)
      outsiders.forget(ctx)
      lead(ctx, '/hub/identities')
    }),
  )

  router.post('/hub/link/forget', (ctx) => {
    formBody(ctx)
    outsiders.forget(ctx)
    lead(ctx, possibleVisitor(ctx) ? '/hub/identities' : '/hub/login')
  })

  router.get('/hub/identities', async (ctx) => {
    const visitor = visitorOf(ctx)
    const others = providers.all.filter((provider) => !provesAccount(provider))
    pages.show(ctx, 'identities', {
      links: await links.list(visitor.user.id),
      others: others.map(({ name, title }) => ({ title, href: `/hub/login/${encodeURIComponent(name)}/link` })),
    })
  })

  router.post('/hub/identities/unlink', async (ctx) => {
    const visitor = visitorOf(ctx)
    await links.unlink(visitor.user, parse(identitySchema, formBody(ctx)), actorOf(visitor))
    lead(ctx, '/hub/identities')
  })

  router.get('/hub/admin/link-requests', async (ctx) => {
    requireAdmin(ctx)
    await showRequests(ctx)
  })

  router.post('/hub/admin/link-requests/:id/approve', async (ctx) => {
    const actor = requireAdmin(ctx)
    await orRequestsAgain(ctx, async () => {
      const { user } = parse(approveSchema, formBody(ctx))
      await requests.approve(ctx.params['id'] ?? '', user, actor)
    })
  })

  router.post('/hub/admin/link-requests/:id/refuse', async (ctx) => {
    const actor = requireAdmin(ctx)
    await orRequestsAgain(ctx, async () => {
      const { reason } = parse(refuseSchema, formBody(ctx))
      await requests.refuse(ctx.params['id'] ?? '', reason, actor)
    })
  })

  async function showRequests(ctx: Context, problem?: Problem): Promise<void> {
    pages.show(ctx, 'link-requests', { requests: await requests.waiting(), problem })
    if (problem) ctx.status = problem.status
  }

  async function orRequestsAgain(ctx: Context, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      lead(ctx, '/hub/admin/link-requests')
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error
      await showRequests(ctx, error)
    }
  }

  return router
}

/** Linking decides who somebody is: for those who may change users, people or programs. @throws Problem 'forbidden' */
export function requireAdmin(ctx: Context): Actor {
  const anybody = { kind: 'user', name: '', groups: [] } as const
  if (!allows(permissionsAt(ctx), 'admin:users', anybody)) {
    throw new Problem('forbidden', 'Only administrators may do this.')
  }
  const service = serviceOf(ctx)
  return service ? { who: `service:${service.name}`, from: ctx.ip } : actorOf(visitorOf(ctx))
}

function lead(ctx: Context, to: string): void {
  ctx.status = 303
  ctx.redirect(to)
}
