/** Who checks what is typed into each configured form: a directory, or a plug-in of the site's own. */
import type { Configuration } from '../../../config/schema.ts'
import type { MakePluginOptions } from '../../plugins/resolve.ts'
import { makePlugin } from '../../plugins/resolve.ts'
import type { Authenticator } from './form.ts'
import { createLdapForm } from './ldap.ts'

/** By the login's short name. @throws what a plug-in throws when it is made */
export async function createAuthenticators(
  { login, accounts }: Pick<Configuration, 'login' | 'accounts'>,
  tools: MakePluginOptions,
): Promise<Readonly<Record<string, Authenticator>>> {
  const made: Record<string, Authenticator> = {}
  for (const [name, configuration] of Object.entries(login.passwords)) {
    switch (configuration.type) {
      case 'plugin':
        made[name] = await makePlugin('authenticator', configuration.plugin, tools)
        break
      case 'ldap': {
        const directory = configuration.directory ?? (accounts.source === 'ldap' ? accounts : undefined)
        if (directory === undefined) throw new Error(`login.passwords.${name}.directory: there is none`)
        made[name] = createLdapForm({ configuration, directory, ...tools })
        break
      }
    }
  }
  return made
}
