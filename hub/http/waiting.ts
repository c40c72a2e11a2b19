/** One environment's page: its true stage while it starts, the way in when it is ready, why it ended. */
import { Router } from '@koa/router'
import type { Configuration } from '../../config/schema.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments, Launches } from '../domain/services.ts'
import { isTrouble, steps } from '../web/environment-view.ts'
import { environmentUrl, pathWithin } from '../web/environment-url.ts'
import { nextSchema, parse } from './input.ts'
import type { OwnEnvironments } from './own-environments.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface WaitingOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly environments: Environments
  readonly own: OwnEnvironments
  readonly launches: Pick<Launches, 'describe'>
  readonly pages: Pages
}

export function waitingRouter(options: WaitingOptions): Router {
  const { configuration, publicUrl, environments, own, launches, pages } = options
  const router = new Router()

  router.get('/hub/environments/:id', async (ctx) => {
    const environment = await own.get(ctx, ctx.params['id'])
    const { next } = parse(nextSchema, ctx.query)
    const view = own.view(environment)
    pages.show(ctx, 'waiting', {
      environment: { ...view, trouble: view.reason !== undefined && isTrouble(view.reason) },
      url: environmentUrl(environment, configuration, publicUrl, next),
      // Who launches it again comes back to the page that was asked for.
      below: pathWithin(environment.spec.prefix, next)?.slice(environment.spec.prefix.length),
      steps,
      described: environment.state.is === 'ended' ? [] : launches.describe(environment),
      usualMs: await environments.usualStartMs(environment.profile, environment.spawner),
    })
  })

  /** Where the proxy sends a browser when it has no route: the page above tells the rest. */
  router.get('/hub/open', async (ctx) => {
    const { user } = visitorOf(ctx)
    const { next = '' } = parse(nextSchema, ctx.query)
    const [, encodedName, encodedServer] = /^\/user\/([^/?#]+)\/([^/?#]+)(?=[/?#]|$)/.exec(next) ?? []
    const [name, server] = [decoded(encodedName), decoded(encodedServer)]
    if (name === undefined || server === undefined) {
      throw new Problem('notFound', 'No environment has this address. Look on your home page.')
    }
    if (name !== user.name) {
      const detail = `This address belongs to another person, and you are logged in as ${user.name}. An environment opens for its owner alone.`
      throw new Problem('forbidden', detail)
    }
    const environment = await environments.find(name, server)
    if (environment?.userId !== user.id) {
      throw new Problem('notFound', 'This environment does not exist any more. Start a new one from your home page.')
    }
    ctx.state['environmentId'] = environment.id
    const within = pathWithin(environment.spec.prefix, next)
    ctx.status = 303
    ctx.redirect(`/hub/environments/${environment.id}${within ? `?next=${encodeURIComponent(within)}` : ''}`)
  })
  return router
}

function decoded(part: string | undefined): string | undefined {
  if (part === undefined || part.length > 300) return undefined
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined // not percent-encoded text: no address of ours
  }
}
