/** Whether a request that changes something comes from the hub's own pages. Pure. */
import type { IncomingHttpHeaders } from 'node:http'

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Sec-Fetch-Site first, else Origin; with neither it is no browser of today, and passes only if it brings no cookie
 * that could act for somebody. Same-site is foreign: users' environments are on sibling host names.
 */
export function isForeign(
  request: Readonly<{ method: string; headers: IncomingHttpHeaders; hasLoginCookie: boolean }>,
  publicOrigin: string,
): boolean {
  const { method, headers, hasLoginCookie } = request
  if (safeMethods.has(method)) return false
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin'
  if (headers.origin !== undefined) return headers.origin !== publicOrigin
  return hasLoginCookie
}
