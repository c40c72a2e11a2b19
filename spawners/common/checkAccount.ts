import { isAbsolute, normalize } from 'node:path'
import { LaunchRefused, type Account } from '../spawner.ts'

export interface AccountRules {
  /** Smaller uids belong to the system. Default 1000. */
  readonly minimumUid?: number
  /** The hub's own uid, when it can run nothing as anybody else: it may be small, but never 0. */
  readonly ownUid?: number
}

/** @throws LaunchRefused when nothing may run as this account. */
export function checkAccount(account: Account, { minimumUid = 1_000, ownUid }: AccountRules = {}): void {
  const { name, uid, gid, groups, home, shell, fullName } = account
  const refuse = (why: string) => {
    throw new LaunchRefused(`Nothing is launched as ${JSON.stringify(name)}: ${why}. Ask your administrator.`)
  }
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/.test(name)) refuse('this is not a name of an account')
  for (const id of [uid, gid, ...groups.map((group) => group.gid)]) {
    if (!Number.isSafeInteger(id) || id < 0 || id > largestId) refuse(`${id} is not a uid or gid`)
  }
  if (uid === 0) refuse('uid 0 is the superuser')
  if (uid === overflowId) refuse(`uid ${uid} means nobody`)
  if (uid < minimumUid && uid !== ownUid) refuse(`uid ${uid} belongs to the system (below ${minimumUid})`)
  if (gid === 0 || groups.some((group) => group.gid === 0)) refuse('group 0 is the superuser’s')
  if (groups.length > mostGroups) refuse(`it is in more than ${mostGroups} groups`)
  for (const group of groups) {
    if (!/^[^:,\s\p{Cc}]{1,255}$/u.test(group.name)) refuse(`${JSON.stringify(group.name)} is not a name of a group`)
  }
  for (const path of [home, shell]) {
    if (!isAbsolute(path) || normalize(path) !== path || /[:\p{Cc}]/u.test(path) || path.length > 4_096) {
      refuse(`${JSON.stringify(path)} is not a plain absolute path`)
    }
  }
  if (home === '/') refuse('its home is /')
  if (fullName !== undefined && /[:\p{Cc}]/u.test(fullName)) refuse('its full name has a colon or a control character')
}

/** 2^32 - 1 means "no change" to setuid(2) and its kin. */
const largestId = 2 ** 32 - 2
/** What unmapped uids turn into. */
const overflowId = 65_534
/** NGROUPS_MAX of Linux. */
const mostGroups = 65_536
