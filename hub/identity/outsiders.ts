/**
 * Somebody who logged in by an identity that is linked to no account. They are nobody here: a cookie, sealed with the
 * hub's key, says for an hour which identity this browser has shown, so that it can be linked.
 */
import type { Context } from 'koa'
import { EncryptJWT, jwtDecrypt } from 'jose'
import { z } from 'zod'
import { describe, legacyHashOf } from './claims.ts'
import { type CookieRules, readCookies } from './cookies.ts'
import { LoginFailure } from './failure.ts'
import type { Providers } from './providers.ts'
import type { SignedIn } from './strategy.ts'

export interface Outsider {
  readonly provider: string
  readonly issuer: string
  readonly subject: string
  /** As they say themselves: for people to read, never to decide by. */
  readonly title?: string | undefined
  readonly name?: string | undefined
  readonly email?: string | undefined
  readonly legacyHash?: string | undefined
}

export interface Outsiders {
  /** Keeps who it is and leads to the page that tells what to do. */
  receive(ctx: Context, signedIn: SignedIn): Promise<void>
  /** The same for somebody who is logged in and wants this identity too. Throws LoginFailure when it is another's. */
  receiveFor(ctx: Context, signedIn: SignedIn, userId: string, holder: { id: string } | undefined): Promise<void>
  of(ctx: Context): Promise<Outsider | undefined>
  forget(ctx: Context): void
}

const linkPath = '/hub/link'
const lifetimeMs = 3_600_000

const outsiderSchema = z.object({
  provider: z.string(),
  issuer: z.string(),
  subject: z.string(),
  title: z.string().optional(),
  name: z.string().optional(),
  email: z.string().optional(),
  legacyHash: z.string().optional(),
})

export interface OutsidersOptions {
  /** 32 bytes. */
  readonly key: Buffer
  readonly rules: CookieRules
  readonly providers: Providers
  readonly now: () => number
}

export function createOutsiders({ key, rules, providers, now }: OutsidersOptions): Outsiders {
  function outsiderOf({ provider, issuer, subject, claims }: SignedIn): Outsider {
    const { configuration } = providers.get(provider)
    const name = claims[configuration.claims.name]
    const legacyHash = legacyHashOf(claims, configuration)
    return {
      provider,
      issuer,
      subject,
      ...describe(claims, configuration),
      ...(typeof name === 'string' ? { name: name.slice(0, 200) } : {}),
      ...(legacyHash === undefined ? {} : { legacyHash }),
    }
  }

  async function receive(ctx: Context, signedIn: SignedIn): Promise<void> {
    const sealed = await new EncryptJWT({ ...outsiderOf(signedIn) })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setExpirationTime(Math.floor((now() + lifetimeMs) / 1000))
      .encrypt(key)
    ctx.append('Set-Cookie', rules.set(rules.outsider, sealed, lifetimeMs))
    ctx.set('Cache-Control', 'no-store')
    ctx.status = 303
    ctx.redirect(linkPath)
  }

  return {
    receive,
    async receiveFor(ctx, signedIn, userId, holder) {
      if (holder === undefined) return await receive(ctx, signedIn)
      if (holder.id === userId) {
        ctx.status = 303
        return ctx.redirect('/hub/identities')
      }
      const { title } = providers.get(signedIn.provider)
      const detail = `The identity that ${title} just named is linked to another account already. Log in with it, or choose another one there.`
      throw new LoginFailure('linkedElsewhere', detail)
    },
    async of(ctx) {
      const sealed = readCookies(ctx.get('Cookie')).get(rules.outsider)
      if (sealed === undefined) return undefined
      try {
        const { payload } = await jwtDecrypt(sealed, key, {
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
          requiredClaims: ['exp'],
          currentDate: new Date(now()),
        })
        const outsider = outsiderSchema.parse(payload)
        // Its provider may be configured no longer.
        return providers.byIssuer(outsider.issuer) === undefined ? undefined : outsider
      } catch {
        return undefined // forged, foreign or too old: nobody
      }
    },
    forget(ctx) {
      ctx.append('Set-Cookie', rules.clear(rules.outsider))
    },
  }
}
