/** What people and programs were refused goes into the audit trail: at most so many lines a minute for one address. */
import type { Middleware } from 'koa'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import { Problem, type ProblemType } from '../domain/problem.ts'
import { addressKey, createLimit } from '../identity/limits.ts'
import { possibleVisitor } from './visitor.ts'

/** A launch that is refused has a line of its own, with what was chosen (hub/launch). */
const told: ReadonlySet<ProblemType> = new Set(['forbidden', 'foreignOrigin', 'blocked', 'notAuthorised'])
const mostEachMinute = 30
const longestPath = 300

export function auditRefusals(audit: Pick<Audit, 'note'>): Middleware {
  const limit = createLimit({ tries: mostEachMinute, windowSeconds: 60 })
  return async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      if (error instanceof Problem && told.has(error.type)) {
        const visitor = possibleVisitor(ctx)
        const actor = visitor === undefined ? ({ who: 'nobody', from: ctx.ip } as const) : actorOf(visitor)
        const detail = { problem: error.type, method: ctx.method, path: ctx.path.slice(0, longestPath) }
        await limit.take(addressKey(ctx.ip)).then(
          () => audit.note({ ...actor, did: 'request.refused', detail }),
          () => undefined, // beyond the limit: counted in the metrics of requests
        )
      }
      throw error
    }
  }
}
