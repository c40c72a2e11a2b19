/** Tokens of one's own: make one, see it once, see when it was used, revoke it. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import { Problem } from '../domain/problem.ts'
import type { Tokens } from '../identity/tokens.ts'
import { formBody } from './body.ts'
import { parse } from './input.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface TokensPageOptions {
  readonly tokens: Pick<Tokens, 'create' | 'list' | 'revoke'>
  readonly audit: Pick<Audit, 'write'>
  readonly pages: Pages
  readonly now: () => Date
}

const choices = [
  { name: 'see', title: 'See my environments', scopes: ['read:servers!user'] },
  { name: 'servers', title: 'Start and stop my environments', scopes: ['servers!user'] },
  { name: 'all', title: 'Everything that I may do', scopes: ['inherit'] },
  { name: 'other', title: 'Other scopes', scopes: [] },
] as const

const dayMs = 86_400_000
const ends = [
  { name: '1d', title: 'in a day', ms: dayMs },
  { name: '30d', title: 'in 30 days', ms: 30 * dayMs },
  { name: '365d', title: 'in a year', ms: 365 * dayMs },
  { name: 'never', title: 'when I revoke it', ms: undefined },
] as const

const formSchema = z.object({
  note: z.string().trim().min(1, 'must say what it is for').max(200),
  may: z.enum(['see', 'servers', 'all', 'other']),
  scopes: z.string().max(2_000).default(''),
  ends: z.enum(['1d', '30d', '365d', 'never']),
})

type Draft = Readonly<Record<'note' | 'may' | 'scopes' | 'ends', string>>

export function tokensRouter({ tokens, audit, pages, now }: TokensPageOptions): Router {
  const router = new Router()

  async function show(ctx: Context, more: { made?: string; problem?: Problem; draft?: Draft } = {}): Promise<void> {
    const list = (await tokens.list(visitorOf(ctx).user.id)).filter(({ client }) => client === undefined)
    const draft: Draft = { note: '', may: 'see', scopes: '', ends: '30d', ...more.draft }
    pages.show(ctx, 'tokens', { tokens: list, choices, ends, ...more, draft })
  }

  router.get('/hub/token', async (ctx) => {
    await show(ctx)
  })

  router.post('/hub/token', async (ctx) => {
    const visitor = visitorOf(ctx)
    const form = formBody(ctx)
    try {
      const { note, may, scopes: text, ends: end } = parse(formSchema, form)
      const chosen = choices.find(({ name }) => name === may)?.scopes ?? []
      const scopes = may === 'other' ? text.split(/\s+/).filter((each) => each !== '') : chosen
      const lastsMs = ends.find(({ name }) => name === end)?.ms
      const { id, token } = await tokens.create({
        userId: visitor.user.id,
        scopes,
        note,
        ...(lastsMs === undefined ? {} : { expiresAt: new Date(now().getTime() + lastsMs) }),
      })
      await audit.write({ ...actorOf(visitor), did: 'token.made', what: id, detail: { scopes: [...scopes] } })
      await show(ctx, { made: token })
      ctx.status = 201
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error
      await show(ctx, { problem: error, draft: draftOf(form) })
      ctx.status = error.status
    }
  })

  router.post('/hub/token/:id/revoke', async (ctx) => {
    const visitor = visitorOf(ctx)
    formBody(ctx)
    const { id = '' } = ctx.params
    await tokens.revoke(visitor.user.id, id)
    await audit.write({ ...actorOf(visitor), did: 'token.revoked', what: id })
    ctx.status = 303
    ctx.redirect('/hub/token')
  })

  return router
}

function draftOf(form: Readonly<Record<string, unknown>>): Draft {
  const text = (name: string): string => {
    const value = form[name]
    return typeof value === 'string' ? value.slice(0, 2_000) : ''
  }
  return { note: text('note'), may: text('may'), scopes: text('scopes'), ends: text('ends') }
}
