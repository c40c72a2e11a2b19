/** Source `file`: accounts written in the configuration. */
import type { Configuration } from '../../config/schema.ts'
import type { Account } from '../../spawners/spawner.ts'
import type { AccountSource } from './index.ts'

type FileAccounts = Extract<Configuration['accounts'], { source: 'file' }>['users']

export function createFileSource(users: FileAccounts): AccountSource {
  return {
    find(name: string): Promise<Account | undefined> {
      const entry = Object.hasOwn(users, name) ? users[name] : undefined
      if (entry === undefined) return Promise.resolve(undefined)
      const { fullName, ...rest } = entry
      return Promise.resolve({
        name,
        ...rest,
        groups: rest.groups.filter((group) => group.gid !== rest.gid),
        ...(fullName === undefined ? {} : { fullName }),
      })
    },
  }
}
