/** Which file a browser means: below one of the environment's own places, wherever links lead, and nowhere else. */
import { realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'

/** A folder that browsers may see into; the first one is the home. */
export interface Root {
  readonly name: string
  readonly path: string
}

/** For the user. */
export class PathError extends Error {
  readonly status: 400 | 403 | 404
  constructor(status: 400 | 403 | 404, message: string) {
    super(message)
    this.status = status
  }
}

const longestPath = 4_096
const longestNameBytes = 255

/** The real path of something that is there. @throws PathError */
export async function existing(path: string, roots: readonly Root[]): Promise<string> {
  return await within(plain(path, roots), roots)
}

/** Where something new goes: its folder is there, its name is a name. @throws PathError */
export async function placeFor(
  path: string,
  roots: readonly Root[],
): Promise<Readonly<{ folder: string; name: string }>> {
  const wanted = plain(path, roots)
  const name = basename(wanted)
  if (name === '' || roots.some((root) => root.path === wanted)) throw new PathError(400, 'The file needs a name.')
  if (Buffer.byteLength(name) > longestNameBytes) throw new PathError(400, 'The name is too long: shorten it.')
  return { folder: await within(dirname(wanted), roots), name }
}

/** Absolute, or relative to the home; as text, before anything is asked of a disk. */
function plain(path: string, [home]: readonly Root[]): string {
  if (path.length > longestPath) throw new PathError(400, 'The path is too long.')
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(path)) throw new PathError(400, 'The path holds a character that no name may have.')
  if (path.split('/').some((part) => part === '..')) throw new PathError(400, 'The path may not lead upwards.')
  return isAbsolute(path) ? resolve(path) : join(home?.path ?? '/', path)
}

async function within(path: string, roots: readonly Root[]): Promise<string> {
  const real = await realOf(path)
  for (const root of roots) {
    const place = await realpath(root.path).catch(() => undefined)
    if (place !== undefined && isBelow(real, place)) return real
  }
  throw new PathError(403, 'This lies outside of your home and of your data.')
}

async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM') throw new PathError(403, `You may not open ${path}.`)
    throw new PathError(404, `There is no ${path}.`)
  }
}

function isBelow(path: string, root: string): boolean {
  const way = relative(root, path)
  return way === '' || (!way.startsWith('../') && way !== '..' && !isAbsolute(way))
}
