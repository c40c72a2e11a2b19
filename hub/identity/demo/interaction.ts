/** The demo's login form: /interaction/{uid} below the provider's path. */
import { bodyParser } from '@koa/bodyparser'
import type { Context, Middleware, Next } from 'koa'
import type { Provider } from 'oidc-provider'
import { z } from 'zod'
import { Problem } from '../../domain/problem.ts'
import { isForeign } from '../origin.ts'
import { addressKey, createLimit } from '../limits.ts'
import { problemPage, signInPage } from './page.ts'
import { type DemoPerson, personBy } from './people.ts'

export interface InteractionOptions {
  readonly provider: Provider
  readonly people: readonly DemoPerson[]
  /** Where the provider is mounted, with a slash at the end. */
  readonly path: string
  readonly publicOrigin: string
}

const formSchema = z.object({
  name: z.string().max(64).trim().toLowerCase(),
  password: z.string().max(200).trim(),
})

export function interactions({ provider, people, path, publicOrigin }: InteractionOptions): Middleware {
  const byName = createLimit({ tries: 10, windowSeconds: 300 })
  const byAddress = createLimit({ tries: 50, windowSeconds: 300 })
  const names = people.map(({ name }) => name)
  const parse = bodyParser({ enableTypes: ['form'], formLimit: '4kb' })

  async function submit(ctx: Context): Promise<void> {
    await parse(ctx, async () => {})
    const form = formSchema.safeParse(ctx.request.body)
    if (!form.success) throw new Problem('badRequest', 'Fill in a user name and a password.')
    const { name: wanted, password } = form.data
    const [nameKey, address] = [people.some((one) => one.name === wanted) ? wanted : 'nobody', addressKey(ctx.ip)]
    await byName.check(nameKey)
    await byAddress.check(address)
    const person = personBy(people, wanted, password)
    if (!person) {
      await byName.take(nameKey)
      await byAddress.take(address)
      ctx.status = 403
      return signInPage(ctx, {
        action: path + ctx.path.slice(1),
        names,
        name: wanted,
        error: 'The name or the password is not right.',
      })
    }
    const returnTo = await provider.interactionResult(ctx.req, ctx.res, { login: { accountId: person.name } })
    ctx.status = 303
    ctx.redirect(returnTo)
  }

  async function handle(ctx: Context): Promise<void> {
    const cookie = { method: ctx.method, headers: ctx.headers, hasLoginCookie: true }
    if (isForeign(cookie, publicOrigin)) throw new Problem('foreignOrigin', 'This form was sent by another site.')
    await provider.interactionDetails(ctx.req, ctx.res).catch((cause: unknown) => {
      throw new Problem('badRequest', 'This login took too long, or was begun elsewhere. Start again.', { cause })
    })
    if (ctx.method === 'GET') return signInPage(ctx, { action: path + ctx.path.slice(1), names })
    if (ctx.method !== 'POST') throw new Problem('methodNotAllowed', 'Only GET and POST are understood here.')
    await submit(ctx)
  }

  return async (ctx: Context, next: Next) => {
    if (!/^\/interaction\/[\w-]+$/.test(ctx.path)) return next()
    try {
      await handle(ctx)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      ctx.status = error.status
      if (error.retryAfter !== undefined) ctx.set('Retry-After', String(error.retryAfter))
      problemPage(ctx, error.detail)
    }
  }
}
