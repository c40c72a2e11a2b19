/** The login page. What its buttons lead to is hub/identity's. */
import { Router } from '@koa/router'
import type { Configuration } from '../../config/schema.ts'
import { nextSchema, parse } from './input.ts'
import type { Pages } from './pages.ts'
import { possibleVisitor } from './visitor.ts'

export function loginRouter({ configuration, pages }: { configuration: Configuration; pages: Pages }): Router {
  const router = new Router()
  router.get('/hub/login', (ctx) => {
    const { next = '/hub/home' } = parse(nextSchema, ctx.query)
    if (possibleVisitor(ctx)) {
      ctx.status = 303
      ctx.redirect('/hub/home')
      return
    }
    const query = new URLSearchParams({ next })
    const providers = Object.entries(configuration.login.providers).map(([name, { title }]) => ({
      title,
      href: `/hub/login/${name}?${query.toString()}`,
    }))
    pages.show(ctx, 'login', { providers, demo: configuration.login.demo })
  })
  return router
}
