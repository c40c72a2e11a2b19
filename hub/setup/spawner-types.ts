/** `type:` in the configuration → the spawner's module: one of ours, a path, or a package of the site's own. */
import { isAbsolute } from 'node:path'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { unknownName } from '../../config/words.ts'
import type { SpawnerType } from '../../spawners/spawner.ts'

const builtIn: Readonly<Record<string, () => Promise<{ default: unknown }>>> = {
  local: () => import('../../spawners/local/index.ts'),
  slurm: () => import('../../spawners/slurm/index.ts'),
  kubernetes: () => import('../../spawners/kubernetes/index.ts'),
}

export const builtInSpawners: readonly string[] = Object.keys(builtIn)

/**
 * Paths are absolute already; packages are looked for from `folder`, the configuration's.
 * Throws an Error whose message is one line for the administrator.
 */
export async function resolveSpawner(type: string, folder: string): Promise<SpawnerType> {
  const ours = Object.hasOwn(builtIn, type) ? builtIn[type] : undefined
  const module = ours === undefined ? await load(type, folder) : await ours()
  if (isSpawnerType(module.default)) return module.default
  throw new Error(`the module ${type} does not export a spawner type as default; see spawners/spawner.ts`)
}

async function load(type: string, folder: string): Promise<{ default?: unknown }> {
  let target: string
  try {
    target = isAbsolute(type) ? type : createRequire(`${folder}/`).resolve(type)
  } catch (cause) {
    const hint = 'or write the path of a module (./ours.js), or install the package beside the configuration'
    throw new Error(`${unknownName('spawner type', type, builtInSpawners)}; ${hint}`, { cause })
  }
  try {
    return (await import(pathToFileURL(target).href)) as { default?: unknown }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause)
    throw new Error(`the spawner's module can't be loaded: ${reason}`, { cause })
  }
}

function isSpawnerType(value: unknown): value is SpawnerType {
  if (typeof value !== 'object' || value === null) return false
  const { configSchema, profileSchema, create } = value as Partial<SpawnerType>
  return isSchema(configSchema) && isSchema(profileSchema) && typeof create === 'function'
}

function isSchema(value: unknown): boolean {
  return typeof (value as { safeParse?: unknown } | undefined)?.safeParse === 'function'
}
