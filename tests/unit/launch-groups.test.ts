/** Which groups an environment carries to file servers that take only so many. */
import test from 'ava'
import * as fc from 'fast-check'
import type { MountRule } from '../../config/schema.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Proposal } from '../../hub/domain/services.ts'
import { carryGroups } from '../../hub/launch/groups.ts'
import type { Account } from '../../spawners/spawner.ts'

const proposal = (id: string): Proposal => ({ id, title: id, instrument: 'LOQ', fields: {} })
const rule: MountRule = {
  name: 'raw',
  source: 'nfs1:/export/{proposal}',
  target: '/data/{proposal}',
  allowedRoots: ['nfs1:/export'],
  readOnly: true,
  for: 'proposal',
  security: 'sys',
  wholeOnly: false,
  mostGroups: 16,
  group: 'p{proposal}',
}
const account = (names: readonly string[]): Account => ({
  name: 'ada',
  uid: 3_001,
  gid: 2_000,
  groups: names.map((name, index) => ({ name, gid: 5_000 + index })),
  home: '/home/ada',
  shell: '/bin/sh',
})
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `p${index}`)

const rows: readonly (readonly [
  what: string,
  rules: readonly MountRule[],
  groups: number,
  chosen: readonly string[],
  kept: number,
  warning?: RegExp,
])[] = [
  ['as many as fit', [rule], 16, ['15'], 16],
  ['one too many', [rule], 17, ['16', '15'], 16, /You are in 17 groups, and the file server takes 16/],
  ['no proposal, so nothing of it is mounted', [rule], 17, [], 17],
  ['a rule without a limit', [{ ...rule, mostGroups: undefined }], 17, ['16'], 17],
  ['the lowest limit counts', [{ ...rule, mostGroups: 4 }, rule], 17, ['16'], 4, /takes 4/],
  ['for each user', [{ ...rule, for: 'user', group: 'p16' }], 17, [], 16, /You are in 17/],
  ['too many chosen', [rule], 20, numbered(18).map((name) => name.slice(1)), 16, /need 18 groups.* Choose fewer/],
]
for (const [what, rules, count, chosen, kept, warning] of rows) {
  test(`groups: ${what}`, (t) => {
    const carried = carryGroups(account(numbered(count)), rules, { proposals: chosen.map(proposal), datasets: [] })
    const names = carried.account.groups.map(({ name }) => name)
    t.is(names.length, kept)
    if (warning === undefined) t.is(carried.warning, undefined)
    else t.regex(carried.warning ?? '', warning)
    const first = chosen.map((id) => `p${id}`).slice(0, kept)
    if (warning !== undefined) t.deepEqual(names.slice(0, first.length), first)
  })
}

test('groups: what is carried is the account’s, and nothing of a chosen proposal goes before it must', (t) => {
  const ids = fc.uniqueArray(fc.integer({ min: 0, max: 40 }).map(String), { maxLength: 30 })
  fc.assert(
    fc.property(ids, ids, fc.integer({ min: 1, max: 20 }), (own, chosen, mostGroups) => {
      const whole = account(own.map((id) => `p${id}`))
      const { account: carried, warning } = carryGroups(whole, [{ ...rule, mostGroups }], {
        proposals: chosen.map(proposal),
        datasets: [],
      })
      const most = chosen.length === 0 ? own.length : mostGroups
      t.is(carried.groups.length, Math.min(own.length, most))
      t.is(warning === undefined, own.length <= most)
      t.true(carried.groups.every((group) => whole.groups.includes(group)))
      const needed = own.filter((id) => chosen.includes(id)).length
      const kept = carried.groups.filter(({ name }) => chosen.includes(name.slice(1))).length
      t.is(kept, Math.min(needed, most))
    }),
  )
})

test('groups: a value that the catalogue does not have is refused', (t) => {
  const call = () =>
    carryGroups(account(numbered(17)), [{ ...rule, group: 's{session}' }], { proposals: [proposal('1')], datasets: [] })
  t.throws(call, { instanceOf: Problem, message: /has no \{session\}/ })
})
