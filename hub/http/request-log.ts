/** One id for each request, and one line when it is over. The path alone is logged: query strings can hold secrets. */
import type { Middleware } from 'koa'
import type { Log } from '../../spawners/spawner.ts'
import { possibleVisitor } from './visitor.ts'

const longestPath = 300

export function requestLog({ log, newId }: { log: Log; newId: () => string }): Middleware {
  return async (ctx, next) => {
    const begunAt = performance.now()
    const id = newId()
    ctx.state['requestId'] = id
    ctx.set('X-Request-Id', id)
    // Before anything else: a browser may leave while the answer is being made.
    ctx.res.once('close', () => {
      const environment: string | undefined = ctx.state['environmentId']
      const fields = {
        request: id,
        method: ctx.method,
        path: ctx.path.slice(0, longestPath),
        status: ctx.res.statusCode,
        ms: Math.round(performance.now() - begunAt),
        ...(possibleVisitor(ctx) ? { user: possibleVisitor(ctx)?.user.name } : {}),
        ...(environment === undefined ? {} : { environment }),
        ...(ctx.res.writableFinished ? {} : { aborted: true }),
      }
      if (ctx.path === '/hub/health' || ctx.path.startsWith('/hub/assets/')) log.debug(fields, 'request')
      else log.info(fields, 'request')
    })
    await next()
  }
}
