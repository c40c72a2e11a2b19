/**
 * Accounts that the cluster's daemons, jobs and commands know, and nobody else on this machine: each of their
 * processes sees passwd and group files of its own, in a view of the machine of its own.
 */
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Numbers that no machine gives to anybody by itself. */
export const people = {
  ada: { uid: 23_101, groups: { p42: 33_142, beamline: 33_190 } },
  marie: { uid: 23_102, groups: { p42: 33_142, p43: 33_143 } },
  /** Has an account of the machine, and no association in SLURM. */
  rosalind: { uid: 23_103, groups: { p43: 33_143 } },
  /** Its home is on no node. */
  emmy: { uid: 23_104, groups: {} },
} as const
export type Name = keyof typeof people

/** Not people: what runs slurmrestd, what the hub looks at the queue as, and what mints tokens. */
const services = { slurmrest: 23_180, hutch: 23_181, minter: 23_182 } as const

export interface View {
  /** argv that runs argv among these accounts. The process is the same one. */
  readonly within: (argv: readonly string[]) => readonly string[]
  readonly home: (name: Name) => string
}

/** `binds`: further files of the machine that they see otherwise. */
export async function createPeople(
  folder: string,
  binds: readonly Readonly<{ source: string; target: string }>[] = [],
): Promise<View> {
  const [passwd, group] = [join(folder, 'etc/passwd'), join(folder, 'etc/group')]
  const home = (name: Name): string => join(folder, 'home', name)
  const users = [
    ...entries().map(([name, { uid }]) => `${name}:x:${uid}:${uid}:${name} of the tests:${home(name)}:/bin/bash`),
    ...Object.entries(services).map(([name, uid]) => `${name}:x:${uid}:${uid}::/nonexistent:/usr/sbin/nologin`),
  ]
  const members = new Map<string, string[]>()
  for (const [name, { uid, groups }] of entries()) {
    members.set(`${name}:x:${uid}:`, [])
    for (const [each, gid] of Object.entries(groups)) {
      const line = `${each}:x:${gid}:`
      members.set(line, [...(members.get(line) ?? []), name])
    }
  }
  for (const [name, uid] of Object.entries(services)) members.set(`${name}:x:${uid}:`, [])
  const groups = [...members].map(([line, names]) => line + names.join(','))
  await writeFile(passwd, `${await readFile('/etc/passwd', 'utf8')}${users.join('\n')}\n`)
  await writeFile(group, `${await readFile('/etc/group', 'utf8')}${groups.join('\n')}\n`)
  for (const [name, { uid }] of entries()) {
    if (name === 'emmy') continue
    await mkdir(home(name), { recursive: true })
    await chown(home(name), uid, uid)
    await chmod(home(name), 0o700)
  }
  const all = [{ source: passwd, target: '/etc/passwd' }, { source: group, target: '/etc/group' }, ...binds]
  const mounting = all.map(({ target }, index) => `mount --bind "$${index + 1}" ${target}`).join(' && ')
  const script = `${mounting} && shift ${all.length} && exec "$@" || exit 126`
  const sources = all.map(({ source }) => source)
  const begin = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...sources]
  return { home, within: (argv) => [...begin, ...argv] }
}

function entries(): [Name, (typeof people)[Name]][] {
  return Object.entries(people) as [Name, (typeof people)[Name]][]
}
