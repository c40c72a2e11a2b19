/** The login page that hub/identity shows; what its buttons lead to is identity's. */
import type { LoginPage } from '../identity/pages.ts'
import { createWeb } from '../web/render.ts'
import { createPages } from './pages.ts'

/** For createIdentity's `loginPage`. */
export function createLoginPage(options: { hub: { title: string; contact: string }; now: () => Date }): LoginPage {
  const pages = createPages(createWeb(options))
  return (ctx, { providers, demo, next, error }) => {
    const query = new URLSearchParams({ next })
    const links = providers.map(({ id, title }) => ({
      title,
      href: `/hub/login/${encodeURIComponent(id)}?${query.toString()}`,
    }))
    const { status } = ctx
    pages.show(ctx, 'login', { providers: links, demo, problem: error })
    ctx.status = status
  }
}
