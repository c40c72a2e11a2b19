/** Whether a request comes from the same origin, by what the browser itself says and page code can't change. */
import type { Request } from '../forward/request.ts'
import { joined, single } from '../http/head.ts'

/** GET, HEAD and OPTIONS change nothing; a WebSocket can do everything. */
export function changesState({ method, upgrade }: Pick<Request, 'method' | 'upgrade'>): boolean {
  return upgrade !== undefined || !(method === 'GET' || method === 'HEAD' || method === 'OPTIONS')
}

/** Same-site is foreign too: neighbours have sibling host names. Without any header it is not a browser. */
export function isForeign(request: Request, publicUrl: URL): boolean {
  const site = joined(request.head, 'sec-fetch-site')
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  const origin = single(request.head, 'origin')
  if (origin === undefined) return false
  const authority = request.authority.toLowerCase()
  return origin !== `${request.scheme}://${authority}` && origin !== `${publicUrl.protocol}//${authority}`
}

/** A person opens a page; a redirect makes sense. */
export function isNavigation({ method, upgrade, head }: Request): boolean {
  if (method !== 'GET' || upgrade !== undefined) return false
  const mode = joined(head, 'sec-fetch-mode')
  return mode === undefined ? (joined(head, 'accept') ?? '').includes('text/html') : mode === 'navigate'
}
