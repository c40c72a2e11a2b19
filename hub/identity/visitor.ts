/** The middleware that says who makes a request, and refuses what another site makes the browser send. */
import type { Context, Middleware } from 'koa'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'
import { type CookieRules, readCookies } from './cookies.ts'
import type { Logins } from './logins.ts'
import { isForeign } from './origin.ts'
import type { Tokens } from './tokens.ts'
import { blocked } from './users.ts'

export interface VisitorOptions {
  readonly logins: Logins
  readonly tokens: Tokens
  readonly rules: CookieRules
  readonly publicOrigin: string
  readonly contact: string
}

/** Logout must work for whoever is blocked, and the login page must be able to say so. */
const openPath = /^\/hub\/(?:login|logout|assets|health)(?:\/|$)/

/** Sets ctx.state.visitor. Throws Problem 'foreignOrigin', 'blocked', and 'notLoggedIn' for a token that is no good. */
export function visitorMiddleware(options: VisitorOptions): Middleware {
  const { logins, tokens, rules, publicOrigin, contact } = options

  async function visitorOf(ctx: Context): Promise<Visitor | undefined> {
    const token = tokenOf(ctx.get('Authorization'))
    if (token !== undefined) {
      const visitor = await tokens.find(token)
      if (visitor) return visitor
      throw new Problem('notLoggedIn', 'This token is unknown, revoked or over. Make a new one.')
    }
    const secret = readCookies(ctx.get('Cookie')).get(rules.login)
    return secret ? await logins.find(secret) : undefined
  }

  return async (ctx, next) => {
    const visitor = await visitorOf(ctx)
    if (visitor?.by !== 'token') {
      const hasLoginCookie = readCookies(ctx.get('Cookie')).has(rules.login)
      if (isForeign({ method: ctx.method, headers: ctx.headers, hasLoginCookie }, publicOrigin)) {
        throw new Problem('foreignOrigin', 'Another site sent this in your name. Do it on a page of this hub.')
      }
    }
    if (visitor?.user.blockedReason !== undefined && !openPath.test(ctx.path)) {
      throw blocked(visitor.user.blockedReason, contact)
    }
    if (visitor) ctx.state['visitor'] = visitor
    await next()
  }
}

/** `Bearer` as in RFC 6750; `token` as JupyterHub's clients write it. */
function tokenOf(authorization: string): string | undefined {
  return /^(?:bearer|token) +([\w.~+/-]{1,512}=*)$/i.exec(authorization)?.[1]
}
