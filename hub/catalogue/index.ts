/** Which proposals there are and whose they are. One factory for each type of the configuration. */
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Catalogue, User } from '../domain/services.ts'
import { createAsk } from './ask.ts'
import { demoCataloguePath } from './demo/groups.ts'
import { installDemoData } from './demo/install.ts'
import { pluginCatalogue } from '../plugins/catalogue.ts'
import { makePlugin } from '../plugins/resolve.ts'
import { createFileCatalogue } from './file.ts'
import { createHttpSource } from './http.ts'
import { createIcatSource, type OwnToken } from './icat.ts'
import { createProposals } from './proposals.ts'
import { createRemoteCatalogue, type Source } from './remote.ts'
import { createScicatSource } from './scicat.ts'

export interface CatalogueOptions {
  /** Absolute; the demo's data are put under it. */
  readonly stateFolder: string
  /** Whom somebody is told to ask. */
  readonly contact: string
  /** To which groups somebody belongs, by whose word. */
  readonly groupsOf: Readonly<Record<GroupSource, (user: User, signal: AbortSignal) => Promise<readonly string[]>>>
  /** Of which instruments somebody sees all proposals, being no member of them. */
  readonly instrumentsOf: (user: User, signal: AbortSignal) => Promise<readonly string[]>
  readonly ownToken: OwnToken
  readonly fetch: typeof fetch
  readonly now: () => Date
  readonly log: Log
}

type GroupSource = Extract<Configuration['catalogue'], { type: 'scicat' }>['groups'][number]

/** @throws ConfigurationError when the catalogue can't be used at all. */
export async function createCatalogue(
  configuration: Configuration['catalogue'],
  options: CatalogueOptions,
): Promise<Catalogue> {
  const { stateFolder, instrumentsOf, now, log } = options
  switch (configuration.type) {
    case 'none':
      return emptyCatalogue()
    case 'demo':
      await installDemoData(stateFolder, { asRoot: process.geteuid?.() === 0 })
      return await createFileCatalogue({ path: demoCataloguePath, instrumentsOf, now, log })
    case 'file':
      return await createFileCatalogue({ path: configuration.path, instrumentsOf, now, log })
    case 'http':
    case 'icat':
    case 'scicat':
      return createRemoteCatalogue({ ...options, source: sourceOf(configuration, options) })
    case 'plugin': {
      const plugin = await makePlugin('catalogue', configuration.plugin, options)
      return createRemoteCatalogue({
        ...options,
        source: pluginCatalogue(plugin, { deadlineMs: configuration.timeout }),
      })
    }
  }
}

function sourceOf(
  configuration: Extract<Configuration['catalogue'], { url: string }>,
  { groupsOf, ownToken, fetch, now }: CatalogueOptions,
): Source {
  const ask = createAsk({ fetch, deadlineMs: configuration.timeout })
  switch (configuration.type) {
    case 'http':
      return createHttpSource({ ...configuration, ask })
    case 'icat':
      return createIcatSource({ ...configuration, ownToken, ask, now })
    case 'scicat':
      return createScicatSource({
        ...configuration,
        groupsOf: async (user, signal) =>
          (await Promise.all(configuration.groups.map((source) => groupsOf[source](user, signal)))).flat(),
        ask,
        now,
      })
  }
}

function emptyCatalogue(): Catalogue {
  const none = createProposals([])
  return {
    proposals: async (user, options) => none.page(user, options),
    entitled: () => Promise.resolve([]),
    datasets: async (user, proposal, options) => none.datasets(user, proposal, options),
    datasetsOf: async (user, proposal, ids) => none.datasetsOf(user, proposal, ids),
  }
}
