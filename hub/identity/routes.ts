/** /hub/login…, /hub/logout…: the ways in and out. */
import { bodyParser } from '@koa/bodyparser'
import { Router } from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import type { Log } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'
import { type CookieRules, readCookies } from './cookies.ts'
import { LoginFailure } from './failure.ts'
import { addressKey, createLimit } from './limits.ts'
import type { Logins } from './logins.ts'
import { providerLogoutUrl, readLogoutToken } from './logout.ts'
import type { LoginMetrics } from './metrics.ts'
import { safeNext } from './next.ts'
import { leavePage, type LoginPage } from './pages.ts'
import type { Steps } from './passport.ts'
import type { PendingLogins } from './pending.ts'
import type { Provider } from './provider.ts'
import type { Providers } from './providers.ts'
import type { SignedIn } from './strategy.ts'
import type { Users } from './users.ts'

export interface RoutesOptions {
  readonly providers: Providers
  readonly steps: Steps
  readonly pending: PendingLogins
  readonly users: Users
  readonly logins: Logins
  readonly rules: CookieRules
  readonly publicUrl: URL
  readonly loginPage: LoginPage
  readonly demo: boolean
  readonly metrics: LoginMetrics
  readonly log: Log
  readonly now: () => number
}

export function loginRoutes(options: RoutesOptions): Router {
  const { providers, steps, pending, users, logins, rules, loginPage, demo, metrics, log, now } = options
  // A whole facility may come from one address in the morning: what is counted strictly is what failed.
  const starts = createLimit({ tries: 300, windowSeconds: 60 })
  const failures = createLimit({ tries: 30, windowSeconds: 300 })
  const byUser = createLimit({ tries: 30, windowSeconds: 300 })
  const backchannel = createLimit({ tries: 600, windowSeconds: 60 })

  async function showLogin(ctx: Context, next: string, problem?: Problem): Promise<void> {
    ctx.status = problem?.status ?? 200
    ctx.set('Cache-Control', 'no-store')
    if (problem?.retryAfter !== undefined) ctx.set('Retry-After', String(problem.retryAfter))
    await loginPage(ctx, {
      providers: providers.all.map(({ name, title }) => ({ id: name, title })),
      demo,
      next,
      ...(problem ? { error: { title: problem.title, detail: problem.detail } } : {}),
    })
    ctx.status = problem?.status ?? 200
  }

  /** A login that fails ends on the login page, with the reason and the buttons to try again. */
  async function orLoginPage(ctx: Context, provider: Provider, next: string, step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      const reason = error instanceof LoginFailure ? error.reason : error.type
      metrics.refused(provider.name, reason)
      log.warn({ provider: provider.name, reason, err: error.cause, address: ctx.ip }, 'a login was refused')
      await showLogin(ctx, next, error)
    }
  }

  async function start(ctx: Context, provider: Provider, next: string): Promise<void> {
    await starts.take(addressKey(ctx.ip))
    const cookies = readCookies(ctx.get('Cookie'))
    await steps.start(ctx, provider, async (half) => {
      const { handle, setCookies } = await pending.begin({ ...half, provider: provider.name, next }, cookies)
      ctx.append('Set-Cookie', setCookies)
      return handle
    })
    ctx.set('Cache-Control', 'no-store')
  }

  async function callback(ctx: Context, provider: Provider): Promise<void> {
    const address = addressKey(ctx.ip)
    await failures.check(address)
    const cookies = readCookies(ctx.get('Cookie'))
    try {
      const signedIn = await steps.callback(ctx, provider, async (handle) => {
        const taken = await pending.take(handle, cookies)
        if (taken) ctx.append('Set-Cookie', taken.setCookie)
        return taken?.pending
      })
      await byUser.take(JSON.stringify([signedIn.issuer, signedIn.subject]))
      await signIn(ctx, signedIn, cookies.get(rules.login))
    } catch (error) {
      // Counted after the fact: who succeeds never runs into it.
      if (error instanceof LoginFailure && error.reason !== 'cancelled') await failures.take(address)
      throw error
    }
  }

  async function signIn(ctx: Context, signedIn: SignedIn, oldSecret: string | undefined): Promise<void> {
    const user = await users.signIn(signedIn)
    const old = oldSecret === undefined ? undefined : await logins.find(oldSecret)
    // Somebody else sat here before. The same person's older login stays: their open notebooks hang on it.
    if (old && old.user.id !== user.id) await logins.revoke(old.login)
    const { secret, expiresAt } = await logins.begin({
      user,
      signedIn,
      userAgent: ctx.get('User-Agent'),
      address: ctx.ip,
    })
    ctx.append('Set-Cookie', rules.set(rules.login, secret, expiresAt.getTime() - now()))
    ctx.set('Cache-Control', 'no-store')
    ctx.status = 303
    ctx.redirect(signedIn.next)
    metrics.succeeded(signedIn.provider)
    log.info({ provider: signedIn.provider, user: user.name, address: ctx.ip }, 'a login began')
  }

  async function logout(ctx: Context, everywhere: boolean): Promise<void> {
    const secret = readCookies(ctx.get('Cookie')).get(rules.login)
    const visitor: Visitor | undefined = ctx.state['visitor']
    const login = secret === undefined ? undefined : await logins.behind(secret)
    if (login) await (everywhere ? logins.revokeAll(login.userId) : logins.revoke(login.id))
    ctx.append('Set-Cookie', rules.clear(rules.login))
    ctx.set('Cache-Control', 'no-store')
    const provider = providers.all.find(({ name }) => name === visitor?.provider)
    const url = provider && (await farewell(provider))
    if (provider && url) return leavePage(ctx, provider.title, url)
    ctx.status = 303
    ctx.redirect('/hub/login')
  }

  async function farewell(provider: Provider): Promise<URL | undefined> {
    try {
      return await providerLogoutUrl(provider, new URL('/hub/login', options.publicUrl).href)
    } catch (error) {
      log.warn({ provider: provider.name, err: error }, 'the provider could not be asked where to log out')
      return undefined
    }
  }

  const router = new Router()
  router.get('/hub/login', async (ctx) => {
    const next = safeNext(ctx.query['next'])
    if (!ctx.state['visitor']) return showLogin(ctx, next)
    ctx.redirect(next)
  })
  const starter = async (ctx: Context & { params: Record<string, string> }): Promise<void> => {
    const provider = providers.get(ctx.params['provider'] ?? '')
    const next = safeNext(ctx.query['next'])
    await orLoginPage(ctx, provider, next, () => start(ctx, provider, next))
  }
  router.get('/hub/login/:provider', starter)
  router.post('/hub/login/:provider', starter)
  router.get('/hub/login/:provider/callback', async (ctx) => {
    const provider = providers.get(ctx.params['provider'] ?? '')
    await orLoginPage(ctx, provider, '/hub/', () => callback(ctx, provider))
  })
  router.post('/hub/login/:provider/backchannel', formOnly(), async (ctx) => {
    const provider = providers.get(ctx.params['provider'] ?? '')
    await backchannel.take(addressKey(ctx.ip))
    const form = z.object({ logout_token: z.string() }).safeParse(ctx.request.body)
    if (!form.success) throw new Problem('badRequest', 'Send a logout_token.', { field: 'logout_token' })
    const ended = await readLogoutToken(provider, form.data.logout_token)
    await logins.revokeFromProvider({ issuer: provider.issuer, ...ended })
    ctx.set('Cache-Control', 'no-store')
    ctx.body = ''
    ctx.status = 200
  })
  router.post('/hub/logout', (ctx) => logout(ctx, false))
  router.post('/hub/logout/everywhere', (ctx) => logout(ctx, true))
  return router
}

/** Harmless when the application parsed the body already. */
function formOnly() {
  return bodyParser({ enableTypes: ['form'], formLimit: '64kb' })
}
