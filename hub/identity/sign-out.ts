/** The ends of a login that somebody asks for: in the browser, everywhere, or by the provider's own call. */
import type { Context } from 'koa'
import { z } from 'zod'
import type { Audit } from '../audit/index.ts'
import type { Log } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import { type CookieRules, readCookies } from './cookies.ts'
import { addressKey, createLimit } from './limits.ts'
import type { LoginOf, Logins } from './logins.ts'
import { providerLogoutUrl, readLogoutToken } from './logout.ts'
import { leavePage } from './pages.ts'
import type { Provider } from './provider.ts'
import type { Providers } from './providers.ts'
import type { TakenOnce } from './taken-once.ts'

export interface SignOut {
  /** Ends this browser's login, or all of its user's, then leads on to the provider where that can be. */
  leave(ctx: Context, everywhere: boolean): Promise<void>
  /** Back-channel logout; the form is parsed already. Throws Problem 'badRequest'. */
  backchannel(ctx: Context, provider: Provider): Promise<void>
}

export interface SignOutOptions {
  readonly providers: Providers
  readonly logins: Logins
  readonly rules: CookieRules
  readonly publicUrl: URL
  readonly taken: TakenOnce
  readonly audit: Pick<Audit, 'write'>
  readonly log: Log
}

export function createSignOut({ providers, logins, rules, publicUrl, taken, audit, log }: SignOutOptions): SignOut {
  const calls = createLimit({ tries: 600, windowSeconds: 60 })

  async function leave(ctx: Context, everywhere: boolean): Promise<void> {
    const secret = readCookies(ctx.get('Cookie')).get(rules.login)
    const login = secret === undefined ? undefined : await logins.behind(secret)
    if (login) await end(ctx, login, everywhere)
    ctx.append('Set-Cookie', rules.clear(rules.login))
    ctx.set('Cache-Control', 'no-store')
    const provider = login && providers.byIssuer(login.issuer)
    const url = provider && (await farewell(provider, login.idToken))
    if (provider && url) return leavePage(ctx, provider.title, url)
    ctx.status = 303
    ctx.redirect('/hub/login')
  }

  async function end(ctx: Context, { id, user }: LoginOf, everywhere: boolean): Promise<void> {
    await (everywhere ? logins.revokeAll(user.id) : logins.revoke(id))
    await audit.write({
      who: user,
      did: everywhere ? 'login.endedEverywhere' : 'login.ended',
      from: ctx.ip,
      login: id,
    })
  }

  async function farewell(provider: Provider, idToken: string | undefined): Promise<URL | undefined> {
    try {
      return await providerLogoutUrl(provider, new URL('/hub/login', publicUrl).href, idToken)
    } catch (error) {
      log.warn({ provider: provider.name, err: error }, 'the provider could not be asked where to log out')
      return undefined
    }
  }

  async function backchannel(ctx: Context, provider: Provider): Promise<void> {
    await calls.take(addressKey(ctx.ip))
    const form = z.object({ logout_token: z.string() }).safeParse(ctx.request.body)
    if (!form.success) throw new Problem('badRequest', 'Send a logout_token.', { field: 'logout_token' })
    const token = await readLogoutToken(provider, form.data.logout_token)
    const { issuer } = provider
    if (!(await taken.take(issuer, token.jti, token.until))) {
      throw new Problem('badRequest', 'This logout token was taken before.', { field: 'logout_token' })
    }
    const ended = await logins.revokeFromProvider({ issuer, ...token }).catch(async (error: unknown) => {
      await taken.giveBack(issuer, token.jti)
      throw error
    })
    for (const { id, user } of ended) {
      await audit.write({ who: `service:${provider.name}`, did: 'login.ended', toWhom: user, from: ctx.ip, login: id })
    }
    ctx.set('Cache-Control', 'no-store')
    ctx.body = ''
    ctx.status = 200
  }

  return { leave, backchannel }
}
