/** The contract of account sources. */
import assert from 'node:assert/strict'
import type { AccountPlugin } from '../plugin.ts'
import { pluginAccounts } from '../accounts.ts'
import { type ContractCase, contractOf, fails, hostileNames, inTime } from './contract.ts'

export interface AccountSubject {
  /** A new one, as at a start of the hub. */
  make(): Promise<AccountPlugin>
  /** Names that it has accounts for. */
  readonly known: readonly [string, ...string[]]
  readonly unknown: string
  /** From now on what it asks can't be asked, until the returned function is called. Absent: it asks nobody. */
  cut?(): Promise<() => Promise<void>>
}

const cases: Readonly<Record<string, (plugin: AccountPlugin, subject: AccountSubject) => Promise<void>>> = {
  'who has an account is found, as often as asked': async (plugin, { known }) => {
    const source = pluginAccounts(plugin)
    for (const name of known) {
      const account = await source.find(name, inTime())
      assert.ok(account, `${name} has an account, and was not found`)
      assert.deepEqual(await source.find(name, inTime()), account, `${name}: the second answer differs from the first`)
      const gids = account.groups.map(({ gid }) => gid)
      assert.ok(!gids.includes(account.gid), `${name}: the primary group is repeated among the supplementary ones`)
      assert.equal(new Set(gids).size, gids.length, `${name}: a group is there twice`)
    }
  },
  'who has none is told so, and that is no failure': async (plugin, { unknown }) => {
    assert.equal(await plugin.find(unknown, inTime()), undefined, `${unknown} has no account`)
  },
  'no name finds somebody else, and none breaks it': async (plugin, { known }) => {
    for (const name of hostileNames) {
      assert.equal(
        await plugin.find(name, inTime()),
        undefined,
        `${JSON.stringify(name.slice(0, 20))} found an account`,
      )
    }
    assert.ok(await plugin.find(known[0], inTime()), 'after strange names it finds nobody any more')
  },
  'fifty at once are all answered': async (plugin, { known, unknown }) => {
    const names = Array.from({ length: 50 }, (_, index) => (index % 5 === 0 ? unknown : known[index % known.length]))
    const found = await Promise.all(names.map((name) => plugin.find(name ?? unknown, inTime())))
    for (const [index, account] of found.entries()) {
      assert.equal(account?.name, names[index] === unknown ? undefined : names[index], 'answers were mixed up')
    }
  },
  'what it asks is away: it throws, for then nobody knows': async (plugin, subject) => {
    const { known } = subject
    const mend = await subject.cut?.()
    if (mend === undefined) return
    try {
      await fails('what it asks is away', () => plugin.find(known[0], inTime()))
    } finally {
      await mend()
    }
    assert.ok(await plugin.find(known[0], inTime()), 'what it asks is back, and it finds nobody')
  },
}

export const accountContract: readonly ContractCase<AccountSubject>[] = contractOf<AccountPlugin, AccountSubject>(cases)
