/** What every answer of the hub carries: no script or style of foreign origin or inline, no frame, no referrer abroad. */
import helmet from 'koa-helmet'
import type { Context, Middleware } from 'koa'

/**
 * Scripts and styles come from /hub/assets/ alone, and requests go to /hub/ alone: on a single origin 'self' would
 * include what the environments serve.
 */
export function securityHeaders(publicUrl: URL): Middleware {
  const secure = publicUrl.protocol === 'https:'
  const { origin } = publicUrl
  const base = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: [`${origin}/hub/assets/`],
        styleSrc: [`${origin}/hub/assets/`],
        imgSrc: [`${origin}/hub/assets/`],
        connectSrc: [`${origin}/hub/`],
        formAction: [`${origin}/hub/`],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
        ...(secure ? { upgradeInsecureRequests: [] } : {}),
      },
    },
    strictTransportSecurity: secure ? { maxAge: 31_536_000, includeSubDomains: false } : false,
    referrerPolicy: { policy: 'same-origin' },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    xFrameOptions: { action: 'deny' },
  })
  // They depend on nothing in the request: they are made once.
  let made: Promise<Readonly<Record<string, string>>> | undefined
  return async (ctx, next) => {
    made ??= headersBy(base, ctx)
    ctx.set(await made)
    await next()
  }
}

async function headersBy(base: Middleware, ctx: Context): Promise<Readonly<Record<string, string>>> {
  const before = new Set(Object.keys(ctx.response.headers))
  await base(ctx, async () => {})
  ctx.set('Permissions-Policy', 'camera=(), geolocation=(), microphone=(), payment=(), usb=()')
  const set = Object.entries(ctx.response.headers).filter(([name]) => !before.has(name))
  return Object.fromEntries(set.map(([name, value]) => [name, String(value)]))
}

/** For one page: its form may also be sent to `target`. */
export function allowFormTo(ctx: Context, target: string): void {
  const policy = ctx.response.get('Content-Security-Policy')
  ctx.set('Content-Security-Policy', policy.replace(/form-action ([^;]*)/, `form-action $1 ${target}`))
}
