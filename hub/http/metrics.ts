/** /hub/metrics in Prometheus' text format, for whoever has the scope read:metrics. */
import { Counter, Histogram, type Registry } from 'prom-client'
import type { Middleware } from 'koa'
import { Problem } from '../domain/problem.ts'
import { allows } from '../roles/permissions.ts'
import { permissionsAt } from './visitor.ts'

export function metrics(registry: Registry): Middleware {
  return async (ctx, next) => {
    if (ctx.path !== '/hub/metrics' || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    if (!allows(permissionsAt(ctx), 'read:metrics')) {
      throw new Problem('forbidden', 'This takes the scope read:metrics, which administrators and support staff have.')
    }
    ctx.set('Cache-Control', 'no-store')
    ctx.body = await registry.metrics()
    ctx.type = registry.contentType
  }
}

/** Counts and times requests by the route's pattern: paths would make a series for each environment. */
export function requestMetrics(registry: Registry): Middleware {
  const labelNames = ['method', 'route', 'status'] as const
  const total = new Counter({
    name: 'hutch_http_requests_total',
    help: 'Requests that the hub answered.',
    labelNames,
    registers: [registry],
  })
  const seconds = new Histogram({
    name: 'hutch_http_request_seconds',
    help: 'Time until the hub had its answer; event streams count until they were open.',
    labelNames: ['route'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  })
  return async (ctx, next) => {
    const stop = seconds.startTimer()
    await next()
    const route = typeof ctx['_matchedRoute'] === 'string' ? ctx['_matchedRoute'] : otherRoute(ctx.path)
    total.inc({ method: ctx.method, route, status: String(ctx.status) })
    stop({ route })
  }
}

function otherRoute(path: string): string {
  return path.startsWith('/hub/assets/') ? '/hub/assets/' : path === '/hub/health' ? path : 'other'
}
