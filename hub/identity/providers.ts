/** The configured providers, by short name and by issuer. */
import { Problem } from '../domain/problem.ts'
import type { Provider } from './provider.ts'

export interface Providers {
  readonly all: readonly Provider[]
  /** Throws Problem 'notFound'. */
  get(name: string): Provider
  /** Undefined: no longer configured; what it vouched for does not count any more. */
  byIssuer(issuer: string): Provider | undefined
  isAdministrator(issuer: string, subject: string): boolean
}

/** Throws when two have the same issuer: a subject would then not say whose client vouched for it. */
export function createProviders(all: readonly Provider[]): Providers {
  const byName = new Map(all.map((provider) => [provider.name, provider]))
  const byIssuer = new Map(all.map((provider) => [provider.issuer, provider]))
  if (byName.size < all.length || byIssuer.size < all.length) {
    throw new Error('login.providers: each needs a name and an issuer of its own (“demo” is the demo provider’s name)')
  }
  return {
    all,
    get(name) {
      const provider = byName.get(name)
      if (!provider)
        throw new Problem('notFound', 'There is no login service of this name. Choose one on the login page.')
      return provider
    },
    byIssuer: (issuer) => byIssuer.get(issuer),
    isAdministrator: (issuer, subject) => byIssuer.get(issuer)?.configuration.administrators.includes(subject) === true,
  }
}

/** Whether the name that it gives is the account's: the facility's own. Others prove only who somebody is elsewhere. */
export function provesAccount({ configuration }: Pick<Provider, 'configuration'>): boolean {
  return configuration.proves !== 'identity'
}
