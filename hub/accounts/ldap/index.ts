/** Source `ldap`: accounts in a directory (RFC 2307, RFC 2307bis). */
import { AndFilter, type Client, type Entry, EqualityFilter } from 'ldapts'
import type { Directory, LdapAccounts } from '../../../config/schema.ts'
import type { Account, Log } from '../../../spawners/spawner.ts'
import { Problem } from '../../domain/problem.ts'
import { createCache } from '../cache.ts'
import type { AccountSource } from '../index.ts'
import { readGroups, readPerson, texts } from './entry.ts'
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
 * Those of this name: one, none, or two when there are more than one. Values go to the server as they are, beside the
 * filter and not in its text, so nothing in a name can change what is asked. References to other servers are not
 * followed.
 */
export async function findPerson(
  client: Client,
  name: string,
  { attributes, people }: Directory,
  also: readonly string[] = [],
): Promise<readonly Entry[]> {
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
      ...also,
    ],
    // One more than there may be.
    sizeLimit: 2,
  })
  return searchEntries
}

async function groupEntries(client: Client, name: string, dn: string, directory: Directory): Promise<readonly Entry[]> {
  const { attributes, people, groups = people } = directory
  const [attribute, value] = memberOf(directory, name, dn)
  const found = await client.search(groups, {
    scope: 'sub',
    derefAliases: 'never',
    filter: both(attributes.group, attribute, value),
    attributes: [attributes.groupName, attributes.gid],
    // No limit of ours: ldapts says nothing of one that was reached, and a list cut short would pass for the whole.
    sizeLimit: 0,
  })
  return found.searchEntries
}

/** The names of the groups that somebody is in; of nobody none. */
export async function findGroups(client: Client, name: string, directory: Directory): Promise<readonly string[]> {
  const [entry, ...others] = await findPerson(client, name, directory)
  if (entry === undefined || others.length > 0) return []
  const { attributes } = directory
  // The name as the directory writes it: groups that name their members do so too.
  const own = texts(entry, attributes.name).find((each) => each.toLowerCase() === name.toLowerCase()) ?? name
  const groups = await groupEntries(client, own, entry.dn, directory)
  return [...new Set(groups.flatMap((group) => texts(group, attributes.groupName).slice(0, 1)))].toSorted()
}

async function find(client: Client, name: string, configuration: Directory): Promise<Account | undefined> {
  const { attributes } = configuration
  const [entry, ...others] = await findPerson(client, name, configuration)
  if (entry === undefined) return undefined
  if (others.length > 0) {
    throw new Problem(
      'launchRefused',
      `The directory has several accounts named ${name}, so it is not known which is yours. Ask your administrator.`,
    )
  }
  const person = readPerson(entry, name, attributes)
  const groups = await groupEntries(client, name, entry.dn, configuration)
  return { ...person, groups: readGroups(groups, person.gid, attributes) }
}

function memberOf({ groupMembers, attributes }: Directory, name: string, dn: string): [string, string] {
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
