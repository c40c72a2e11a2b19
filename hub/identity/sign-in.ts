/** The two steps of a login as requests see them: off to the provider, and back with an answer. */
import type { Context } from 'koa'
import type { Audit } from '../audit/index.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Authorisation } from './authorisation.ts'
import { type CookieRules, readCookies } from './cookies.ts'
import { LoginFailure } from './failure.ts'
import type { FormProvider } from './forms/form.ts'
import { addressKey, createLimit } from './limits.ts'
import type { Logins } from './logins.ts'
import type { LoginMetrics } from './metrics.ts'
import type { Steps } from './passport.ts'
import type { Outsiders } from './outsiders.ts'
import type { Pending, PendingLogins, Purpose } from './pending.ts'
import type { Provider } from './provider.ts'
import type { Providers } from './providers.ts'
import type { SignedIn } from './strategy.ts'
import type { Users } from './users.ts'

export interface SignIn {
  /** Sends the browser to the provider. */
  start(ctx: Context, provider: Provider, question: Question): Promise<void>
  /** Makes the login and sends the browser on; `begun` is told where it wanted to go as soon as that is known. */
  callback(ctx: Context, provider: Provider, begun: (next: string) => void): Promise<void>
  /** By a form of the hub's: checks the answers, makes the login and sends the browser on. */
  submit(ctx: Context, provider: FormProvider, question: Question, answers: Answers): Promise<void>
}

type Answers = Readonly<Record<string, string>>

export interface Question {
  /** Already checked. */
  readonly next: string
  readonly purpose: Purpose
  /** The provider must see the person, whatever it remembers. */
  readonly prompt?: 'login'
}

export interface SignInOptions {
  readonly steps: Steps
  readonly pending: PendingLogins
  readonly authorisation: Authorisation
  readonly providers: Providers
  readonly users: Users
  /** Takes over whoever is to be linked to an account. */
  readonly outsiders: Pick<Outsiders, 'receive' | 'receiveFor'>
  readonly logins: Logins
  readonly rules: CookieRules
  readonly metrics: LoginMetrics
  readonly audit: Pick<Audit, 'write'>
  readonly log: Log
  readonly now: () => number
}

const authoriseTimeoutMs = 20_000

