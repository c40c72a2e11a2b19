/**
 * Login by bind: the directory itself checks the password, on a connection of its own that is encrypted first. The
 * hub's reader finds whose name it is; what was typed never becomes part of a filter or of a DN.
 */
import { randomUUID } from 'node:crypto'
import { type Client, ResultCodeError } from 'ldapts'
import type { Directory, LdapLogin } from '../../../config/schema.ts'
import type { Log } from '../../../spawners/spawner.ts'
import { findGroups, findPerson } from '../../accounts/ldap/index.ts'
import { texts } from '../../accounts/ldap/entry.ts'
import { createServers } from '../../accounts/ldap/servers.ts'
import type { Authenticated } from '../../plugins/plugin.ts'
import type { Authenticator } from './form.ts'

export interface LdapFormOptions {
  readonly configuration: LdapLogin
  /** As configured for this login, or that of accounts. */
  readonly directory: Directory
  readonly now: () => Date
  readonly log: Log
}

/** RFC 4511, appendix A: the password is wrong, or this account may not log in. Anything else is a failure. */
const refusals: ReadonlySet<number> = new Set([19, 48, 49, 50, 53])

/** Throws nothing: the servers are asked when somebody logs in. */
export function createLdapForm({ configuration, directory, now, log }: LdapFormOptions): Authenticator {
  const servers = createServers({
    addresses: directory.servers,
    connection: directory,
    deadlineMs: directory.deadline,
    now,
    log,
  })
  const { email, subject } = configuration
  const also = [email, ...(subject === undefined ? [] : [subject])]

  async function enter(client: Client, typed: string, password: string): Promise<Authenticated | undefined> {
    const { attributes } = directory
    const found = await findPerson(client, typed, directory, also)
    const [entry] = found
    // Several are nobody: it is not known whose password was typed. Whoever is not there takes as long as who is.
    const dn = found.length === 1 && entry !== undefined ? entry.dn : `cn=${randomUUID()},${directory.people}`
    const isRight = await binds(client, dn, password)
    if (!isRight || entry === undefined || found.length !== 1) return undefined
    // Names differ from what was typed by capitals alone, and the directory's own is taken.
    const name = texts(entry, attributes.name).find((each) => each.toLowerCase() === typed.toLowerCase())
    const known = subject === undefined ? name?.toLowerCase() : texts(entry, subject)[0]
    if (name === undefined || known === undefined) throw new Error(`the directory's entry of ${typed} says no name`)
    const [title, mail] = [texts(entry, attributes.fullName)[0], texts(entry, email)[0]]
    return {
      subject: known,
      name: name.toLowerCase(),
      ...(title === undefined ? {} : { title }),
      ...(mail === undefined ? {} : { email: mail }),
    }
  }

  return {
    async authenticate({ name: typed = '', password = '' }, signal) {
      // RFC 4513, 5.1.2: a bind without a password succeeds for anybody.
      if (password === '') return undefined
      const person = await servers.ask(signal, (client) => enter(client, typed, password))
      if (person === undefined) return undefined
      // Asked by the reader again: after the bind the connection is the person's, who may see less.
      const groups = await servers.ask(signal, (client) => findGroups(client, typed, directory))
      return { ...person, groups }
    },
  }
}

async function binds(client: Client, dn: string, password: string): Promise<boolean> {
  try {
    await client.bind(dn, password)
    return true
  } catch (error) {
    if (error instanceof ResultCodeError && refusals.has(error.code)) return false
    throw error
  }
}
