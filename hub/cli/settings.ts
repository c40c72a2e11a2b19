/** The configuration as this command line wants it: a file, or the demo, and what options say in their place. */
import { dirname, resolve } from 'node:path'
import { demoConfiguration } from '../../config/defaults.ts'
import { loadConfiguration, type Loaded } from '../../config/load.ts'
import { demoDataFolder } from '../catalogue/demo/install.ts'
import { resolvePlugin } from '../plugins/resolve.ts'
import { missingDesktop } from '../setup/software.ts'
import { resolveSpawner } from '../setup/spawner-types.ts'

export interface Wanted {
  readonly file?: string
  readonly state?: string
  readonly listen?: string
  readonly folder: string
}

/** Throws ConfigurationError. */
export async function loadSettings({ file, state, listen, folder }: Wanted): Promise<Loaded> {
  const from = file === undefined ? folder : dirname(resolve(folder, file))
  return await loadConfiguration({
    ...(file === undefined ? {} : { file }),
    defaults: demoConfiguration({
      demoDataFolder: demoDataFolder(resolve(folder, state ?? '.hutch')),
      hasDesktop: missingDesktop() === undefined,
    }),
    overrides: {
      ...(state === undefined ? {} : { state: resolve(folder, state) }),
      ...(listen === undefined ? {} : { listen }),
    },
    resolveSpawner: (type) => resolveSpawner(type, from),
    resolvePlugin,
    folder,
  })
}
