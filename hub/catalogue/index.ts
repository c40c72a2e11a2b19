/** Which proposals there are and whose they are. One factory for each type of the configuration. */
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Catalogue } from '../domain/services.ts'
import { demoCataloguePath } from './demo/groups.ts'
import { installDemoData } from './demo/install.ts'
import { createFileCatalogue } from './file.ts'
import { createProposals } from './proposals.ts'

export interface CatalogueOptions {
  /** Absolute; the demo's data are put under it. */
  readonly stateFolder: string
  readonly now: () => Date
  readonly log: Log
}

/** @throws ConfigurationError when the catalogue can't be used at all. */
export async function createCatalogue(
  configuration: Configuration['catalogue'],
  { stateFolder, now, log }: CatalogueOptions,
): Promise<Catalogue> {
  switch (configuration.type) {
    case 'none':
      return emptyCatalogue()
    case 'demo':
      await installDemoData(stateFolder, { asRoot: process.geteuid?.() === 0 })
      return await createFileCatalogue({ path: demoCataloguePath, now, log })
    case 'file':
      return await createFileCatalogue({ path: configuration.path, now, log })
  }
}

function emptyCatalogue(): Catalogue {
  const none = createProposals([])
  return {
    proposals: (user, options) => Promise.resolve(none.page(user.name, options)),
    entitled: () => Promise.resolve([]),
  }
}
