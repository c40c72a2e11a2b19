/** What a directory's entries say, as an account. Pure. What is not a number becomes NaN, which the rule refuses. */
import type { Entry } from 'ldapts'
import type { LdapAccounts } from '../../../config/schema.ts'
import type { Account } from '../../../spawners/spawner.ts'
import { Problem } from '../../domain/problem.ts'
import { fullNameOf, plainHome, readId } from '../passwd.ts'

type Attributes = LdapAccounts['attributes']
type Group = Account['groups'][number]

/** @throws Problem launchRefused when it is another's by its exact name, or says no number. */
export function readPerson(entry: Entry, name: string, attributes: Attributes): Omit<Account, 'groups'> {
  // Directories don't tell capitals apart, and POSIX does.
  if (!texts(entry, attributes.name).includes(name)) {
    throw refused(
      `The directory calls the account ${name} by another name. Ask your administrator to set a plain name.`,
    )
  }
  const id = (attribute: string): number => {
    const value = single(entry, attribute, name)
    if (value === undefined) {
      throw refused(
        `The directory has no ${attribute} for ${name}, so nothing can run as them. Ask your administrator.`,
      )
    }
    return readId(value)
  }
  const fullName = fullNameOf(texts(entry, attributes.fullName)[0] ?? '')
  return {
    name,
    uid: id(attributes.uid),
    gid: id(attributes.gid),
    home: plainHome(single(entry, attributes.home, name) ?? ''),
    shell: single(entry, attributes.shell, name) ?? '/bin/sh',
    ...(fullName === undefined ? {} : { fullName }),
  }
}

/** Groups without a number are none of POSIX; each number once, and not the primary one. By number. */
export function readGroups(entries: readonly Entry[], primary: number, attributes: Attributes): readonly Group[] {
  const groups = new Map<number, Group>()
  for (const entry of entries) {
    const [number] = texts(entry, attributes.gid)
    if (number === undefined) continue
    const gid = readId(number)
    const name = texts(entry, attributes.groupName).find((each) => /^[^\s,:\p{Cc}]{1,64}$/u.test(each)) ?? `g${number}`
    if (gid !== primary && !groups.has(gid)) groups.set(gid, { gid, name })
  }
  return [...groups.values()].toSorted((a, b) => a.gid - b.gid)
}

/** @throws Problem when there are two: whichever were taken might be the wrong one. */
function single(entry: Entry, attribute: string, name: string): string | undefined {
  const values = texts(entry, attribute)
  if (values.length > 1) {
    throw refused(`The directory has several values of ${attribute} for ${name}. Ask your administrator to leave one.`)
  }
  return values[0]
}

/** Attribute names are written in any case, as the server likes. */
export function texts(entry: Entry, attribute: string): readonly string[] {
  const key = Object.keys(entry).find((each) => each !== 'dn' && each.toLowerCase() === attribute.toLowerCase())
  const value = key === undefined ? [] : entry[key]
  return [value]
    .flat()
    .flatMap((each) => (each === undefined ? [] : [typeof each === 'string' ? each : each.toString()]))
}

function refused(sentence: string): Problem {
  return new Problem('launchRefused', sentence)
}
