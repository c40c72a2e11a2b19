/** GET /hub/assets/<name>: files held in memory, so no path can lead anywhere else. */
import type { Middleware } from 'koa'
import type { Asset } from '../web/render.ts'

const prefix = '/hub/assets/'

export function assets(files: ReadonlyMap<string, Asset>): Middleware {
  return async (ctx, next) => {
    if (!ctx.path.startsWith(prefix)) return next()
    const asset = files.get(ctx.path.slice(prefix.length))
    if (asset === undefined || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    // An address with the right hash can never mean anything else; one without it is asked for again each time.
    ctx.set('Cache-Control', ctx.query['v'] === asset.hash ? 'public, max-age=31536000, immutable' : 'no-cache')
    ctx.set('ETag', `"${asset.hash}"`)
    ctx.status = 200
    ctx.type = asset.type
    if (ctx.fresh) {
      ctx.status = 304
      return
    }
    ctx.body = asset.body
  }
}
