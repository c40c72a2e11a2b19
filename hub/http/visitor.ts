/** Who makes the request. The identity middleware has set it, or nobody is logged in. */
import type { Context, Middleware } from 'koa'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'

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

/** A cookie may do all that its user may; a token only what its scopes name. */
export function requireScope(visitor: Visitor, scope: string): void {
  if (visitor.by === 'token' && !visitor.scopes?.includes(scope)) {
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
