/** The two steps of a login as requests see them: off to the provider, and back with an answer. */
import type { Context } from 'koa'
import type { Audit } from '../audit/index.ts'
import type { Log } from '../../spawners/spawner.ts'
import { type CookieRules, readCookies } from './cookies.ts'
import { LoginFailure } from './failure.ts'
import { addressKey, createLimit } from './limits.ts'
import type { Logins } from './logins.ts'
import type { LoginMetrics } from './metrics.ts'
import type { Steps } from './passport.ts'
import type { PendingLogins } from './pending.ts'
import type { Provider } from './provider.ts'
import type { SignedIn } from './strategy.ts'
import type { Users } from './users.ts'

export interface SignIn {
  /** Sends the browser to the provider. */
  start(ctx: Context, provider: Provider, next: string): Promise<void>
  /** Makes the login and sends the browser on; `begun` is told where it wanted to go as soon as that is known. */
  callback(ctx: Context, provider: Provider, begun: (next: string) => void): Promise<void>
}

export interface SignInOptions {
  readonly steps: Steps
  readonly pending: PendingLogins
  readonly users: Users
  readonly logins: Logins
  readonly rules: CookieRules
  readonly metrics: LoginMetrics
  readonly audit: Pick<Audit, 'write'>
  readonly log: Log
  readonly now: () => number
}

export function createSignIn(options: SignInOptions): SignIn {
  const { steps, pending, users, logins, rules, metrics, audit, log, now } = options
  // A whole facility may come from one address in the morning: what is counted strictly is what failed.
  const starts = createLimit({ tries: 300, windowSeconds: 60 })
  const failures = createLimit({ tries: 30, windowSeconds: 300 })
  const byUser = createLimit({ tries: 30, windowSeconds: 300 })

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

  async function callback(ctx: Context, provider: Provider, begun: (next: string) => void): Promise<void> {
    const address = addressKey(ctx.ip)
    await failures.check(address)
    const cookies = readCookies(ctx.get('Cookie'))
    try {
      const signedIn = await steps.callback(ctx, provider, async (handle) => {
        const taken = await pending.take(handle, cookies)
        if (!taken) return undefined
        ctx.append('Set-Cookie', taken.setCookie)
        begun(taken.pending.next)
        return taken.pending
      })
      await byUser.take(JSON.stringify([signedIn.issuer, signedIn.subject]))
      await enter(ctx, signedIn, cookies.get(rules.login))
    } catch (error) {
      // Counted after the fact: who succeeds never runs into it.
      if (error instanceof LoginFailure && error.reason !== 'cancelled') await failures.take(address)
      throw error
    }
  }

  async function enter(ctx: Context, signedIn: SignedIn, oldSecret: string | undefined): Promise<void> {
    const user = await users.signIn(signedIn)
    const old = oldSecret === undefined ? undefined : await logins.find(oldSecret)
    // Somebody else sat here before. The same person's older login stays: their open notebooks hang on it.
    if (old && old.user.id !== user.id) await logins.revoke(old.login)
    const begun = await logins.begin({ user, signedIn, userAgent: ctx.get('User-Agent'), address: ctx.ip })
    await audit.write({
      who: { id: user.id, name: user.name },
      did: 'login.began',
      from: ctx.ip,
      login: begun.id,
      detail: { provider: signedIn.provider },
    })
    ctx.append('Set-Cookie', rules.set(rules.login, begun.secret, begun.expiresAt.getTime() - now()))
    ctx.set('Cache-Control', 'no-store')
    ctx.status = 303
    ctx.redirect(signedIn.next)
    metrics.succeeded(signedIn.provider)
    log.info({ provider: signedIn.provider, user: user.name, address: ctx.ip }, 'a login began')
  }

  return { start, callback }
}
