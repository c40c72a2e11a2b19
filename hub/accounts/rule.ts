/** Which accounts may run environments at all, wherever they come from. */
import { posix } from 'node:path'
import type { Configuration } from '../../config/schema.ts'
import type { Account } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'

/** As useradd takes them, dots allowed inside: safe in a path, in passwd lines, in argv and in host names' labels. */
const accountName = /^[a-z_][a-z0-9_-]*(\.[a-z0-9_-]+)*$/
const longestName = 32
/** Linux takes 65,536 groups; NFS and passwd files take far fewer, and nobody is in so many. */
const mostGroups = 1_024
const largestId = 2 ** 32 - 2

export interface AccountRule {
  /** uids below this belong to the system. */
  readonly minimumUid: number
  readonly source: Configuration['accounts']['source']
}

/** @throws Problem launchRefused */
export function requireSoundName(name: string): void {
  if (accountName.test(name) && name.length <= longestName) return
  throw refused(
    `The account name ${shown(name)} can't be used: it must be lowercase letters, digits, '_', '-' or single dots, a letter first, at most ${longestName}.`,
  )
}

/** @throws Problem launchRefused */
export function requireSoundAccount(account: Account, rule: AccountRule): void {
  requireSoundName(account.name)
  if (account.uid === 0) throw refused(rootSentence(account, rule))
  if (!isId(account.uid) || !isId(account.gid)) {
    throw refused(`The account ${account.name} has no sound uid and gid (${account.uid}, ${account.gid}).`)
  }
  if (account.uid < rule.minimumUid) {
    throw refused(
      `The account ${account.name} has uid ${account.uid}: accounts below ${rule.minimumUid} belong to the system and can't open environments.`,
    )
  }
  if (account.gid === 0 || account.groups.some((group) => group.gid === 0)) {
    throw refused(`The account ${account.name} is in the group root (gid 0), which can't open environments.`)
  }
  requireSoundGroups(account)
  requireSoundPath(account, 'home', account.home)
  requireSoundPath(account, 'shell', account.shell)
  if (/\/(nologin|false)$/.test(account.shell)) {
    throw refused(`The account ${account.name} is closed: its shell is ${account.shell}. Ask your administrator.`)
  }
  if (account.fullName !== undefined && !isGecos(account.fullName)) {
    throw refused(`The full name of the account ${account.name} has characters that a passwd file can't hold.`)
  }
}

/** ':' and control characters would make two fields or two lines of one. */
export function isGecos(text: string): boolean {
  return !/[:\p{Cc}]/u.test(text)
}

function rootSentence(account: Account, rule: AccountRule): string {
  return rule.source === 'self'
    ? 'The hub runs as root and its accounts are its own (accounts.source: self), so everybody would be root. Start it as an ordinary user, or set accounts.source to system or file.'
    : `The account ${account.name} is root (uid 0), which can't open environments. Log in with an ordinary account.`
}

function requireSoundGroups(account: Account): void {
  if (account.groups.length > mostGroups) {
    throw refused(`The account ${account.name} is in ${account.groups.length} groups; at most ${mostGroups} are taken.`)
  }
  const bad = account.groups.find((group) => !isId(group.gid) || !isGecos(group.name) || /[\s,]/.test(group.name))
  if (bad !== undefined) {
    throw refused(`The account ${account.name} is in a group that can't be used: ${shown(bad.name)} (${bad.gid}).`)
  }
}

function requireSoundPath(account: Account, what: string, path: string): void {
  const sound = posix.isAbsolute(path) && posix.normalize(path) === path && path !== '/' && isGecos(path)
  if (sound && path.length <= 1_024 && !path.endsWith('/')) return
  throw refused(`The ${what} of the account ${account.name} is not an absolute plain path: ${shown(path)}.`)
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id <= largestId
}

/** What others wrote, in a sentence: short, and without control characters. */
function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

function refused(sentence: string): Problem {
  return new Problem('launchRefused', sentence)
}
