/**
 * The hub's half of entering an environment: a page that posts a ticket to the environment's own origin. The ticket
 * never stands in a URL; it counts for 30 s, once, in the browser that holds the nonce (proxy/ticket.ts). Who is not
 * its owner comes by a share, or is of the staff and says why first (hub/sharing).
 */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Configuration } from '../../config/schema.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments, Visitor } from '../domain/services.ts'
import type { Authorisation } from '../identity/authorisation.ts'
import { issueTicket } from '../launch/entry.ts'
import type { Sharing, Way } from '../sharing/index.ts'
import type { Visit } from '../sharing/share.ts'
import { environmentOrigin, environmentUrl, pathWithin } from '../web/environment-url.ts'
import { answerDeadlineMs } from './api.ts'
import { formBody } from './body.ts'
import { allowFormTo } from './headers.ts'
import { enterSchema, parse, parseEnvironmentId, reasonSchema } from './input.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface EnterOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly environments: Pick<Environments, 'get'>
  readonly sharing: Pick<Sharing, 'way' | 'announce' | 'visits'>
  readonly pages: Pages
  readonly authorisation: Pick<Authorisation, 'require'>
  readonly audit: Pick<Audit, 'write'>
  readonly admissionKey: Buffer
  readonly now: () => Date
  /** Random, unguessable. */
  readonly newId: () => string
}

interface Asked {
  readonly environment: string
  readonly nonce: string
  readonly next?: string | undefined
  /** A guest has read what it means. */
  readonly understood?: 'yes' | undefined
}

export function enterRouter(options: EnterOptions): Router {
  const { configuration, publicUrl, environments, sharing, pages, authorisation, audit, admissionKey, now, newId } =
    options
  const router = new Router()

  async function found(ctx: Context, { environment }: Asked): Promise<Environment | undefined> {
    const id = parseEnvironmentId(environment)
    ctx.state['environmentId'] = id
    return await environments.get(id)
  }

  router.get('/hub/enter', async (ctx) => {
    const visitor = visitorOf(ctx)
    const asked = parse(enterSchema, ctx.query)
    const environment = await found(ctx, asked)
    if (environment?.userId === visitor.user.id) {
      await requireAuthorised(authorisation, visitor)
      showEntry(ctx, asked, { visitor, environment })
      return await audit.write({ ...actorOf(visitor), did: 'environment.entered', what: environment.id })
    }
    const way = await sharing.way(visitor, environment, AbortSignal.timeout(answerDeadlineMs))
    switch (way.by) {
      case 'share': {
        // The first time the person is told what it means, and goes on by themselves.
        const knows = await sharing.visits.hasBeen(visitor.user.id, way.environment.id, way.share.role)
        if (!knows && asked.understood === undefined) return showGuest(ctx, asked, way)
        const visit = await sharing.visits.byShare(visitor, way.environment, way.share)
        return showEntry(ctx, asked, { visitor, environment: way.environment, visit })
      }
      case 'visit':
        return showEntry(ctx, asked, { visitor, environment: way.environment, visit: way.visit })
      case 'reason':
        return showReason(ctx, asked, way.environment)
    }
  })

  router.post('/hub/enter', async (ctx) => {
    const visitor = visitorOf(ctx)
    const form = formBody(ctx)
    const asked = parse(enterSchema, form)
    const environment = await found(ctx, asked)
    const reason = reasonSchema.safeParse(form)
    if (!reason.success) {
      const way = await sharing.way(visitor, environment, AbortSignal.timeout(answerDeadlineMs))
      showReason(ctx, asked, way.environment, 'Say in a sentence why: its owner reads it.')
      ctx.status = 400
      return
    }
    const visit = await sharing.announce(visitor, environment, reason.data.reason)
    if (environment !== undefined) showEntry(ctx, asked, { visitor, environment, visit })
  })

  function showGuest(ctx: Context, asked: Asked, { environment, share }: Extract<Way, { by: 'share' }>): void {
    const { title, owner } = environment
    pages.show(ctx, 'guest', { ...asked, environmentTitle: title, owner, role: share.role, expiresAt: share.expiresAt })
  }

  function showReason(ctx: Context, asked: Asked, environment: Environment, problem?: string): void {
    const { title, owner } = environment
    const staffMs = configuration.environments.staffVisits
    pages.show(ctx, 'reason', { ...asked, environmentTitle: title, owner, staffMs, problem })
  }

  function showEntry(ctx: Context, asked: Asked, entry: Entry): void {
    const { visitor, environment, visit } = entry
    const { prefix } = environment.spec
    const origin = environmentOrigin(environment.owner, configuration, publicUrl)
    const landing = environmentUrl(environment, configuration, publicUrl).slice(origin.length)
    const target = `${origin}${prefix}_hutch/enter`
    const ticket = issueTicket({
      key: admissionKey,
      visitor,
      environment,
      ...(visit === undefined ? {} : { visit }),
      nonceHash: asked.nonce,
      now: now(),
      newId,
    })
    // Elsewhere a viewer is let nowhere; what they asked for may be such a place.
    const next = visit?.role === 'viewer' ? landing : (pathWithin(prefix, asked.next) ?? landing)
    pages.show(ctx, 'enter', { title: environment.title, target, ticket, next })
    allowFormTo(ctx, target)
    // The origin alone, never the path: with no-referrer at all, browsers would send "Origin: null" with the form.
    ctx.set('Referrer-Policy', 'strict-origin')
  }

  return router
}

interface Entry {
  readonly visitor: Visitor
  readonly environment: Environment
  /** Absent: its owner's own entry. */
  readonly visit?: Visit
}

/** What runs stays open to its owner while a catalogue that is down can't say whether it should. */
async function requireAuthorised(authorisation: Pick<Authorisation, 'require'>, { user }: Visitor): Promise<void> {
  try {
    await authorisation.require(user, AbortSignal.timeout(answerDeadlineMs))
  } catch (error) {
    if (error instanceof Problem && error.status < 500) throw error
  }
}
