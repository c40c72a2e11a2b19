/**
 * What somebody may do who may only look. The proxy lets nothing through that could change something: it can not know
 * what an application makes of a message, so WebSockets are open to viewers only where the route says so.
 */
import type { Route } from '../feed.ts'
import type { Request } from '../forward/request.ts'

/** `listen`: what the viewer sends stays behind. `speak`: it goes on, and who answers there heeds X-Hutch-Role. */
export type View = 'read' | 'listen' | 'speak'

/** Undefined: not open to viewers. */
export function viewOf(
  { path, method, upgrade }: Pick<Request, 'path' | 'method' | 'upgrade'>,
  { prefix, viewers }: Pick<Route, 'prefix' | 'viewers'>,
): View | undefined {
  if (viewers === undefined) return undefined
  const below = path.slice(prefix.length)
  if (upgrade === undefined) {
    const isReading = method === 'GET' || method === 'HEAD'
    return isReading && viewers.read.some((place) => isAt(below, place)) ? 'read' : undefined
  }
  if (viewers.speak.some((place) => isAt(below, place))) return 'speak'
  return viewers.listen.some((place) => isAt(below, place)) ? 'listen' : undefined
}

/** A server behind may take such a GET for another method. */
export function overridesMethod(name: string): boolean {
  return methodOverrides.has(name.replaceAll('_', '-'))
}

const methodOverrides: ReadonlySet<string> = new Set(['x-http-method', 'x-http-method-override', 'x-method-override'])

/** The place itself or what is below it; an empty one is everything. */
function isAt(path: string, place: string): boolean {
  if (!path.startsWith(place)) return false
  return place === '' || place.endsWith('/') || path.length === place.length || path[place.length] === '/'
}
