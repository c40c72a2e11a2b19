/** Where configurable-http-proxy would send a request: by its path alone; who may enter is for those behind. */
import type { Route } from '../feed.ts'
import type { Decision, Failure, Forward, Gate } from '../forward/forwarding.ts'
import type { Pool } from '../forward/pool.ts'
import type { Request } from '../forward/request.ts'
import { isPlainPath } from '../http/path.ts'
import type { ErrorPages } from './errors.ts'
import type { CompatibleOptions } from './options.ts'
import type { CompatibleRoutes } from './routes.ts'
import { targetOf } from './target.ts'

export interface CompatibleGateOptions {
  readonly options: CompatibleOptions
  readonly routes: CompatibleRoutes
  readonly pages: ErrorPages
  /** Somebody did something there. */
  readonly seen: (path: string) => void
  readonly poolOf: (found: { route: Route }) => Pool
}

export function createCompatibleGate({ options, routes, pages, poolOf, seen }: CompatibleGateOptions): Gate {
  const custom = options.customFields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return { decide, explain }

  function decide(request: Request): Decision {
    if (request.path === '/_chp_healthz') {
      const fields = [['Content-Type', 'application/json']] as const
      return { do: 'answer', answer: { status: 200, fields, body: '{"status":"OK"}' } }
    }
    const path = isPlainPath(request.path) ? decoded(request.path) : undefined
    if (path === undefined) return { do: 'answer', answer: pages.page(400, request), cause: 'badRequest' }
    const found = routes.find(options.hostRouting ? `/${request.host}${path}` : path)
    if (found === undefined) return { do: 'answer', answer: pages.page(404, request), cause: 'notFound' }
    const { base, authority } = targetOf(found.target)
    return {
      do: 'forward',
      pool: poolOf(found),
      route: found.route,
      request: {
        dropCookie: undefined,
        passAuthorization: true,
        extra: options.forwardedFields ? `X-Forwarded-Port: ${portOf(request)}\r\n${custom}` : custom,
        forwardedFields: options.forwardedFields,
        target: rewritten(request, found.path, options.prependPath ? base : ''),
        ...(options.changeOrigin ? { authority } : {}),
      },
      response: { prefix: undefined, ...locationRule(request, authority) },
      active: () => seen(found.path),
    }
  }

  function rewritten(request: Request, path: string, base: string): string {
    const kept = options.includePrefix || path === '/' ? request.path : withoutPrefix(request.path, path)
    return `${base}${kept}${request.query}`
  }

  /** What the target says of itself in a redirect becomes what the browser sees. */
  function locationRule(request: Request, authority: string): { location?: (value: string) => string } {
    const { autoRewrite, protocolRewrite } = options
    if (!autoRewrite && protocolRewrite === undefined) return {}
    return {
      location(value) {
        if (!URL.canParse(value)) return value
        const url = new URL(value)
        if (url.host !== authority) return value
        if (autoRewrite) url.host = request.authority
        if (protocolRewrite !== undefined) url.protocol = protocolRewrite
        return url.href
      },
    }
  }

  async function explain(request: Request, _decision: Forward, _failure: Failure): ReturnType<ErrorPages['page']> {
    return await pages.page(503, request)
  }
}

/** The prefix is decoded, the path of the request is not: as many parts are taken off as the prefix has. */
function withoutPrefix(path: string, prefix: string): string {
  const parts = prefix.split('/').length - 1
  return `/${path
    .split('/')
    .slice(parts + 1)
    .join('/')}`
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

function portOf({ authority, scheme }: Request): string {
  return /:(\d{1,5})$/.exec(authority)?.[1] ?? (scheme === 'https' ? '443' : '80')
}
