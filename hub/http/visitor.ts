/** Who makes the request. The identity middleware has set it, or nobody is logged in. */
import type { Context, Middleware } from 'koa'
import { Problem } from '../domain/problem.ts'
import type { ScopeName } from '../../config/scopes.ts'
import type { ServiceVisitor, Visitor } from '../domain/services.ts'
import { allows, type Permissions } from '../roles/permissions.ts'

/** @throws Problem 'notLoggedIn'; a navigation is then led to the login page (errors.ts). */
export function visitorOf(ctx: Context): Visitor {
  const visitor = possibleVisitor(ctx)
  if (visitor === undefined) throw new Problem('notLoggedIn', 'Log in, then try again.')
  return visitor
}

export function possibleVisitor(ctx: Context): Visitor | undefined {
  const visitor: Visitor | undefined = ctx.state['visitor']
  return visitor
}

export function serviceOf(ctx: Context): ServiceVisitor | undefined {
  const service: ServiceVisitor | undefined = ctx.state['service']
  return service
}

/** What whoever asks may do, a person or a service. @throws Problem 'notLoggedIn' */
export function permissionsAt(ctx: Context): Permissions {
  return serviceOf(ctx)?.permissions ?? visitorOf(ctx).permissions ?? new Map()
}

/** Of the visitor's own. A cookie may do all that its user may; a token only what its scopes name. */
export function requireScope({ by, user, groups, permissions }: Visitor, scope: ScopeName): void {
  const own = { kind: 'user', name: user.name, groups } as const
  if (by === 'token' && !(permissions && allows(permissions, scope, own))) {
    throw new Problem('forbidden', `This token lacks the scope ${scope}. Make one that has it.`)
  }
}

/** Pages and their forms ask for no scope: so they are for people at browsers, and tokens have the API. */
export function browsersOnly(): Middleware {
  return async (ctx, next) => {
    if (possibleVisitor(ctx)?.by === 'token') {
      throw new Problem('forbidden', 'A token opens no pages. Use /hub/api/, or log in with a browser.')
    }
    await next()
  }
}
