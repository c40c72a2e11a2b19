/** /hub/api/v1: what the pages' scripts ask for, as JSON. Each input has a schema, each refusal is a Problem. */
import { Router } from '@koa/router'
import type { ScopeName } from '../../config/scopes.ts'
import type { Catalogue, Environments, Launches, Visitor } from '../domain/services.ts'
import { readChoices } from '../launch/choices.ts'
import { jsonBody } from './body.ts'
import { offersSchema, parse, renameSchema, searchSchema } from './input.ts'
import type { OwnEnvironments } from './own-environments.ts'
import { requireScope, visitorOf } from './visitor.ts'

export interface ApiOptions {
  readonly environments: Environments
  readonly own: OwnEnvironments
  readonly launches: Launches
  readonly catalogue: Catalogue
}

export const answerDeadlineMs = 20_000

export function apiRouter({ environments, own, launches, catalogue }: ApiOptions): Router {
  const router = new Router({ prefix: '/hub/api/v1' })
  const permitted = (visitor: Visitor, scope: ScopeName): Visitor => {
    requireScope(visitor, scope)
    return visitor
  }
  router.use(async (ctx, next) => {
    visitorOf(ctx)
    ctx.set('Cache-Control', 'no-store')
    await next()
  })

  router.get('/environments', async (ctx) => {
    const items = await own.list(permitted(visitorOf(ctx), 'read:servers'))
    ctx.body = { items: items.map(own.view) }
  })

  router.post('/environments', async (ctx) => {
    const visitor = permitted(visitorOf(ctx), 'servers')
    const chosen = readChoices(jsonBody(ctx))
    const environment = await launches.launch(visitor, chosen, AbortSignal.timeout(answerDeadlineMs))
    ctx.state['environmentId'] = environment.id
    ctx.status = 201
    ctx.set('Location', `/hub/api/v1/environments/${environment.id}`)
    ctx.body = own.view(environment)
  })

  router.get('/environments/:id', async (ctx) => {
    permitted(visitorOf(ctx), 'read:servers')
    ctx.body = own.view(await own.get(ctx, ctx.params['id']))
  })

  router.patch('/environments/:id', async (ctx) => {
    permitted(visitorOf(ctx), 'servers')
    const { id } = await own.get(ctx, ctx.params['id'])
    await environments.rename(id, parse(renameSchema, jsonBody(ctx)).title)
    ctx.body = own.view(await own.get(ctx, id))
  })

  router.post('/environments/:id/stop', async (ctx) => {
    permitted(visitorOf(ctx), 'servers')
    const stopping = await own.stop(ctx, ctx.params['id'])
    ctx.status = 202
    ctx.body = own.view(stopping)
  })

  router.delete('/environments/:id', async (ctx) => {
    permitted(visitorOf(ctx), 'servers')
    const { id } = await own.get(ctx, ctx.params['id'])
    await environments.forget(id)
    ctx.status = 204
  })

  router.get('/offers', async (ctx) => {
    const visitor = permitted(visitorOf(ctx), 'read:servers')
    const { proposals: ids } = parse(offersSchema, ctx.query)
    const signal = AbortSignal.timeout(answerDeadlineMs)
    const proposals = ids.length === 0 ? [] : await catalogue.entitled(visitor.user, ids, signal)
    ctx.body = { items: await launches.offers(visitor, proposals) }
  })

  router.get('/proposals/:id/datasets', async (ctx) => {
    const visitor = permitted(visitorOf(ctx), 'read:servers')
    const { search, offset, limit } = parse(searchSchema, ctx.query)
    const wanted = { ...(search ? { search } : {}), offset, limit }
    const signal = AbortSignal.timeout(answerDeadlineMs)
    ctx.body = await catalogue.datasets(visitor.user, ctx.params['id'] ?? '', wanted, signal)
  })

  router.get('/proposals', async (ctx) => {
    const visitor = permitted(visitorOf(ctx), 'read:servers')
    const { search, offset, limit } = parse(searchSchema, ctx.query)
    const wanted = { ...(search ? { search } : {}), offset, limit }
    const page = await catalogue.proposals(visitor.user, wanted, AbortSignal.timeout(answerDeadlineMs))
    ctx.body = { ...page, offset, limit }
  })
  return router
}
