/** What environments left: one's own, and for administrators everybody's. Pages and their API. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import { type EnvironmentRecord, type RecordQuery } from '../quota/records.ts'
import { Problem } from '../domain/problem.ts'
import { parse, parseEnvironmentId } from './input.ts'
import type { Pages } from './pages.ts'
import { administratorAt, isAdministrator } from './quota.ts'
import { requireScope, visitorOf } from './visitor.ts'

export interface ReadRecords {
  (query: RecordQuery): Promise<readonly EnvironmentRecord[]>
  packages(query: Pick<RecordQuery, 'userId'> & { readonly id: string }): Promise<string | undefined>
}

const querySchema = z.object({
  user: z.string().max(64).optional(),
  /** ISO 8601. */
  before: z.iso.datetime().optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
})

export function recordsApiRouter(records: ReadRecords): Router {
  const router = new Router({ prefix: '/hub/api/v1' })
  router.get('/records', async (ctx) => {
    requireScope(visitorOf(ctx), 'read:servers')
    ctx.set('Cache-Control', 'no-store')
    ctx.body = { items: await records(own(ctx)) }
  })
  /** As text, a line for each package: of one's own, and for administrators of everybody's. */
  router.get('/records/:id/packages', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'read:servers')
    const whose = isAdministrator(ctx) ? {} : { userId: visitor.user.id }
    const list = await records.packages({ id: parseEnvironmentId(ctx.params['id']), ...whose })
    if (list === undefined) throw new Problem('notFound', 'Nothing is known of what was in it.')
    ctx.set('Cache-Control', 'no-store')
    ctx.type = 'text/plain; charset=utf-8'
    ctx.body = list
  })
  router.get('/records/everyone', async (ctx) => {
    administratorAt(ctx)
    ctx.set('Cache-Control', 'no-store')
    ctx.body = { items: await records(all(ctx)) }
  })
  return router
}

export function recordsPagesRouter(records: ReadRecords, pages: Pages): Router {
  const router = new Router()
  router.get('/hub/records', async (ctx) => {
    show(ctx, await records(own(ctx)), '/hub/records')
  })
  router.get('/hub/admin/records', async (ctx) => {
    administratorAt(ctx)
    show(ctx, await records(all(ctx)), '/hub/admin/records')
  })

  function show(ctx: Context, items: readonly EnvironmentRecord[], path: string): void {
    const { limit, user } = parse(querySchema, ctx.query)
    const last = items.length < limit ? undefined : items.at(-1)
    const older =
      last && `${path}?${new URLSearchParams({ before: last.endedAt.toISOString(), ...(user && { user }) }).toString()}`
    pages.show(ctx, 'records', { items, older, everybody: path !== '/hub/records' })
  }
  return router
}

function own(ctx: Context): RecordQuery {
  const { before, limit } = parse(querySchema, ctx.query)
  return { userId: visitorOf(ctx).user.id, limit, ...(before && { before: Date.parse(before) }) }
}

function all(ctx: Context): RecordQuery {
  const { user, before, limit } = parse(querySchema, ctx.query)
  return { limit, ...(user && { userName: user }), ...(before && { before: Date.parse(before) }) }
}
