/** An environment's time: what ends it, one click to stay, and more of it. A page of its own, forms and the API. */
import { Router } from '@koa/router'
import { z } from 'zod'
import { parseDuration } from '../../config/units.ts'
import type { Environments, Launches } from '../domain/services.ts'
import { answerDeadlineMs } from './api.ts'
import { formBody, jsonBody } from './body.ts'
import { parse } from './input.ts'
import type { OwnEnvironments } from './own-environments.ts'
import type { Pages } from './pages.ts'
import { requireScope, visitorOf } from './visitor.ts'

export interface TimeOptions {
  readonly environments: Pick<Environments, 'active'>
  readonly own: OwnEnvironments
  readonly launches: Pick<Launches, 'extend'>
  readonly pages: Pages
  /** Where a user's environments are, as browsers see it. */
  readonly originOf: (owner: string) => string
  readonly now: () => Date
}

const duration = z
  .string()
  .max(20)
  .transform((text, context) => {
    const ms = parseDuration(text.trim())
    if (ms !== undefined && ms >= 60_000) return ms
    context.addIssue({ code: 'custom', message: 'is no time such as 4h or 90min' })
    return z.NEVER
  })

const extendSchema = z.strictObject({
  /** By how much; absent: as much as it was launched with, or what is left. */
  by: duration.optional(),
  /** Its end, as whoever asks knows it: asking twice is asking once. */
  ends: z.iso.datetime().optional(),
})

type Wanted = z.output<typeof extendSchema>

const wantedOf = ({ by, ends }: Wanted) => ({
  ...(by === undefined ? {} : { byMs: by }),
  ...(ends === undefined ? {} : { endsAt: new Date(ends) }),
})

export function timeApiRouter(options: Omit<TimeOptions, 'pages' | 'originOf'>): Router {
  const { environments, own, launches, now } = options
  const router = new Router({ prefix: '/hub/api/v1' })

  router.post('/environments/:id/stay', async (ctx) => {
    requireScope(visitorOf(ctx), 'servers')
    const { id } = await own.get(ctx, ctx.params['id'])
    await environments.active({ [id]: now().getTime() })
    ctx.status = 204
  })

  router.post('/environments/:id/extend', async (ctx) => {
    const visitor = visitorOf(ctx)
    requireScope(visitor, 'servers')
    const environment = await own.get(ctx, ctx.params['id'])
    const wanted = wantedOf(parse(extendSchema, jsonBody(ctx)))
    const extended = await launches.extend(visitor, environment, wanted, AbortSignal.timeout(answerDeadlineMs))
    ctx.set('Cache-Control', 'no-store')
    ctx.body = own.view(extended)
  })
  return router
}

export function timeRouter({ environments, own, launches, pages, originOf, now }: TimeOptions): Router {
  const router = new Router()

  router.get('/hub/environments/:id/time', async (ctx) => {
    const each = own.view(await own.get(ctx, ctx.params['id']))
    pages.show(ctx, 'time', { each, here: ctx.path })
  })

  /** The login was renewed in a window that a page inside opened: its entry is made anew, and the window closes. */
  router.get('/hub/environments/:id/renewed', async (ctx) => {
    const { owner, spec } = await own.get(ctx, ctx.params['id'])
    ctx.status = 303
    ctx.redirect(`${originOf(owner)}${spec.prefix}_hutch/enter?again`)
  })

  /** One click to stay: somebody is there, whatever the programs inside do. */
  router.post('/hub/environments/:id/stay', async (ctx) => {
    const { id } = await own.get(ctx, ctx.params['id'])
    const form = formBody(ctx)
    await environments.active({ [id]: now().getTime() })
    ctx.status = 303
    ctx.redirect(backTo(form, id))
  })

  router.post('/hub/environments/:id/extend', async (ctx) => {
    const environment = await own.get(ctx, ctx.params['id'])
    const { back, ...form } = formBody(ctx)
    const wanted = wantedOf(parse(extendSchema, form))
    await launches.extend(visitorOf(ctx), environment, wanted, AbortSignal.timeout(answerDeadlineMs))
    ctx.status = 303
    ctx.redirect(backTo({ back }, environment.id))
  })
  return router
}

/** To the page that the form was on. */
function backTo({ back }: Readonly<Record<string, unknown>>, id: string): string {
  return back === 'time' ? `/hub/environments/${id}/time` : '/hub/home'
}
