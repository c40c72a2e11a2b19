/**
 * Which groups an environment carries. A file server that takes only so many of a user's groups (NFS with sec=sys: 16)
 * is sent the first of them by number, whichever those are; so where one is mounted an environment carries no more
 * than it takes, those of its proposals before others. Pure.
 */
import type { MountRule } from '../../config/schema.ts'
import type { Account } from '../../spawners/spawner.ts'
import { fillFor, type MountRequest, subjectsOf } from './mounts.ts'

interface CarriedGroups {
  readonly account: Account
  /** For the user: what they don't have, and what to do. Absent: they have all of them. */
  readonly warning?: string
}

/** `proposals` in the order in which they were chosen: the groups of the first come first. */
export function carryGroups(
  account: Account,
  rules: readonly MountRule[],
  chosen: Pick<MountRequest, 'proposals' | 'datasets'>,
): CarriedGroups {
  const each = rules.flatMap((rule) => subjectsOf(rule, chosen).map((subject) => ({ rule, subject })))
  const most = Math.min(...each.map(({ rule }) => rule.mostGroups ?? Infinity))
  const has = account.groups.length
  if (has <= most) return { account }
  const wanted = each.flatMap(({ rule, subject }) =>
    rule.group === undefined ? [] : [fillFor(rule.group, rule.name, subject, account)],
  )
  const place = ({ name }: Account['groups'][number]): number => {
    const index = wanted.indexOf(name)
    return index === -1 ? wanted.length : index
  }
  const sorted = account.groups.toSorted((one, other) => place(one) - place(other))
  const needed = sorted.filter(({ name }) => wanted.includes(name)).length
  const warning =
    needed > most
      ? `These proposals need ${needed} groups, and the file server takes ${most} of a user's: the data of the last ones may not open. Choose fewer proposals.`
      : `You are in ${has} groups, and the file server takes ${most}: this environment has those of its proposals, and not all others. Choose the proposals whose data you need.`
  return { account: { ...account, groups: sorted.slice(0, most) }, warning }
}
