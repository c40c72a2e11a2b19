/** What every page of the agent's answers with. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Asset } from './assets.ts'

/** xterm.js and noVNC make styles and pictures of their own; scripts come from here and from nowhere else. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ')

export function sendAsset(asset: Asset, incoming: IncomingMessage, response: ServerResponse): void {
  const headers = {
    'Content-Type': asset.type,
    'Content-Encoding': 'gzip',
    'Cache-Control': 'no-cache',
    ETag: asset.tag,
    'Content-Security-Policy': contentSecurityPolicy,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
  }
  if (incoming.headers['if-none-match'] === asset.tag) {
    response.writeHead(304, headers)
    response.end()
    return
  }
  response.writeHead(200, { ...headers, 'Content-Length': asset.body.length })
  response.end(incoming.method === 'HEAD' ? undefined : asset.body)
}

export function sendJson(response: ServerResponse, status: number, value: object): void {
  if (response.destroyed || response.headersSent) return
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  })
  response.end(JSON.stringify(value))
}

export function redirect(response: ServerResponse, location: string): void {
  response.writeHead(302, { Location: location, 'Content-Length': 0 })
  response.end()
}

/** The proxy asks this too; what types and writes is worth asking twice. A caller without Origin is no browser. */
export function isSameOrigin({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  if (headers.origin === undefined) return true
  return URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host
}

export function whole(text: string | null, otherwise: number): number {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : otherwise
}
