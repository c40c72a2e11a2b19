/** My usage; and for administrators all limits and who uses what. Pages and their API. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import { actorOf } from '../audit/entry.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, Visitor } from '../domain/services.ts'
import type { Log } from '../../spawners/spawner.ts'
import { askerOf } from '../launch/asking.ts'
import { writeLimit, writtenNames } from '../quota/document.ts'
import type { Quota } from '../quota/index.ts'
import type { Requests } from '../quota/requests.ts'
import type { Limit } from '../quota/limit.ts'
import { mostText, sourceText, titleOf } from '../quota/words.ts'
import { answerDeadlineMs } from './api.ts'
import { formBody, jsonBody } from './body.ts'
import type { Homes } from './full-home.ts'
import { parse } from './input.ts'
import type { Pages } from './pages.ts'
import { allows } from '../roles/permissions.ts'
import { permissionsAt, requireScope, visitorOf } from './visitor.ts'

export interface QuotaRouterOptions {
  readonly quota: Quota
  readonly requests: Requests
  readonly catalogue: Catalogue
  readonly homes: Homes
  readonly pages: Pages
  readonly log: Log
}

const applySchema = z.strictObject({
  /** What these are called: limits of other sources stay. */
  source: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be letters, digits, dots and hyphens'),
  dryRun: z.boolean().default(false),
  limits: z.array(z.unknown()),
})

const decisionSchema = z.strictObject({ grant: z.enum(['yes', 'no']), answer: z.string().max(2_000).default('') })

const askSchema = z.looseObject({ reason: z.string() })

/** Limits follow from a few proposals; nobody's page asks for thousands. */
const mostProposals = 50

export function isAdministrator(ctx: Context): boolean {
  return allows(permissionsAt(ctx), 'admin-ui')
}

/** @throws Problem forbidden */
export function administratorAt(ctx: Context): Visitor {
  const visitor = visitorOf(ctx)
  if (isAdministrator(ctx)) return visitor
  throw new Problem('forbidden', 'This is for administrators, and for tokens of theirs with the scope admin-ui.')
}

export function quotaApiRouter({ quota, requests, catalogue, homes, log }: Omit<QuotaRouterOptions, 'pages'>): Router {
  const router = new Router({ prefix: '/hub/api/v1' })
  router.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store')
    await next()
  })

  router.get('/usage', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'read:servers')
    const home = await homes.of(visitor)
    ctx.body = { items: await ownUsage(quota, catalogue, visitor, log), ...(home === undefined ? {} : { home }) }
  })

  router.get('/usage/everyone', async (ctx) => {
    administratorAt(ctx)
    ctx.body = { items: await quota.usage.everyone() }
  })

  router.get('/limits/requests', async (ctx) => {
    administratorAt(ctx)
    ctx.body = { items: await requests.list() }
  })

  router.post('/limits/requests/:id', async (ctx) => {
    const visitor = administratorAt(ctx)
    const { grant, answer } = parse(decisionSchema, jsonBody(ctx))
    await requests.decide(ctx.params['id'] ?? '', { grant: grant === 'yes', answer }, actorOf(visitor))
    ctx.status = 204
  })

  router.get('/usage/requests', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'read:servers')
    ctx.body = { items: await requests.list(visitor.user.id) }
  })

  router.post('/usage/requests', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'servers')
    const { reason, ...wanted } = parse(askSchema, jsonBody(ctx))
    await requests.ask(visitor.user, wanted, reason, actorOf(visitor))
    ctx.status = 201
    ctx.body = {}
  })

  router.get('/limits', async (ctx) => {
    administratorAt(ctx)
    ctx.body = {
      items: (await quota.list()).map((limit) => ({ id: limit.id, source: limit.source, ...writeLimit(limit) })),
    }
  })

  router.post('/limits', async (ctx) => {
    const visitor = administratorAt(ctx)
    await quota.add(jsonBody(ctx), actorOf(visitor))
    ctx.status = 201
    ctx.body = {}
  })

  router.post('/limits/apply', async (ctx) => {
    const visitor = administratorAt(ctx)
    const { source, dryRun, limits } = parse(applySchema, jsonBody(ctx))
    ctx.body = await quota.apply({ source, dryRun, value: { limits } }, actorOf(visitor))
  })

  router.delete('/limits/:id', async (ctx) => {
    const visitor = administratorAt(ctx)
    await quota.remove(ctx.params['id'] ?? '', actorOf(visitor))
    ctx.status = 204
  })
  return router
}

