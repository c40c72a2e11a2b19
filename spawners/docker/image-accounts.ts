/** What an image's own passwd and group say. An image is its content, so each is read once. */
import type { Engine } from './engine.ts'

interface ImageAccounts {
  readonly passwd: string
  readonly group: string
}

/** `container`: any that was made of the image. Empty where the image has none. */
type ReadImageAccounts = (image: string, container: string, signal: AbortSignal) => Promise<ImageAccounts>

/** A megabyte each at most (engine.ts), and a few kilobytes usually. */
const mostKept = 64

export function createImageAccounts(engine: Pick<Engine, 'read'>): ReadImageAccounts {
  const kept = new Map<string, ImageAccounts>()
  return async (image, container, signal) => {
    const known = kept.get(image)
    if (known !== undefined) return known
    const [passwd = '', group = ''] = await Promise.all(
      ['/etc/passwd', '/etc/group'].map((path) => engine.read(container, path, signal)),
    )
    const [oldest] = kept.keys()
    if (kept.size >= mostKept && oldest !== undefined) kept.delete(oldest)
    const read = { passwd, group }
    kept.set(image, read)
    return read
  }
}
