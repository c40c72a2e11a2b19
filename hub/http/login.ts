/** The login page that hub/identity shows; what its buttons lead to is identity's. */
import type { LoginPage, RenewedPage } from '../identity/pages.ts'
import { createWeb } from '../web/render.ts'
import { createPages } from './pages.ts'

interface LoginPages {
  readonly loginPage: LoginPage
  readonly renewedPage: RenewedPage
}

/** For createIdentity. */
export function createLoginPages(options: Parameters<typeof createWeb>[0]): LoginPages {
  const pages = createPages(createWeb(options))
  return {
    renewedPage: (ctx) => pages.show(ctx, 'renewed', {}),
    loginPage(ctx, { providers, demo, next, form, error }) {
      const query = new URLSearchParams({ next })
      const links = providers.map(({ id, title }) => ({
        title,
        href: `/hub/login/${encodeURIComponent(id)}?${query.toString()}`,
      }))
      const { status } = ctx
      if (form === undefined) pages.show(ctx, 'login', { providers: links, demo, problem: error })
      else pages.show(ctx, 'password', { form, others: links.length > 1, next, problem: error })
      ctx.status = status
    },
  }
}
