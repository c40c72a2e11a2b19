/** Who may ask for tokens of a user: environments that speak JupyterHub's protocol, and services. */
import { timingSafeEqual } from 'node:crypto'
import type { Environment } from '../domain/environment.ts'
import type { Environments } from '../domain/services.ts'
import { hashSecret } from '../identity/secrets.ts'
import { serverNameOf } from '../roles/server-name.ts'
import type { Target } from '../roles/permissions.ts'

export interface Client {
  readonly id: string
  /** For pages and refusals. */
  readonly title: string
  /** What the user must be allowed to enter. */
  readonly scope: 'access:servers' | 'access:services'
  readonly target: (groupsOfOwner: readonly string[]) => Target
  /** Whose it is; a service is nobody's. */
  readonly owner?: Readonly<{ id: string; name: string }>
  /** What its tokens have: the way in, and what the configuration adds. */
  readonly scopes: readonly string[]
  /** As it may say it: the path alone, or the whole URL. */
  readonly redirectUris: readonly string[]
  /** Where a path leads. */
  readonly origin: string
  isSecret(given: string): boolean
}

export interface Clients {
  /** More than one: ids of names that hold hyphens can be the same; where they lead, and their secrets, differ. */
  find(id: string): readonly Client[]
}

export interface ClientsOptions {
  readonly environments: Pick<Environments, 'live'>
  readonly secretOf: (environment: string) => string
  readonly originOf: (owner: string) => string
  readonly publicOrigin: string
  readonly services: Readonly<Record<string, ServiceClient>>
}

interface ServiceClient {
  readonly redirectUri?: string | undefined
  readonly url?: string | undefined
  readonly clientScopes: readonly string[]
  readonly apiToken: string
}

export function clientIdOf(owner: string, server: string): string {
  const name = serverNameOf(server)
  return `jupyterhub-user-${owner}${name === '' ? '' : `-${name}`}`
}

export const callbackOf = (prefix: string): string => `${prefix}oauth_callback`

export function createClients(options: ClientsOptions): Clients {
  const { environments, secretOf, originOf, publicOrigin, services } = options

  function server(environment: Environment): Client {
    const { id, owner, userId, server, spec, title } = environment
    const name = serverNameOf(server)
    const path = callbackOf(spec.prefix)
    return {
      id: clientIdOf(owner, server),
      title,
      scope: 'access:servers',
      target: (groups) => ({ kind: 'server', user: owner, server: name, groups }),
      owner: { id: userId, name: owner },
      scopes: [`access:servers!server=${owner}/${name}`],
      redirectUris: [path, originOf(owner) + path],
      origin: originOf(owner),
      isSecret: (given) => isSame(given, secretOf(id)),
    }
  }

  function service(name: string, { redirectUri, clientScopes, apiToken }: ServiceClient): Client {
    const uri = redirectUri ?? `/services/${name}/oauth_callback`
    return {
      id: `service-${name}`,
      title: name,
      scope: 'access:services',
      target: () => ({ kind: 'service', name }),
      scopes: [`access:services!service=${name}`, ...clientScopes],
      redirectUris: uri.startsWith('/') ? [uri, publicOrigin + uri] : [uri],
      origin: publicOrigin,
      isSecret: (given) => isSame(given, apiToken),
    }
  }

  return {
    find(id) {
      const name = id.startsWith('service-') ? id.slice('service-'.length) : undefined
      const configured = name !== undefined && Object.hasOwn(services, name) ? services[name] : undefined
      if (name !== undefined && configured !== undefined) return [service(name, configured)]
      return environments
        .live()
        .filter((each) => each.spec.protocol === 'jupyterhub' && clientIdOf(each.owner, each.server) === id)
        .map(server)
    },
  }
}

/** Compares digests, which are of one length whatever was sent. */
function isSame(given: string, right: string): boolean {
  return timingSafeEqual(Buffer.from(hashSecret(given)), Buffer.from(hashSecret(right)))
}
