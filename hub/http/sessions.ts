/** "Where am I logged in": the living logins, and an end for each of them or for all. */
import { Router } from '@koa/router'
import { Problem } from '../domain/problem.ts'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Logins } from '../identity/logins.ts'
import { describeBrowser } from '../web/browser-name.ts'
import { formBody } from './body.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export interface SessionsOptions {
  readonly logins: Pick<Logins, 'list' | 'revoke'>
  readonly audit: Pick<Audit, 'write'>
  readonly pages: Pages
}

export function sessionsRouter({ logins, audit, pages }: SessionsOptions): Router {
  const router = new Router()

  router.get('/hub/sessions', async (ctx) => {
    const visitor = visitorOf(ctx)
    const list = await logins.list(visitor.user.id)
    const sessions = list.map((each) => ({
      ...each,
      current: each.id === visitor.login,
      browser: describeBrowser(each.userAgent),
    }))
    pages.show(ctx, 'sessions', { sessions: sessions.toSorted((a, b) => Number(b.current) - Number(a.current)) })
  })

  router.post('/hub/sessions/:login/end', async (ctx) => {
    const visitor = visitorOf(ctx)
    formBody(ctx)
    const own = (await logins.list(visitor.user.id)).find((each) => each.id === ctx.params['login'])
    if (own === undefined) throw new Problem('notFound', 'This login is over already. Look at the list again.')
    await logins.revoke(own.id)
    await audit.write({ ...actorOf(visitor), did: 'login.ended', what: own.id })
    ctx.status = 303
    ctx.redirect('/hub/sessions')
  })
  return router
}
