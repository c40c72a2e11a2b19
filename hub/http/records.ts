/** What environments left: one's own, and for administrators everybody's. Pages and their API. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import { type EnvironmentRecord, type RecordQuery } from '../quota/records.ts'
import { parse } from './input.ts'
import type { Pages } from './pages.ts'
import { administratorAt } from './quota.ts'
import { requireScope, visitorOf } from './visitor.ts'

export type ReadRecords = (query: RecordQuery) => Promise<readonly EnvironmentRecord[]>

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
