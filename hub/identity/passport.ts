/** Passport's two steps of a login as two functions. Passport keeps no session here: the hub's own table does. */
import { KoaPassport } from 'koa-passport'
import type { Context } from 'koa'
import { LoginFailure } from './failure.ts'
import type { Pending } from './pending.ts'
import type { Provider } from './provider.ts'
import type { Providers } from './providers.ts'
import { type Exchange, type Prompt, type SignedIn, SoundStrategy } from './strategy.ts'

export interface Steps {
  /** Redirects the browser to the provider; `begin` keeps the secret half of the question and gives its handle. */
  start(
    ctx: Context,
    provider: Provider,
    begin: (half: { nonce: string; verifier: string }) => Promise<string>,
    prompt?: Prompt,
  ): Promise<void>
  /** Who the answer says it is. Throws LoginFailure, Problem 'providerUnreachable'. */
  callback(ctx: Context, provider: Provider, take: (handle: string) => Promise<Pending | undefined>): Promise<SignedIn>
}

const callbackUrl = (publicUrl: URL, provider: string): string =>
  new URL(`/hub/login/${provider}/callback`, publicUrl).href

export function createSteps(providers: Providers, publicUrl: URL): Steps {
  const passport = new KoaPassport()
  for (const provider of providers.all.filter(({ form }) => form === undefined)) {
    passport.use(provider.name, new SoundStrategy(provider, callbackUrl(publicUrl, provider.name)))
  }

  async function run(ctx: Context, provider: Provider, exchange: Exchange): Promise<SignedIn | undefined> {
    let signedIn: SignedIn | undefined
    const step = passport.authenticate(
      provider.name,
      { session: false, exchange },
      (error: unknown, user: SignedIn | false | undefined, challenge: unknown) => {
        if (error) throw error
        if (!user) throw refusedByBase(provider, challenge)
        signedIn = user
      },
    )
    await step(ctx, async () => {})
    return signedIn
  }

  return {
    async start(ctx, provider, begin, prompt) {
      await run(ctx, provider, { step: 'start', begin, ...(prompt === undefined ? {} : { prompt }) })
    },
    async callback(ctx, provider, take) {
      const signedIn = await run(ctx, provider, { step: 'callback', query: ctx.query, take })
      if (!signedIn) throw refusedByBase(provider, 'it redirected')
      return signedIn
    },
  }
}

/** The base class checks the ID token's claims once more, without any tolerance for clocks. */
function refusedByBase(provider: Provider, challenge: unknown): LoginFailure {
  const detail = `${provider.title} sent an answer that can not be trusted. Log in again; if it stays, tell your administrator.`
  return new LoginFailure('tokenAnswer', detail, { cause: new Error(JSON.stringify(challenge)) })
}
