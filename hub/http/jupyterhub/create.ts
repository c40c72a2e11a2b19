/** JupyterHub's API over the hub's rooms. */
import type { Configuration } from '../../../config/schema.ts'
import type { Log } from '../../../spawners/spawner.ts'
import type { Archive } from '../../archive/index.ts'
import type { Catalogue, Environments, Launches, RouteTable } from '../../domain/services.ts'
import type { Identity } from '../../identity/index.ts'
import type { People } from '../../identity/people.ts'
import { createClients } from '../../oauth/clients.ts'
import { createCodes } from '../../oauth/codes.ts'
import { createGrantees } from '../../sharing/grantees.ts'
import type { Sharing } from '../../sharing/index.ts'
import type { Store } from '../../store/index.ts'
import { environmentOrigin } from '../../web/environment-url.ts'
import { jupyterHubOperations } from './index.ts'
import type { Operation } from './operation.ts'

export interface JupyterHubApiOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly store: Pick<Store, 'db' | 'writer'>
  readonly identity: Pick<Identity, 'access' | 'tokens' | 'logins' | 'vouching' | 'serverTokens'>
  /** API tokens of services, by name. */
  readonly serviceTokens: Readonly<Record<string, string>>
  readonly environments: Environments
  readonly launches: Launches
  readonly routes: RouteTable
  readonly people: People
  readonly sharing: Sharing
  readonly catalogue: Catalogue
  readonly archive: Archive
  readonly now: () => Date
  readonly log: Log
}

export function createJupyterHubApi(options: JupyterHubApiOptions): readonly Operation[] {
  const { configuration, publicUrl, store, identity, serviceTokens, environments, launches, routes } = options
  const { access, tokens, logins, serverTokens } = identity
  const nowMs = (): number => options.now().getTime()
  const originOf = (owner: string): string => environmentOrigin(owner, configuration, publicUrl)
  const services = Object.entries(configuration.services).map(([name, service]) => {
    return [name, { ...service, apiToken: serviceTokens[name] ?? '' }] as const
  })
  const { now, log } = options
  return jupyterHubOperations({
    people: options.people,
    access,
    tokens,
    environments,
    launches,
    routes,
    publicOrigin: publicUrl.origin,
    originOf,
    keepEndedMs: configuration.environments.keepEnded,
    services: configuration.services,
    sharing: options.sharing,
    catalogue: options.catalogue,
    archive: options.archive,
    grantees: createGrantees({ db: store.db, groups: access.groups }),
    clients: createClients({
      environments,
      secretOf: (id) => serverTokens.of(id),
      originOf,
      publicOrigin: publicUrl.origin,
      services: Object.fromEntries(services),
    }),
    codes: createCodes({ db: store.db, now: nowMs }),
    isLoggedIn: (login) => logins.stillValid(login),
    secureCookies: publicUrl.protocol === 'https:',
    now,
    log,
  })
}
