/** `type:` in the configuration → the spawner's module: one of ours, a path, or a package of the site's own. */
import { unknownName } from '../../config/words.ts'
import type { SpawnerType } from '../../spawners/spawner.ts'
import { findModule, isSchema, loadModule } from '../plugins/module.ts'

const builtIn: Readonly<Record<string, () => Promise<{ default: unknown }>>> = {
  local: () => import('../../spawners/local/index.ts'),
  slurm: () => import('../../spawners/slurm/index.ts'),
  batch: () => import('../../spawners/batch/index.ts'),
  docker: () => import('../../spawners/docker/index.ts'),
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
  const file = findModule(type, folder)
  if (file !== undefined) return await loadModule(file, "the spawner's module")
  const hint = 'or write the path of a module (./ours.js), or install the package beside the configuration'
  throw new Error(`${unknownName('spawner type', type, builtInSpawners)}; ${hint}`)
}

function isSpawnerType(value: unknown): value is SpawnerType {
  if (typeof value !== 'object' || value === null) return false
  const { configSchema, profileSchema, create } = value as Partial<SpawnerType>
  return isSchema(configSchema) && isSchema(profileSchema) && typeof create === 'function'
}
