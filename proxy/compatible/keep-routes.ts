/** The routes on the disk, so that a proxy that comes back has them. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { StartError } from '../config.ts'
import { replaceFile } from '../snapshot.ts'
import type { CompatibleOptions } from './options.ts'
import type { CompatibleRoutes } from './routes.ts'

const keptSchema = z.array(z.tuple([z.string(), z.looseObject({ target: z.string() })]))

/** Throws StartError. */
export async function restoreRoutes(
  { routesFile, defaultTarget }: CompatibleOptions,
  routes: CompatibleRoutes,
): Promise<void> {
  const text = routesFile === undefined ? undefined : await readFile(routesFile, 'utf8').catch(() => undefined)
  if (text !== undefined) {
    const kept = keptSchema.safeParse(parsed(text))
    if (!kept.success) throw new StartError(`${routesFile}: holds no routes; remove it to begin without`)
    for (const [path, data] of kept.data) routes.add(path, data)
  }
  if (defaultTarget === undefined) return
  if (!URL.canParse(defaultTarget)) throw new StartError(`--default-target ${defaultTarget}: is not a URL`)
  routes.add('/', { target: defaultTarget })
}

/** Resolves when what is there now is on the disk. Changes that come while it writes share the next write. */
export function routesKeeper(file: string | undefined, routes: CompatibleRoutes): () => Promise<void> {
  let writing: Promise<void> | undefined
  let next: Promise<void> | undefined
  const write = async (): Promise<void> => {
    if (file !== undefined) await replaceFile(file, JSON.stringify(routes.kept()))
  }
  const begin = (): Promise<void> => {
    const turn = write().finally(() => (writing = undefined))
    writing = turn
    return turn
  }
  return () => {
    if (file === undefined) return Promise.resolve()
    if (writing === undefined) return begin()
    next ??= writing
      .catch(() => {})
      .then(() => {
        next = undefined
        return begin()
      })
    return next
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
