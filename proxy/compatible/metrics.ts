/** GET /metrics: what Hutch counts, and the names that dashboards for configurable-http-proxy ask for. */
import { createServer, type Server } from 'node:http'
import { listening } from '../engine.ts'
import { renderStatistics, type Statistics } from '../statistics.ts'
import type { Listen } from './options.ts'

export interface ApiCounters {
  /** What the REST API answered. */
  answered(method: string, path: string, status: number): void
  read(): Readonly<Record<string, number>>
}

export function createApiCounters(): ApiCounters {
  const numbers: Record<string, number> = { api_route_get: 0, api_route_add: 0, api_route_delete: 0 }
  return {
    answered(method, path, status) {
      bump(`requests_api{status="${status}"}`)
      const action = { GET: 'get', POST: 'add', DELETE: 'delete' }[method]
      if (action !== undefined && path.startsWith('/api/routes') && status < 400) bump(`api_route_${action}`)
    },
    read: () => numbers,
  }

  function bump(name: string): void {
    numbers[name] = (numbers[name] ?? 0) + 1
  }
}

export async function serveMetrics(
  where: Listen,
  sources: { statistics: () => Promise<readonly Statistics[]>; api: ApiCounters; routes: () => number },
): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') return void response.writeHead(404).end()
    sources.statistics().then(
      (all) => {
        const own = { numbers: { hutch_proxy_routes: sources.routes() } }
        const text = renderStatistics([...all, own]) + renderNames({ ...sources.api.read(), ...requestNames(all) })
        return response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text)
      },
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
    return undefined
  })
  await listening(server, where)
  return server
}

function requestNames(all: readonly Statistics[]): Record<string, number> {
  const numbers: Record<string, number> = { requests_web: 0, requests_ws: 0 }
  for (const [name, value] of all.flatMap((each) => Object.entries(each.numbers))) {
    const [, kind, status] = /^hutch_proxy_requests_total\{kind="(\w+)",status="(\d+)"/.exec(name) ?? []
    if (kind === undefined) continue
    for (const counter of [kind === 'http' ? 'requests_web' : 'requests_ws', `requests_proxy{status="${status}"}`]) {
      numbers[counter] = (numbers[counter] ?? 0) + value
    }
  }
  return numbers
}

const help: Readonly<Record<string, string>> = {
  api_route_get: 'Count of API route get requests',
  api_route_add: 'Count of API route add requests',
  api_route_delete: 'Count of API route delete requests',
  requests_ws: 'Count of websocket requests',
  requests_web: 'Count of web requests',
  requests_proxy: 'Count of proxy requests',
  requests_api: 'Count of API requests',
}

function renderNames(numbers: Readonly<Record<string, number>>): string {
  let text = ''
  for (const [family, words] of Object.entries(help)) {
    text += `# HELP ${family} ${words}\n# TYPE ${family} counter\n`
    for (const [name, value] of Object.entries(numbers)) {
      if (name === family || name.startsWith(`${family}{`)) text += `${name} ${value}\n`
    }
  }
  return text
}
