/** Paths as text: what is plain, what lies beneath what. Nothing here looks at a disk. */
import { posix } from 'node:path'
import { isWithin } from '../../spawners/common/checkMounts.ts'
import type { Mount } from '../../spawners/spawner.ts'

export type Source = Mount['source']

const longestPath = 4_096

/** Absolute, normal, not the root, free of control characters. */
export function isPlainPath(path: string): boolean {
  return (
    path.length <= longestPath &&
    posix.isAbsolute(path) &&
    posix.normalize(path) === path &&
    path !== '/' &&
    !path.endsWith('/') &&
    !/\p{Cc}/u.test(path)
  )
}

/** '/data/x' is on the host, 'server:/export/x' on a file server, anything else is nothing. */
export function parseSource(text: string): Source | undefined {
  const path = text.length > 1 ? text.replace(/\/+$/, '') : text
  if (path.startsWith('/')) return { kind: 'host', path }
  const [, server, exported] = /^([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:]+\]):(\/.*)$/s.exec(path) ?? []
  return server === undefined || exported === undefined ? undefined : { kind: 'nfs', server, path: exported }
}

/** At `root` or below it, on the same server. Both must be plain; the file system's own root holds nothing. */
export function isBeneath(source: Source, root: Source | undefined): boolean {
  if (root === undefined || root.path === '/') return false
  if (source.kind === 'nfs' ? root.kind !== 'nfs' || root.server !== source.server : root.kind !== 'host') return false
  return isWithin(source.path, root.path)
}
