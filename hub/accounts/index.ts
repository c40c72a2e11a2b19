/** Where POSIX accounts come from. One factory for each source; every answer passes the same rule (rule.ts). */
import type { Configuration } from '../../config/schema.ts'
import type { Account, Log } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Accounts, User } from '../domain/services.ts'
import { createDemoSource } from './demo.ts'
import { createFileSource } from './file.ts'
import { requireSoundAccount, requireSoundName } from './rule.ts'
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
  }
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
