/** Source `system`: the accounts that this machine knows. Asked at every launch, but not twice within seconds. */
import type { Account } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import { createCache } from './cache.ts'
import { groupIds, groupNames, passwdLine } from './getent.ts'
import type { AccountSource } from './index.ts'
import { fullNameOf, plainHome, readId } from './passwd.ts'

/** A vanished account must stop new launches soon; twenty launches of one person need not ask LDAP twenty times. */
const keptMs = 15_000
const mostKept = 1_000

export function createSystemSource(options: { now: () => Date }): AccountSource {
  const cache = createCache<Account | undefined>({ now: options.now, keptMs, mostKept })
  return { find: (name, signal) => cache.get(name, () => find(name, signal)) }
}

async function find(name: string, signal: AbortSignal): Promise<Account | undefined> {
  const line = await passwdLine(name, signal)
  if (line === undefined) return undefined
  const entry = readPasswd(line)
  if (entry.name !== name) {
    throw new Problem(
      'launchRefused',
      `The name service calls the account ${name} by another name. Ask your administrator to set a plain name for it.`,
    )
  }
  const gids = (await groupIds(name, signal)).filter((gid) => gid !== entry.gid)
  const names = await groupNames(gids, signal)
  return { ...entry, groups: gids.map((gid) => ({ gid, name: names.get(gid) ?? `g${gid}` })) }
}

/** passwd(5): name:password:uid:gid:gecos:home:shell. What is not a number becomes NaN, which the rule refuses. */
export function readPasswd(line: string): Omit<Account, 'groups'> {
  const [name = '', , uid = '', gid = '', gecos = '', home = '', shell = ''] = line.split(':')
  const fullName = fullNameOf(gecos.split(',')[0] ?? '')
  return {
    name,
    uid: readId(uid),
    gid: readId(gid),
    home: plainHome(home),
    // passwd(5): an empty field means /bin/sh.
    shell: shell === '' ? '/bin/sh' : shell,
    ...(fullName === undefined ? {} : { fullName }),
  }
}
