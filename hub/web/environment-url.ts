/** Where an environment answers. One rule for redirects, links, the entry form and its Content-Security-Policy. */
import type { Configuration } from '../../config/schema.ts'
import { environmentHost } from '../domain/environment-host.ts'
import type { Environment } from '../domain/environment.ts'

/** Its origin: the hub's own, or the owner's own host name where the configuration gives one. */
export function environmentOrigin(owner: string, configuration: Configuration, publicUrl: URL): string {
  const pattern = configuration.environments.hosts
  if (pattern === undefined) return publicUrl.origin
  const url = new URL(publicUrl.origin)
  url.hostname = environmentHost(pattern, owner)
  return url.origin
}

/** Where the browser goes first, or `next` when that is a path within the environment. */
export function environmentUrl(
  environment: Pick<Environment, 'owner' | 'spec'>,
  configuration: Configuration,
  publicUrl: URL,
  next?: string,
): string {
  const { prefix, application } = environment.spec
  const landing = prefix + application.landingPath.replace(/^\/+/, '')
  return environmentOrigin(environment.owner, configuration, publicUrl) + (pathWithin(prefix, next) ?? landing)
}

/** `next` when it is a path that stays beneath the prefix in every browser's reading; else undefined. */
export function pathWithin(prefix: string, next: string | undefined): string | undefined {
  if (next === undefined || next.length > longestPath || !next.startsWith(prefix)) return undefined
  if (hasForbidden(next)) return undefined
  const base = 'http://environment.invalid'
  const url = URL.canParse(next, base) ? new URL(next, base) : undefined
  return url?.origin === base && url.pathname.startsWith(prefix) ? url.pathname + url.search + url.hash : undefined
}

const longestPath = 4_096

/** Backslashes and control characters: what browsers and servers read differently. */
function hasForbidden(path: string): boolean {
  return /[\\\p{Cc}]/u.test(path)
}
