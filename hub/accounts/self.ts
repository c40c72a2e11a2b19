/** Source `self`: everybody is the hub's own account, each with a home of their own. For one machine without root. */
import type { Account } from '../../spawners/spawner.ts'
import { groupNames } from './getent.ts'
import { makeHome } from './homes.ts'
import type { AccountSource } from './index.ts'

/** Numeric ids of a process; `groups` without the primary one. */
export interface ProcessIdentity {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

/** @throws where there are no POSIX accounts at all. */
export function processIdentity(): ProcessIdentity {
  const { geteuid, getegid, getgroups } = process
  if (!geteuid || !getegid || !getgroups) throw new Error('Hutch needs a system with POSIX accounts, such as Linux')
  const gid = getegid.call(process)
  return {
    uid: geteuid.call(process),
    gid,
    groups: getgroups.call(process).filter((group) => group !== gid),
  }
}

export function createSelfSource(options: { stateFolder: string; identity: ProcessIdentity }): AccountSource {
  const { stateFolder, identity } = options
  return {
    async find(name: string, signal: AbortSignal): Promise<Account> {
      // Root is refused by the rule that follows: nothing is made for it before.
      if (identity.uid !== 0) await makeHome(stateFolder, name)
      const names = await groupNames(identity.groups, signal)
      return {
        name,
        uid: identity.uid,
        gid: identity.gid,
        groups: identity.groups.map((gid) => ({ gid, name: names.get(gid) ?? `g${gid}` })),
        home: `/home/${name}`,
        shell: '/bin/bash',
      }
    },
  }
}
