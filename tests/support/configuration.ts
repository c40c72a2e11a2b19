/** Loads configuration text as the command line does, with the spawner `local` stood in for by two small schemas. */
import { z } from 'zod'
import { loadConfiguration, type Loaded } from '../../config/load.ts'
import { ConfigurationError, mistakeLine } from '../../config/mistake.ts'
import type { ConfigurationInput } from '../../config/schema.ts'
import type { SpawnerSchemas } from '../../config/spawner-parts.ts'
import { bytes } from '../../config/units.ts'
import { resolvePlugin } from '../../hub/plugins/resolve.ts'

const fakeLocal: SpawnerSchemas = {
  configSchema: z.strictObject({
    sandbox: z.enum(['auto', 'always']).default('auto'),
    scratch: bytes.optional(),
    allowUnsandboxed: z.boolean().optional(),
    allowUnlimited: z.boolean().optional(),
    umask: z.string().optional(),
  }),
  profileSchema: z.strictObject({ nice: z.int().min(0).max(19).default(0).describe('Politeness.') }),
}

export function fakeResolveSpawner(type: string): Promise<SpawnerSchemas> {
  if (type === 'local') return Promise.resolve(fakeLocal)
  return Promise.reject(new Error(`there is no spawner type ${type}\nand more that nobody reads`))
}

export const smallest: ConfigurationInput = { flavours: {}, profiles: {}, spawners: {} }

export async function load(text: string, more: { folder?: string; file?: string } = {}): Promise<Loaded> {
  return await loadConfiguration({
    text,
    defaults: smallest,
    resolveSpawner: fakeResolveSpawner,
    resolvePlugin,
    folder: '/nowhere',
    ...more,
  })
}

/** The lines of all mistakes; empty when it loads. */
export async function mistakes(text: string, more: { folder?: string; file?: string } = {}): Promise<string[]> {
  try {
    await load(text, { file: 'hutch.yaml', ...more })
    return []
  } catch (error) {
    if (error instanceof ConfigurationError) return error.mistakes.map(mistakeLine)
    throw error
  }
}
