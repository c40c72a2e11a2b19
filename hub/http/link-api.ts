/** /hub/api/v1/link-requests, /hub/api/v1/identities: linking for programs, such as a user office's. */
import { Router } from '@koa/router'
import { actorOf } from '../audit/entry.ts'
import type { Link } from '../identity/links.ts'
import type { Linking } from '../identity/index.ts'
import { jsonBody } from './body.ts'
import { requireAdmin } from './identities.ts'
import { approveSchema, identitySchema, parse, refuseSchema } from './input.ts'
import { requireScope, visitorOf } from './visitor.ts'

export function linkApiRouter({ links, requests }: Linking): Router {
  const router = new Router({ prefix: '/hub/api/v1' })

  router.get('/link-requests', async (ctx) => {
    requireAdmin(ctx)
    ctx.set('Cache-Control', 'no-store')
    ctx.body = { items: await requests.waiting() }
  })

  router.post('/link-requests/:id/approve', async (ctx) => {
    const actor = requireAdmin(ctx)
    await requests.approve(ctx.params['id'] ?? '', parse(approveSchema, jsonBody(ctx)).user, actor)
    ctx.status = 204
  })

  router.post('/link-requests/:id/refuse', async (ctx) => {
    const actor = requireAdmin(ctx)
    await requests.refuse(ctx.params['id'] ?? '', parse(refuseSchema, jsonBody(ctx)).reason, actor)
    ctx.status = 204
  })

  router.get('/identities', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'read:users')
    ctx.set('Cache-Control', 'no-store')
    const items: readonly Link[] = await links.list(visitor.user.id)
    ctx.body = { items }
  })

  router.post('/identities/unlink', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'users')
    await links.unlink(visitor.user, parse(identitySchema, jsonBody(ctx)), actorOf(visitor))
    ctx.status = 204
  })
  return router
}