export function quotaPagesRouter({ quota, requests, catalogue, homes, pages, log }: QuotaRouterOptions): Router {
  const router = new Router()

  router.get('/hub/usage', async (ctx) => {
    const visitor = visitorOf(ctx)
    await showUsage(ctx, visitor, {})
  })

  router.post('/hub/usage/requests', async (ctx) => {
    const visitor = visitorOf(ctx)
    const { reason, ...wanted } = formBody(ctx)
    const ask = () => requests.ask(visitor.user, entryOf(wanted), reason, actorOf(visitor))
    if (!(await orAgain(ctx, ask, (problem) => showUsage(ctx, visitor, { ...wanted, reason }, problem)))) return
    ctx.status = 303
    ctx.redirect('/hub/usage')
  })

  router.post('/hub/admin/requests/:id', async (ctx) => {
    const visitor = administratorAt(ctx)
    const { grant, answer } = parse(decisionSchema, formBody(ctx))
    await requests.decide(ctx.params['id'] ?? '', { grant: grant === 'yes', answer }, actorOf(visitor))
    ctx.status = 303
    ctx.redirect('/hub/admin/limits')
  })

  async function showUsage(
    ctx: Context,
    visitor: Visitor,
    draft: Readonly<Record<string, unknown>>,
    problem?: Problem,
  ): Promise<void> {
    const [lines, asked, home] = await Promise.all([
      ownUsage(quota, catalogue, visitor, log),
      requests.list(visitor.user.id),
      homes.of(visitor),
    ])
    pages.show(ctx, 'usage', { lines, asked, home, draft, problem, writtenNames })
  }

  router.get('/hub/admin/limits', async (ctx) => {
    administratorAt(ctx)
    await showLimits(ctx, {})
  })

  router.post('/hub/admin/limits', async (ctx) => {
    const visitor = administratorAt(ctx)
    const form = formBody(ctx)
    const add = () => quota.add(entryOf(form), actorOf(visitor))
    if (!(await orAgain(ctx, add, (problem) => showLimits(ctx, form, problem)))) return
    ctx.status = 303
    ctx.redirect('/hub/admin/limits')
  })

  router.post('/hub/admin/limits/:id/remove', async (ctx) => {
    const visitor = administratorAt(ctx)
    formBody(ctx)
    await quota.remove(ctx.params['id'] ?? '', actorOf(visitor))
    ctx.status = 303
    ctx.redirect('/hub/admin/limits')
  })

  async function showLimits(ctx: Context, draft: Readonly<Record<string, unknown>>, problem?: Problem): Promise<void> {
    const [limits, people, asked] = await Promise.all([quota.list(), quota.usage.everyone(), requests.list()])
    pages.show(ctx, 'limits', { limits: limits.map(limitView), people, asked, draft, problem, writtenNames })
  }
  return router
}

/** False: it was refused for what was written, and the form is there again, with the reason. */
async function orAgain(
  ctx: Context,
  work: () => Promise<void>,
  show: (problem: Problem) => Promise<void>,
): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (!(error instanceof Problem) || error.status >= 500) throw error
    await show(error)
    ctx.status = error.status
    return false
  }
}

async function ownUsage(quota: Quota, catalogue: Catalogue, visitor: Visitor, log: Log) {
  const wanted = { offset: 0, limit: mostProposals }
  const proposals = await catalogue
    .proposals(visitor.user, wanted, AbortSignal.timeout(answerDeadlineMs))
    .then(({ items }) => items)
    .catch((error: unknown) => {
      log.warn({ err: error }, 'the catalogue does not answer; limits of proposals are not shown')
      return []
    })
  return await quota.usage.of(askerOf(visitor, proposals))
}

function limitView(limit: Limit) {
  return {
    id: limit.id,
    title: titleOf(limit),
    whose: limit.subject.kind === 'everyone' ? 'everyone' : `${limit.subject.kind} ${limit.subject.name}`,
    share: limit.share,
    most: mostText(limit, limit.most),
    source: limit.source,
    words: sourceText(limit),
    note: limit.note,
    ...(limit.from === undefined ? {} : { from: new Date(limit.from) }),
    ...(limit.until === undefined ? {} : { until: new Date(limit.until) }),
  }
}

/** Empty fields of a form are absent. */
function entryOf(form: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { together, ...rest } = form
  const given = Object.entries(rest).filter(([, value]) => value !== '')
  return { ...Object.fromEntries(given), ...(together === 'on' ? { together: true } : {}) }
}
