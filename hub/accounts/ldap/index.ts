/** Source `ldap`: accounts in a directory (RFC 2307, RFC 2307bis). */
import { AndFilter, type Client, EqualityFilter } from 'ldapts'
import type { LdapAccounts } from '../../../config/schema.ts'
import type { Account, Log } from '../../../spawners/spawner.ts'
import { Problem } from '../../domain/problem.ts'
import { createCache } from '../cache.ts'
import type { AccountSource } from '../index.ts'
import { readGroups, readPerson } from './entry.ts'
import { createServers } from './servers.ts'

const mostKept = 10_000

/** Throws nothing: the servers are asked when somebody launches. */
export function createLdapSource(
  configuration: LdapAccounts,
  options: { readonly now: () => Date; readonly log: Log },
): AccountSource {
  const { now, log } = options
  const servers = createServers({
    addresses: configuration.servers,
    connection: configuration,
    deadlineMs: configuration.deadline,
    now,
    log,
  })
  const cache = createCache<Account | undefined>({
    now,
    keptMs: configuration.fresh,
    staleMs: configuration.stale,
    mostKept,
    stoodIn: ({ error, ageMs }) => {
      log.warn({ err: error, ageMs }, 'no directory server answers: an account is taken as it was')
    },
  })
  return {
    find: (name, signal) => cache.get(name, () => servers.ask(signal, (client) => find(client, name, configuration))),
  }
}

/**
 * Values go to the server as they are, beside the filter and not in its text, so nothing in a name can change what is
 * asked. References to other servers are not followed.
 */
async function find(client: Client, name: string, configuration: LdapAccounts): Promise<Account | undefined> {
  const { attributes, people, groups = people } = configuration
  const { searchEntries } = await client.search(people, {
    scope: 'sub',
    derefAliases: 'never',
    filter: both(attributes.person, attributes.name, name),
    attributes: [
      attributes.name,
      attributes.uid,
      attributes.gid,
      attributes.home,
      attributes.shell,
      attributes.fullName,
    ],
    // One more than there may be.
    sizeLimit: 2,
  })
  const [entry, ...others] = searchEntries
  if (entry === undefined) return undefined
  if (others.length > 0) {
    throw new Problem(
      'launchRefused',
      `The directory has several accounts named ${name}, so it is not known which is yours. Ask your administrator.`,
    )
  }
  const person = readPerson(entry, name, attributes)
  const [attribute, value] = memberOf(configuration, name, entry.dn)
  const found = await client.search(groups, {
    scope: 'sub',
    derefAliases: 'never',
    filter: both(attributes.group, attribute, value),
    attributes: [attributes.groupName, attributes.gid],
    // No limit of ours: ldapts says nothing of one that was reached, and a list cut short would pass for the whole.
    sizeLimit: 0,
  })
  return { ...person, groups: readGroups(found.searchEntries, person.gid, attributes) }
}

function memberOf({ groupMembers, attributes }: LdapAccounts, name: string, dn: string): [string, string] {
  switch (groupMembers) {
    case 'rfc2307':
      return [attributes.memberName, name]
    case 'rfc2307bis':
      return [attributes.memberDn, dn]
  }
}

function both(objectClass: string, attribute: string, value: string): AndFilter {
  return new AndFilter({
    filters: [
      new EqualityFilter({ attribute: 'objectClass', value: objectClass }),
      new EqualityFilter({ attribute, value }),
    ],
  })
}
