/** The REST API of configurable-http-proxy: /api/routes, with `Authorization: token …`. */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, RequestListener } from 'node:http'
import { cleanPath, type CompatibleRoutes, type RouteData } from './routes.ts'
import { targetOf } from './target.ts'

export interface ApiOptions {
  readonly routes: CompatibleRoutes
  /** Undefined: nobody is asked for it. */
  readonly token: string | undefined
  readonly answered: (method: string, path: string, status: number) => void
  /** Resolves when what changed is in use, and on the disk if it is kept. */
  readonly changed: (path: string) => Promise<void>
}

interface Reply {
  readonly status: number
  readonly json?: unknown
  readonly text?: string
}

const longestBodyBytes = 2 ** 20

export function compatibleApi(options: ApiOptions): RequestListener {
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    answer(options, request, path)
      .catch(() => ({ status: 500 }))
      .then(({ status, json, text }: Reply) => {
        options.answered(request.method ?? '', path, status)
        if (json === undefined) return response.writeHead(status).end(text)
        return response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json))
      })
      .catch(() => response.destroy())
  }
}

async function answer(options: ApiOptions, request: IncomingMessage, fullPath: string): Promise<Reply> {
  const [, rest] = /^\/api\/routes(\/.*)?$/.exec(fullPath) ?? [undefined, undefined]
  if (!/^\/api\/routes(?:\/|$)/.test(fullPath)) return { status: 404 }
  const path = decoded(rest ?? '')
  if (path === undefined) return { status: 400, text: 'The path is not understood' }
  const { method } = request
  if (method !== 'GET' && method !== 'POST' && method !== 'DELETE') return { status: 405, text: 'Method not supported' }
  // Read even when refused, so that the connection can be kept.
  const body = method === 'POST' ? await readBody(request) : ''
  if (!isAuthorized(request, options.token)) return { status: 403 }
  switch (method) {
    case 'GET':
      return path === '' || path === '/' ? list(options.routes, request) : one(options.routes, path)
    case 'POST':
      return await add(options, path === '' ? '/' : path, body)
    case 'DELETE': {
      const wasThere = options.routes.remove(path)
      if (wasThere) await options.changed(cleanPath(path))
      return { status: wasThere ? 204 : 404 }
    }
  }
}

function one(routes: CompatibleRoutes, path: string): Reply {
  const route = routes.get(path)
  return route === undefined ? { status: 404 } : { status: 200, json: route }
}

function list(routes: CompatibleRoutes, request: IncomingMessage): Reply {
  const query = new URLSearchParams((request.url ?? '').split('?')[1] ?? '')
  const since = query.get('inactiveSince') ?? query.get('inactive_since')
  if (since === null || since === '') return { status: 200, json: routes.all() }
  const date = new Date(since)
  if (Number.isNaN(date.getTime())) return { status: 400, text: `Invalid datestamp '${since}' must be ISO8601.` }
  return { status: 200, json: routes.all(date) }
}

async function add(options: ApiOptions, path: string, body: string | undefined): Promise<Reply> {
  if (body === undefined) return { status: 413, text: `At most ${longestBodyBytes} bytes` }
  let data: unknown
  try {
    data = JSON.parse(body)
  } catch {
    return { status: 400, text: 'Body not valid JSON' }
  }
  if (!isRouteData(data)) return { status: 400, text: "Must specify 'target' as string" }
  if (!isTarget(data.target)) return { status: 400, text: 'The target is not a URL of http, https or http+unix' }
  options.routes.add(path, data)
  await options.changed(cleanPath(path))
  return { status: 201 }
}

function isRouteData(data: unknown): data is RouteData {
  return typeof data === 'object' && data !== null && 'target' in data && typeof data.target === 'string'
}

function isTarget(text: string): boolean {
  try {
    targetOf(text)
    return true
  } catch {
    return false
  }
}

function isAuthorized(request: IncomingMessage, token: string | undefined): boolean {
  if (token === undefined || token === '') return true
  const [, given = ''] = /^\s*token\s+(\S+)/i.exec(request.headers.authorization ?? '') ?? []
  const [one, other] = [Buffer.from(given), Buffer.from(token)]
  return one.length === other.length && timingSafeEqual(one, other)
}

/** Undefined when it is too long. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= longestBodyBytes) chunks.push(chunk)
  }
  return size > longestBodyBytes ? undefined : Buffer.concat(chunks).toString()
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}
