import { posix } from 'node:path'
import { LaunchRefused, type Mount } from '../spawner.ts'

/**
 * The mounts, parents before what lies in them, so that making them in this order hides none of them.
 * @throws LaunchRefused when one must not be made, naming it.
 */
export function checkMounts(mounts: readonly Mount[]): readonly Mount[] {
  const taken = new Map<string, Mount>()
  for (const mount of mounts) {
    const { name, source, target } = mount
    if (!isPlain(source.path) || source.path === '/') refuse(name, `its source ${JSON.stringify(source.path)}`)
    if (source.kind === 'nfs' && !/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*)$/.test(source.server)) {
      refuse(name, `its server ${JSON.stringify(source.server)}`)
    }
    if (!isPlain(target) || isSystem(target)) refuse(name, `its place ${JSON.stringify(target)}`)
    const other = taken.get(target)
    if (other) throw new LaunchRefused(`"${other.name}" and "${name}" would both be at ${target}.`)
    taken.set(target, mount)
  }
  return mounts.toSorted((a, b) => depth(a.target) - depth(b.target))
}

/** Whether `path` is `folder` or lies beneath it. Both must be normalised. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`)
}

/** Of these folders the longest that holds `path`, which decides; undefined: none does. All must be normalised. */
export function nearestFolder(path: string, folders: readonly string[]): string | undefined {
  return folders.filter((each) => isWithin(path, each)).toSorted((a, b) => b.length - a.length)[0]
}

function refuse(name: string, what: string): never {
  throw new LaunchRefused(`"${name}" can't be there: ${what} is not allowed. Ask your administrator.`)
}

/** Absolute, normalised (so without '..'), no slash at the end, no NUL or other control character. */
function isPlain(path: string): boolean {
  const isNormal = posix.isAbsolute(path) && posix.normalize(path) === path
  return isNormal && (path === '/' || !path.endsWith('/')) && path.length <= 4_096 && !/\p{Cc}/u.test(path)
}

function isSystem(target: string): boolean {
  return (
    ['/', '/tmp', '/opt', '/home', '/root'].includes(target) || systemFolders.some((folder) => isWithin(target, folder))
  )
}

const systemFolders =
  '/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /lost+found /proc /run /sbin /sys /usr /var'.split(' ')

function depth(path: string): number {
  return path.split('/').length
}
