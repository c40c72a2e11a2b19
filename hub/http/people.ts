/** People, for staff: who is here, what of theirs runs, the way in to help; and keeping somebody out, with a reason. */
import { Router } from '@koa/router'
import type { Context } from 'koa'
import type { Configuration } from '../../config/schema.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments } from '../domain/services.ts'
import type { Actor } from '../identity/links.ts'
import type { People, Person } from '../identity/people.ts'
import { allows, allowsSome, type Permissions } from '../roles/permissions.ts'
import { serverNameOf } from '../roles/server-name.ts'
import { closedBecause } from '../sharing/share.ts'
import { environmentUrl } from '../web/environment-url.ts'
import { formBody, jsonBody } from './body.ts'
import { requireAdmin } from './identities.ts'
import { parse, refuseSchema, searchSchema } from './input.ts'
import type { Pages } from './pages.ts'
import { permissionsAt, visitorOf } from './visitor.ts'

/** `reason`: what the person reads; null: not blocked any more. @throws Problem 'notFound' */
export type Block = (user: string, reason: string | null, by: Actor) => Promise<void>

export interface PeopleOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly environments: Pick<Environments, 'live'>
  readonly people: Pick<People, 'find' | 'page'>
  readonly block: Block
  readonly pages: Pages
}

export function peopleRouter({ configuration, publicUrl, environments, people, block, pages }: PeopleOptions): Router {
  const router = new Router()

  function viewOf(person: Person, permissions: Permissions) {
    const { name, groups } = person
    const may = (scope: Parameters<typeof allows>[1], { server }: Environment): boolean =>
      allows(permissions, scope, { kind: 'server', user: name, server: serverNameOf(server), groups })
    const readable = environments.live(person.id).filter((each) => may('read:servers', each))
    return {
      ...person,
      environments: readable.map((each) => ({
        title: each.title,
        state: each.state.is,
        enter:
          each.state.is === 'ready' && may('access:servers', each) && !closedBecause(each.spec, configuration)
            ? environmentUrl(each, configuration, publicUrl)
            : undefined,
      })),
    }
  }

  async function show(ctx: Context, problem?: Problem): Promise<void> {
    const permissions = permissionsAt(ctx)
    if (!allowsSome(permissions, 'list:users')) {
      throw new Problem('forbidden', 'This page is for staff, with the scope list:users.')
    }
    const { search = '', offset, limit } = parse(searchSchema, ctx.query)
    const fits = allows(permissions, 'list:users')
      ? undefined
      : ({ name, groups }: Person) => allows(permissions, 'list:users', { kind: 'user', name, groups })
    const filter = { sort: 'name', descending: false, ...(search && { nameContains: search }) } as const
    const { items, total } = await people.page(filter, { offset, limit }, fits)
    pages.show(ctx, 'people', {
      people: items.map((person) => viewOf(person, permissions)),
      mayBlock: allows(permissions, 'admin:users', { kind: 'user', name: '', groups: [] }),
      search,
      offset,
      limit,
      total,
      problem,
    })
    if (problem) ctx.status = problem.status
  }

  async function orAgain(ctx: Context, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      ctx.status = 303
      ctx.redirect(`/hub/admin/people?${new URLSearchParams({ search: ctx.params['name'] ?? '' }).toString()}`)
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error
      await show(ctx, error)
    }
  }

  router.get('/hub/admin/people', (ctx) => show(ctx))

  router.post('/hub/admin/people/:name/block', async (ctx) => {
    const actor = requireAdmin(ctx)
    await orAgain(ctx, async () => {
      const { reason } = parse(refuseSchema, formBody(ctx))
      refuseOneself(ctx, ctx.params['name'])
      await block(ctx.params['name'] ?? '', reason, actor)
    })
  })

  router.post('/hub/admin/people/:name/unblock', async (ctx) => {
    const actor = requireAdmin(ctx)
    await orAgain(ctx, async () => {
      formBody(ctx)
      await block(ctx.params['name'] ?? '', null, actor)
    })
  })
  return router
}

/** Whoever keeps themselves out can't undo it. */
function refuseOneself(ctx: Context, name: string | undefined): void {
  if (ctx.state['visitor'] === undefined || visitorOf(ctx).user.name !== name) return
  throw new Problem('conflict', 'You would keep yourself out. Ask another administrator.', { field: 'user' })
}

/** POST /hub/api/v1/users/NAME/block {reason}, and unblock. */
export function peopleApiRouter(block: Block): Router {
  const router = new Router({ prefix: '/hub/api/v1' })
  router.post('/users/:name/block', async (ctx) => {
    const actor = requireAdmin(ctx)
    refuseOneself(ctx, ctx.params['name'])
    await block(ctx.params['name'] ?? '', parse(refuseSchema, jsonBody(ctx)).reason, actor)
    ctx.status = 204
  })
  router.post('/users/:name/unblock', async (ctx) => {
    const actor = requireAdmin(ctx)
    await block(ctx.params['name'] ?? '', null, actor)
    ctx.status = 204
  })
  return router
}
