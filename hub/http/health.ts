/** /hub/health for probes: no login, no details. 200 when the store answers, 503 when it does not. */
import type { Middleware } from 'koa'
import type { Environments } from '../domain/services.ts'
import { isEnvironmentId } from '../../spawners/spawner.ts'

const probe = 'health'
const deadlineMs = 2_000

export function health({ environments }: { environments: Environments }): Middleware {
  return async (ctx, next) => {
    if (ctx.path !== '/hub/health' || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    const ok = await answers(environments)
    ctx.set('Cache-Control', 'no-store')
    ctx.status = ok ? 200 : 503
    ctx.body = { status: ok ? 'ok' : 'the store does not answer' }
  }
}

/** A read of a row that never exists: it goes all the way to the database. */
async function answers(environments: Environments): Promise<boolean> {
  if (!isEnvironmentId(probe)) return false
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, deadlineMs, false).unref())
  const read = environments.get(probe).then(
    () => true,
    () => false,
  )
  return Promise.race([read, late])
}
