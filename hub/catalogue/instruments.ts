/** Of which instruments somebody sees all proposals: their local contacts and staff, as the configuration says. */
import type { Configuration } from '../../config/schema.ts'
import type { User } from '../domain/services.ts'

/** Groups are asked for only where they may say something. */
export function instrumentsOf(
  configuration: Configuration['instruments'],
  groupsOf: (user: User) => Promise<readonly string[]>,
): (user: User) => Promise<readonly string[]> {
  const all = Object.entries(configuration)
  const asksGroups = all.some(([, { groups }]) => groups.length > 0)
  return async (user) => {
    if (all.length === 0) return []
    const mine = asksGroups ? await groupsOf(user) : []
    return all
      .filter(([, { users, groups }]) => users.includes(user.name) || groups.some((group) => mine.includes(group)))
      .map(([name]) => name)
  }
}
