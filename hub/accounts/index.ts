/** Where POSIX accounts come from. One factory for each source; every answer passes the same rule (rule.ts). */
import type { Configuration, ProviderConfiguration } from '../../config/schema.ts'
import type { Account, Log } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Accounts, User } from '../domain/services.ts'
import { type ClaimsSourceOptions, createClaimsSource } from './claims.ts'
import { createDemoSource } from './demo.ts'
import { createFileSource } from './file.ts'
import { createLdapSource } from './ldap/index.ts'
import { requireSoundAccount, requireSoundName } from './rule.ts'
import type { SeenAccounts } from './seen.ts'
import { createSelfSource, type ProcessIdentity, processIdentity } from './self.ts'
import { createSystemSource } from './system.ts'

/** One place where accounts are kept. Undefined: it has none of this name. Throws when it can't tell. */
export interface AccountSource {
  find(name: string, signal: AbortSignal): Promise<Account | undefined>
}

export interface AccountsOptions {
  /** Absolute; homes of the sources `self` and `demo` are made under it. */
  readonly stateFolder: string
  readonly now: () => Date
  readonly log: Log
  /** Accounts below this uid belong to the system and are refused. */
  readonly minimumUid?: number
  /** For `claims`: what the login providers said. */
  readonly claims?: Pick<ClaimsSourceOptions, 'db'> & {
    readonly providers: Readonly<Record<string, ProviderConfiguration>>
  }
  /** For `plugin`: what it made, looked at (hub/plugins/accounts.ts). */
  readonly plugin?: AccountSource
  /** Absent: what an account was before is not asked. */
  readonly seen?: SeenAccounts
  /** Who the hub runs as; only tests say otherwise. */
  readonly identity?: ProcessIdentity
}

export function createAccounts(configuration: Configuration['accounts'], options: AccountsOptions): Accounts {
  const source = createSource(configuration, options)
  const minimumUid = options.minimumUid ?? 1_000
  return {
    async of(user: User, signal: AbortSignal): Promise<Account> {
      requireSoundName(user.name)
      const account = await ask(source, user.name, signal, options.log)
      // Those of `self` and `demo` are the hub's own doing.
      if (configuration.source !== 'self' && configuration.source !== 'demo') await options.seen?.check(user, account)
      if (account === undefined) {
        throw new Problem(
          'launchRefused',
          `There is no account named ${user.name} on this facility's computers. Ask your administrator for one.`,
        )
      }
      requireSoundAccount(account, { minimumUid, source: configuration.source })
      return account
    },
  }
}

function createSource(configuration: Configuration['accounts'], options: AccountsOptions): AccountSource {
  switch (configuration.source) {
    case 'self':
      return createSelfSource({ ...options, identity: options.identity ?? processIdentity() })
    case 'demo':
      return createDemoSource({ ...options, identity: options.identity ?? processIdentity() })
    case 'system':
      return createSystemSource(options)
    case 'file':
      return createFileSource(configuration.users)
    case 'ldap':
      return createLdapSource(configuration, options)
    case 'claims':
      return createClaimsSource(configuration, claimsOptions(configuration.provider, options.claims))
    case 'plugin':
      if (options.plugin === undefined) throw new Error('accounts.plugin: it was not made')
      return options.plugin
  }
}

/** @throws where the configuration was not checked: it names a provider that is there. */
function claimsOptions(name: string, claims: AccountsOptions['claims']): ClaimsSourceOptions {
  const provider = claims?.providers[name]
  if (claims === undefined || provider === undefined) throw new Error(`accounts.provider: there is no ${name}`)
  return { provider, db: claims.db }
}

async function ask(source: AccountSource, name: string, signal: AbortSignal, log: Log): Promise<Account | undefined> {
  try {
    return await source.find(name, signal)
  } catch (error) {
    if (error instanceof Problem) throw error
    log.warn({ err: error, user: name }, 'the account source does not answer')
    throw new Problem(
      'backendUnreachable',
      "The facility's account service does not answer just now. Try again in a minute.",
      { cause: error, retryAfter: 60 },
    )
  }
}
