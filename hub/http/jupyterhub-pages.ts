/** Addresses of JupyterHub's pages, to which JupyterLab's hub menu and other tools lead. */
import { Router } from '@koa/router'
import type { Environments } from '../domain/services.ts'
import { serverOf } from '../roles/server-name.ts'
import type { Pages } from './pages.ts'
import { visitorOf } from './visitor.ts'

export function jupyterHubPages(options: { pages: Pages; environments: Pick<Environments, 'find'> }): Router {
  const { pages, environments } = options
  const router = new Router()

  /** A question and not the end itself: any page could lead here. */
  router.get('/hub/logout', (ctx) => {
    pages.show(ctx, 'logout', {})
  })

  for (const path of ['/hub/spawn', '/hub/spawn/:user', '/hub/spawn/:user/:server']) {
    router.get(path, (ctx) => {
      ctx.status = 303
      ctx.redirect('/hub/launch')
    })
  }

  /** Where somebody waits for a server that was started by the API. */
  for (const path of ['/hub/spawn-pending/:user', '/hub/spawn-pending/:user/:server']) {
    router.get(path, async (ctx) => {
      const { user } = visitorOf(ctx)
      const found = await environments.find(user.name, serverOf(ctx.params['server'] ?? ''))
      ctx.status = 303
      ctx.redirect(found?.userId === user.id ? `/hub/environments/${found.id}` : '/hub/home')
    })
  }

  /** A link that everybody can be sent: to a path in whatever is their default server. */
  router.get(/^\/hub\/user-redirect\/(.*)$/, (ctx) => {
    const { user } = visitorOf(ctx)
    const rest = ctx.path.slice('/hub/user-redirect/'.length)
    const next = `/user/${user.name}/${serverOf('')}/${rest}${ctx.search}`
    ctx.status = 303
    ctx.redirect(`/hub/open?${new URLSearchParams({ next }).toString()}`)
  })
  return router
}
