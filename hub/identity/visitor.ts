/** The middleware that says who makes a request, and refuses what another site makes the browser send. */
import type { Context, Middleware } from 'koa'
import { Problem } from '../domain/problem.ts'
import type { ServiceVisitor, Visitor } from '../domain/services.ts'
import { type Access, tokenPermissions } from '../roles/access.ts'
import { serverNameOf } from '../roles/server-name.ts'
import { type CookieRules, readCookies } from './cookies.ts'
import type { Logins } from './logins.ts'
import { isForeign } from './origin.ts'
import type { ServiceTokens } from './service-tokens.ts'
import type { Tokens } from './tokens.ts'
import { blocked } from './users.ts'

export interface VisitorOptions {
  readonly logins: Logins
  readonly tokens: Tokens
  readonly services: ServiceTokens
  readonly access: Access
  readonly rules: CookieRules
  readonly publicOrigin: string
  readonly contact: string
}

/** Logout must work for whoever is blocked, and the login page must be able to say so. */
const openPath = /^\/hub\/(?:login|logout|assets|health)(?:\/|$)/

/** JupyterHub's clients take 401 for a fault of theirs, and 403 for a token that is no good any more. */
const jupyterHubPath = /^\/hub\/api\/(?!v1\/)/

/** Sets ctx.state.visitor, or ctx.state.service. Throws Problem 'foreignOrigin', 'blocked', and 'notLoggedIn' for a token that is no good. */
export function visitorMiddleware(options: VisitorOptions): Middleware {
  const { logins, tokens, services, access, rules, publicOrigin, contact } = options
  const completed = new WeakMap<Visitor, Visitor>()

  async function whoIs(ctx: Context): Promise<Visitor | ServiceVisitor | undefined> {
    const token = tokenOf(ctx.get('Authorization'))
    if (token !== undefined) {
      const service = services.find(token)
      if (service !== undefined) return { name: service, ...access.ofService(service) }
      const visitor = await tokens.find(token)
      if (visitor) return await complete(visitor)
      // A client of OAuth may say who it is twice; the form is what counts there.
      if (ctx.path === '/hub/api/oauth2/token') return undefined
      const type = jupyterHubPath.test(ctx.path) ? 'forbidden' : 'notLoggedIn'
      throw new Problem(type, 'This token is unknown, revoked or over. Make a new one.')
    }
    const secret = readCookies(ctx.get('Cookie')).get(rules.login)
    const visitor = secret ? await logins.find(secret) : undefined
    return visitor && (await complete(visitor))
  }

  /** With the groups that are kept here, with roles, and with what these allow. */
  async function complete(visitor: Visitor): Promise<Visitor> {
    const known = completed.get(visitor)
    if (known !== undefined && visitor.by === 'token') return known
    const { user, by, scopes = [], server } = visitor
    const groups = [...new Set([...visitor.groups, ...(await access.groups.of(user))])]
    const standing = await access.ofUser(user, groups)
    const { admin, roles } = standing
    const permissions =
      by === 'cookie'
        ? standing.permissions
        : tokenPermissions(
            {
              scopes,
              owner: { kind: 'user', name: user.name },
              ...(server === undefined ? {} : { server: `${user.name}/${serverNameOf(server)}` }),
            },
            standing.permissions,
            groups,
          )
    const whole = { ...visitor, user: { ...user, admin }, groups, roles, permissions }
    completed.set(visitor, whole)
    return whole
  }

  return async (ctx, next) => {
    const who = await whoIs(ctx)
    if (who !== undefined && 'name' in who) {
      ctx.state['service'] = who
      return await next()
    }
    const visitor = who
    if (visitor?.by !== 'token') {
      const hasLoginCookie = readCookies(ctx.get('Cookie')).has(rules.login)
      if (isForeign({ method: ctx.method, headers: ctx.headers, hasLoginCookie }, publicOrigin)) {
        throw new Problem('foreignOrigin', 'Another site sent this in your name. Do it on a page of this hub.')
      }
    }
    if (visitor?.user.blockedReason !== undefined && !openPath.test(ctx.path)) {
      throw blocked(visitor.user.blockedReason, contact)
    }
    if (visitor) ctx.state['visitor'] = { ...visitor, address: ctx.ip }
    await next()
  }
}

/** `Bearer` as in RFC 6750; `token` as JupyterHub's clients write it. */
function tokenOf(authorization: string): string | undefined {
  return /^(?:bearer|token) +([\w.~+/-]{1,512}=*)$/i.exec(authorization)?.[1]
}
