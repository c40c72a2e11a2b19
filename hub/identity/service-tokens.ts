/** API tokens of the configuration's services, told apart by hash: the time it takes says nothing about them. */
import { hashSecret } from './secrets.ts'

export interface ServiceTokens {
  /** The service's name. */
  find(token: string): string | undefined
}

/** `tokens`: by the service's name. Throws when two are the same: whose it is could not be told. */
export function createServiceTokens(tokens: Readonly<Record<string, string>>): ServiceTokens {
  const byHash = new Map<string, string>()
  for (const [name, token] of Object.entries(tokens)) {
    const hash = hashSecret(token)
    const other = byHash.get(hash)
    if (other !== undefined) throw new Error(`services.${name}.apiTokenFile: holds the same token as that of ${other}`)
    byHash.set(hash, name)
  }
  return { find: (token) => byHash.get(hashSecret(token)) }
}