export function createSignIn(options: SignInOptions): SignIn {
  const { steps, pending, authorisation, users, outsiders, logins, rules, metrics, audit, log, now } = options
  const providerTitle = ({ provider }: SignedIn): string => options.providers.get(provider).title
  // A whole facility may come from one address in the morning: what is counted strictly is what failed.
  const starts = createLimit({ tries: 300, windowSeconds: 60 })
  const failures = createLimit({ tries: 30, windowSeconds: 300 })
  const byUser = createLimit({ tries: 30, windowSeconds: 300 })
  // Wrong passwords for one name: from one address few, so that nobody guesses; from all together more, so that
  // whoever guesses does not lock the person out at once.
  const guesses = createLimit({ tries: 10, windowSeconds: 900 })
  const guessesByAll = createLimit({ tries: 60, windowSeconds: 900 })

  async function start(ctx: Context, provider: Provider, { next, purpose, prompt }: Question): Promise<void> {
    await starts.take(addressKey(ctx.ip))
    const cookies = readCookies(ctx.get('Cookie'))
    const begin = async (half: { nonce: string; verifier: string }): Promise<string> => {
      const { handle, setCookies } = await pending.begin({ ...half, provider: provider.name, next, purpose }, cookies)
      ctx.append('Set-Cookie', setCookies)
      return handle
    }
    await steps.start(ctx, provider, begin, isSilent(purpose) ? 'none' : prompt)
    ctx.set('Cache-Control', 'no-store')
  }

  async function callback(ctx: Context, provider: Provider, begun: (next: string) => void): Promise<void> {
    const address = addressKey(ctx.ip)
    await failures.check(address)
    const cookies = readCookies(ctx.get('Cookie'))
    let asked: Pending | undefined
    try {
      const signedIn = await steps.callback(ctx, provider, async (handle) => {
        const taken = await pending.take(handle, cookies)
        if (!taken) return undefined
        ctx.append('Set-Cookie', taken.setCookie)
        asked = taken.pending
        begun(taken.pending.next)
        return taken.pending
      })
      await byUser.take(JSON.stringify([signedIn.issuer, signedIn.subject]))
      await enter(ctx, signedIn, cookies.get(rules.login))
    } catch (error) {
      // What can't be done in silence is done before the person's eyes.
      if (asked && isSilent(asked.purpose) && error instanceof LoginFailure && error.reason === 'interaction') {
        const { next, purpose } = asked
        return await start(ctx, provider, { next, purpose: { ...purpose, silent: false } })
      }
      // Counted after the fact: who succeeds never runs into it.
      if (error instanceof LoginFailure && error.reason !== 'cancelled') await failures.take(address)
      throw error
    }
  }

  async function submit(ctx: Context, provider: FormProvider, question: Question, answers: Answers): Promise<void> {
    const { form, name, issuer, title } = provider
    const address = addressKey(ctx.ip)
    const who = JSON.stringify([name, (answers[form.fields[0]?.name ?? ''] ?? '').toLowerCase()])
    const counted = [
      [failures, address],
      [guesses, `${address} ${who}`],
      [guessesByAll, who],
    ] as const
    // Before anybody is asked: a directory that counts wrong passwords itself would lock the account.
    for (const [limit, key] of counted) await limit.check(key)
    const person = await form.check(answers, { address: ctx.ip })
    if (person === undefined) {
      for (const [limit, key] of counted) await limit.take(key)
      const detail = `${title} does not know this combination. Try again; look at capitals and the keyboard.`
      throw new LoginFailure('credentials', detail)
    }
    const { subject, claims = {}, ...known } = person
    await byUser.take(JSON.stringify([issuer, subject]))
    const signedIn: SignedIn = {
      provider: name,
      issuer,
      subject,
      sub: subject,
      claims: { ...claims, ...known, subject },
      next: question.next,
      purpose: question.purpose,
    }
    await enter(ctx, signedIn, readCookies(ctx.get('Cookie')).get(rules.login))
  }

  async function enter(ctx: Context, signedIn: SignedIn, oldSecret: string | undefined): Promise<void> {
    const { purpose } = signedIn
    const old = oldSecret === undefined ? undefined : await logins.find(oldSecret)
    if (purpose.for === 'renew') await requireSame(signedIn, purpose.userId)
    // Whoever links an identity stays logged in as they are: who it would be by itself does not matter.
    if (purpose.for === 'link') {
      return await outsiders.receiveFor(ctx, signedIn, purpose.userId, await users.holderOf(signedIn))
    }
    const user = await users.signIn(signedIn)
    if (user === 'outsider') return outsiders.receive(ctx, signedIn)
    await authorisation.require(user, AbortSignal.timeout(authoriseTimeoutMs))
    const same = old?.user.id === user.id
    // Somebody else sat here before. The same person's login goes on: their open notebooks hang on it.
    if (old && !same) await logins.revoke(old.login)
    const begun = await logins.begin({
      user,
      signedIn,
      userAgent: ctx.get('User-Agent'),
      address: ctx.ip,
      ...(same ? { continues: old.login } : {}),
    })
    await audit.write({
      who: { id: user.id, name: user.name },
      did: begun.id === old?.login ? 'login.renewed' : 'login.began',
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

  /** Before anything is changed: the window in front of the page renews this person's login and no other's. */
  async function requireSame(signedIn: SignedIn, userId: string): Promise<void> {
    if ((await users.holderOf(signedIn))?.id === userId) return
    const detail = `This is another person than the one whose login is to be renewed. Log out at ${providerTitle(signedIn)} first, or log out here and in again.`
    throw new LoginFailure('otherPerson', detail)
  }

  return { start, callback, submit }
}

const isSilent = (purpose: Purpose): purpose is Extract<Purpose, { for: 'renew' }> =>
  purpose.for === 'renew' && purpose.silent
