/** /hub/api/v1: visits of staff and guests. Announced with a reason by a program, entered by a browser. */
import { Router } from '@koa/router'
import type { Configuration } from '../../config/schema.ts'
import type { Environments } from '../domain/services.ts'
import type { Sharing } from '../sharing/index.ts'
import type { Visit } from '../sharing/share.ts'
import { environmentUrl } from '../web/environment-url.ts'
import { jsonBody } from './body.ts'
import { parse, parseEnvironmentId, reasonSchema } from './input.ts'
import type { OwnEnvironments } from './own-environments.ts'
import { endVisit } from './sharing.ts'
import { requireScope, visitorOf } from './visitor.ts'

export interface VisitsApiOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly environments: Pick<Environments, 'get'>
  readonly own: OwnEnvironments
  readonly sharing: Sharing
}

export function visitsApiRouter({ configuration, publicUrl, environments, own, sharing }: VisitsApiOptions): Router {
  const router = new Router({ prefix: '/hub/api/v1' })

  /** {reason} → the visit, and where a browser of the same person enters by it. */
  router.post('/environments/:id/visits', async (ctx) => {
    const visitor = visitorOf(ctx)
    const environment = await environments.get(parseEnvironmentId(ctx.params['id']))
    const { reason } = parse(reasonSchema, jsonBody(ctx))
    const visit = await sharing.announce(visitor, environment, reason)
    ctx.status = 201
    ctx.set('Cache-Control', 'no-store')
    ctx.body = { ...visit, ...(environment && { url: environmentUrl(environment, configuration, publicUrl) }) }
  })

  router.get('/environments/:id/visits', async (ctx) => {
    requireScope(visitorOf(ctx), 'read:servers')
    const { id } = await own.get(ctx, ctx.params['id'])
    ctx.set('Cache-Control', 'no-store')
    const items: readonly Visit[] = await sharing.visits.list({ environment: id })
    ctx.body = { items }
  })

  router.post('/visits/:id/end', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'shares')
    await endVisit(sharing, visitor, ctx.params['id'] ?? '')
    ctx.status = 204
  })
  return router
}
