import test from 'ava'
import * as fc from 'fast-check'
import { groupFile, passwdFile } from '../../spawners/common/accountFiles.ts'
import { LaunchRefused, type Account } from '../../spawners/spawner.ts'

const base = 'root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/sbin/nologin\nbob:x:1001:1001::/home/bob:/bin/sh\n'
const baseGroups = 'root:x:0:\nvideo:x:44:bob,alice\nstaff:x:50:\nusers:x:100:\nbob:x:1001:\n'

const alice: Account = {
  name: 'alice',
  uid: 12_001,
  gid: 12_001,
  groups: [{ name: 'p1', gid: 30_001 }],
  home: '/home/alice',
  shell: '/bin/bash',
  fullName: 'Alice Ångström',
}
const own = 'alice:x:12001:12001:Alice Ångström:/home/alice:/bin/bash\n'

const passwdRows: readonly (readonly [string, Partial<Account>, string])[] = [
  ['a new account comes first', {}, own + base],
  ['the same uid under another name is replaced', { uid: 1001 }, own.replace('12001', '1001') + withoutBob(base)],
  ['the same name under another uid is replaced', { name: 'bob' }, own.replace('alice', 'bob') + withoutBob(base)],
  ['without a full name the field is empty', { fullName: undefined }, own.replace('Alice Ångström', '') + base],
]
for (const [title, part, expected] of passwdRows) {
  test(`passwd: ${title}`, (t) => t.is(passwdFile(base, account(part)), expected))
}

const groupRows: readonly (readonly [string, Partial<Account>, readonly string[], readonly string[]])[] = [
  ['own groups come first', {}, ['alice:x:12001:', 'p1:x:30001:alice', 'root:x:0:'], []],
  ['a primary group that the base knows keeps its name', { gid: 100 }, ['users:x:100:'], ['alice:x:100:']],
  ['a number of the base gets our name', { groups: [{ name: 'beam', gid: 50 }] }, ['beam:x:50:alice'], ['staff:x:50:']],
  [
    'a name of the base gets our number',
    { groups: [{ name: 'staff', gid: 7000 }] },
    ['staff:x:7000:alice'],
    ['staff:x:50:'],
  ],
  ['membership is what we say', {}, ['video:x:44:bob'], ['video:x:44:bob,alice']],
  ['a name wanted twice', { groups: [{ name: 'alice', gid: 9 }] }, ['g12001:x:12001:', 'alice:x:9:alice'], []],
  [
    'the primary group is not repeated',
    { groups: [{ name: 'mine', gid: 12_001 }] },
    ['alice:x:12001:'],
    ['mine:x:12001:alice'],
  ],
]
for (const [title, part, there, absent] of groupRows) {
  test(`group: ${title}`, (t) => {
    const lines = groupFile(baseGroups, account(part)).split('\n')
    for (const line of there) t.true(lines.includes(line), `${line} in\n${lines.join('\n')}`)
    for (const line of absent) t.false(lines.includes(line), line)
  })
}

for (const character of [':', '\n', '\0', '\r']) {
  for (const field of ['name', 'fullName', 'home', 'shell'] as const) {
    test(`passwd: ${JSON.stringify(character)} in ${field} is refused`, (t) => {
      t.throws(() => passwdFile(base, account({ [field]: `a${character}root` })), { instanceOf: LaunchRefused })
    })
  }
  test(`group: ${JSON.stringify(character)} in a group's name is refused`, (t) => {
    t.throws(() => groupFile(base, account({ groups: [{ name: `a${character}b`, gid: 5 }] })), {
      instanceOf: LaunchRefused,
    })
  })
}

const ids = fc.integer({ min: 1, max: 70_000 })
const names = fc.stringMatching(/^[a-z][a-z0-9]{0,7}$/)
const lines = (fields: number) =>
  fc.array(fc.tuple(names, ids).map(([name, id]) => [name, 'x', id, '', '', '', ''].slice(0, fields).join(':')))

test('whatever the base: one line has our name and one our number, and it is the same one', (t) => {
  fc.assert(
    fc.property(
      lines(7),
      lines(4),
      names,
      ids,
      fc.array(fc.record({ name: names, gid: ids })),
      (users, groups, name, id, more) => {
        const of = account({ name, uid: id, gid: id, groups: more })
        const passwd = passwdFile(users.join('\n'), of)
          .trim()
          .split('\n')
          .map((line) => line.split(':'))
        t.deepEqual(
          passwd.filter((entry) => entry[0] === name || entry[2] === String(id)),
          [passwd[0]],
        )
        const group = groupFile(groups.join('\n'), of)
          .trim()
          .split('\n')
          .map((line) => line.split(':'))
        for (const { gid } of [{ gid: id }, ...more]) {
          t.true(group.some((entry) => entry[2] === String(gid)))
        }
      },
    ),
  )
})

function account(part: Partial<Record<keyof Account, unknown>>): Account {
  const { fullName, ...rest } = { ...alice, ...part } as Account & { fullName?: string | undefined }
  return fullName === undefined ? rest : { ...rest, fullName }
}

function withoutBob(text: string): string {
  return text.replace(/^bob.*\n/m, '')
}
