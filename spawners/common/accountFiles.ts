/**
 * /etc/passwd and /etc/group of an environment: the base's (an image's or the machine's) with the account's own
 * entries in front. Where the base knows the same number or the same name otherwise, the account's entry wins, so
 * that whoami, getent and ls -l say what the hub says. Pure.
 */
import { LaunchRefused, type Account } from '../spawner.ts'

/** `base` with the account's line first, and without others of the same name or uid. */
export function passwdFile(base: string, account: Account): string {
  const { name, uid, gid, fullName = '', home, shell } = account
  const own = line([name, 'x', String(uid), String(gid), fullName, home, shell])
  const others = entries(base).filter((entry) => entry[0] !== name && entry[2] !== String(uid))
  return text([own, ...others])
}

/**
 * `base` with the account's groups first. The primary group keeps the base's name, when it has one there, unless
 * that name is wanted for another number; else it is called as the account is.
 */
export function groupFile(base: string, account: Account): string {
  const known = entries(base)
  const names = new Set(account.groups.map((group) => group.name))
  const baseName = known.find((entry) => entry[2] === String(account.gid))?.[0]
  const primary = [baseName, account.name].find((name) => name !== undefined && !names.has(name))
  const supplementary = account.groups.filter((group) => group.gid !== account.gid)
  const own = [
    line([primary ?? `g${account.gid}`, 'x', String(account.gid), '']),
    ...supplementary.map((group) => line([group.name, 'x', String(group.gid), account.name])),
  ]
  const ownNames = new Set(own.map((entry) => entry[0]))
  const ownNumbers = new Set(own.map((entry) => entry[2]))
  const others = known
    .filter((entry) => !ownNames.has(entry[0] ?? '') && !ownNumbers.has(entry[2] ?? ''))
    .map((entry) => withoutMember(entry, account.name))
  return text([...own, ...others])
}

type Entry = readonly string[]

function entries(base: string): readonly Entry[] {
  return base
    .split('\n')
    .filter((each) => each !== '' && !each.startsWith('#'))
    .map((each) => each.split(':'))
}

function line(fields: Entry): Entry {
  for (const field of fields) {
    // One such character in a directory's answer would be a new entry with a uid of its choice.
    if (/[:\p{Cc}]/u.test(field)) throw new LaunchRefused(`The account has ${JSON.stringify(field)}: no entry for it.`)
  }
  return fields
}

function text(lines: readonly Entry[]): string {
  return lines.map((fields) => `${fields.join(':')}\n`).join('')
}

/** Membership is what the account says, not what the base says of somebody with the same name. */
function withoutMember(entry: Entry, name: string): Entry {
  const [group = '', password = '', gid = '', members = ''] = entry
  const others = members.split(',').filter((member) => member !== name)
  return entry.length === 4 ? [group, password, gid, others.join(',')] : entry
}
