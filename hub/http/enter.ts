/**
 * The hub's half of entering an environment: a page that posts a ticket to the environment's own origin. The ticket
 * never stands in a URL; it counts for 30 s, once, in the browser that holds the nonce (proxy/ticket.ts).
 */
import { Router } from '@koa/router'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Configuration } from '../../config/schema.ts'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'
import type { Authorisation } from '../identity/authorisation.ts'
import { issueTicket } from '../launch/entry.ts'
import { environmentOrigin, environmentUrl, pathWithin } from '../web/environment-url.ts'
import { answerDeadlineMs } from './api.ts'
import { allowFormTo } from './headers.ts'
import { enterSchema, parse } from './input.ts'
import type { OwnEnvironments } from './own-environments.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface EnterOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly own: OwnEnvironments
  readonly pages: Pages
  readonly authorisation: Pick<Authorisation, 'require'>
  readonly audit: Pick<Audit, 'write'>
  readonly admissionKey: Buffer
  readonly now: () => Date
  /** Random, unguessable. */
  readonly newId: () => string
}

export function enterRouter(options: EnterOptions): Router {
  const { configuration, publicUrl, own, pages, authorisation, audit, admissionKey, now, newId } = options
  const router = new Router()

  router.get('/hub/enter', async (ctx) => {
    const visitor = visitorOf(ctx)
    const { environment: id, nonce: nonceHash, next } = parse(enterSchema, ctx.query)
    const environment = await own.get(ctx, id)
    await requireAuthorised(authorisation, visitor)
    const { prefix } = environment.spec
    const origin = environmentOrigin(environment.owner, configuration, publicUrl)
    const landing = environmentUrl(environment, configuration, publicUrl).slice(origin.length)
    const target = `${origin}${prefix}_hutch/enter`
    const ticket = issueTicket({ key: admissionKey, visitor, environment, nonceHash, now: now(), newId })
    await audit.write({ ...actorOf(visitor), did: 'environment.entered', what: environment.id })
    pages.show(ctx, 'enter', {
      title: environment.title,
      target,
      ticket,
      next: pathWithin(prefix, next) ?? landing,
    })
    allowFormTo(ctx, target)
    // The origin alone, never the path: with no-referrer at all, browsers would send "Origin: null" with the form.
    ctx.set('Referrer-Policy', 'strict-origin')
  })
  return router
}

/** What runs stays open to its owner while a catalogue that is down can't say whether it should. */
async function requireAuthorised(authorisation: Pick<Authorisation, 'require'>, { user }: Visitor): Promise<void> {
  try {
    await authorisation.require(user, AbortSignal.timeout(answerDeadlineMs))
  } catch (error) {
    if (error instanceof Problem && error.status < 500) throw error
  }
}
