/** Accounts in a real directory: what it says, what it can't be made to say, and what happens when it fails. */
import test, { type ExecutionContext } from 'ava'
import { Attribute, Change } from 'ldapts'
import { configurationSchema, type LdapAccounts } from '../../config/schema.ts'
import { createAccounts } from '../../hub/accounts/index.ts'
import { createLdapSource } from '../../hub/accounts/ldap/index.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { User } from '../../hub/domain/services.ts'
import { ber, entry, fakeDirectory, success } from '../support/fake-directory.ts'
import { quietLog } from '../support/quiet-log.ts'
import { base, type Directory, groups, hubDn, people, smallDn, startDirectory } from '../support/slapd.ts'
import { freePort } from '../support/hutch.ts'

test('accounts in a directory', async (t) => {
  t.timeout(300_000)
  const elsewhere = await fakeDirectory(t, (socket) => socket.destroy())
  const directory = await startDirectory(t, entries(elsewhere.url))
  if (directory === undefined) return
  await saysWhatItSays(t, directory)
  await holdsNamesApart(t, directory)
  await refuses(t, directory)
  await isTrouble(t, directory)
  t.is(elsewhere.met(), 0, 'a referral was followed')
  await asksTheNext(t, directory)
  await standsInForAWhile(t, directory)
})

const person = (dn: string, lines: readonly string[]): string =>
  [`dn: ${dn}`, 'objectClass: inetOrgPerson', 'objectClass: posixAccount', 'sn: x', ...lines, '', ''].join('\n')

const plain = (uid: string, number: number, more: readonly string[] = []): string =>
  person(`uid=${uid},${people}`, [
    `uid: ${uid}`,
    `cn: ${uid}`,
    `uidNumber: ${number}`,
    'gidNumber: 2000',
    `homeDirectory: /home/${uid}`,
    ...more,
  ])

const odd = String.raw`cn=Curie\, Marie (x)*\5c,ou=people,dc=example,dc=org`

function entries(elsewhere: string): string {
  const many = Array.from(
    { length: 7 },
    (_, index) => `dn: cn=many${index},${groups}
objectClass: posixGroup
gidNumber: ${2_200 + index}
memberUid: ada

`,
  )
  return [
    plain('ada', 12_001, ['cn: Ada Lovelace', 'loginShell: /bin/zsh']).replace('cn: ada\n', ''),
    plain('star', 12_002).replaceAll('uid: star', 'uid: s*r').replace('uid=star', 'cn=star'),
    person(odd, [
      'uid: marie',
      String.raw`cn: Curie, Marie (x)*\ `.trim(),
      'uidNumber: 12003',
      'gidNumber: 2000',
      'homeDirectory: /home/marie/',
    ]),
    plain('root2', 0),
    plain('daemon2', 33),
    plain('closed', 12_004, ['loginShell: /usr/sbin/nologin']),
    plain('wheel', 12_005),
    plain('twice', 12_006),
    plain('twice', 12_007).replace('uid=twice', 'cn=twice'),
    plain('Capital', 12_008),
    plain('relative', 12_009).replace('/home/relative', 'relative'),
    `dn: cn=wheel,${groups}
objectClass: posixGroup
gidNumber: 0
memberUid: wheel

dn: cn=primary,${groups}
objectClass: posixGroup
gidNumber: 2000
memberUid: ada

dn: cn=another's,${groups}
objectClass: posixGroup
gidNumber: 2400
memberUid: *
memberUid: adam

dn: cn=team,${groups}
objectClass: groupOfNames
objectClass: numberedGroup
gidNumber: 2300
member: ${odd}
member: uid=ada,${people}

dn: cn=unnumbered,${groups}
objectClass: groupOfNames
member: ${odd}

`,
    ...many,
    `dn: ou=branch,${people}
objectClass: referral
objectClass: extensibleObject
ou: branch
ref: ${elsewhere}/ou=branch,${people}

`,
  ].join('')
}

/** As the configuration is read. */
function configured(directory: Directory, changes: Partial<Record<string, unknown>> = {}): LdapAccounts {
  const { ldaps, caFile, passwordFile } = directory
  const given = { source: 'ldap', servers: [ldaps], caFile, bindDn: hubDn, passwordFile, people, groups }
  const accounts = configurationSchema.shape.accounts.parse({ ...given, deadline: '60s', ...changes })
  if (accounts.source !== 'ldap') throw new Error('not ldap')
  return accounts
}

const user = (name: string): User => ({ id: `u-${name}`, name, title: name, admin: false })

function asking(accounts: LdapAccounts, now = () => new Date()) {
  const made = createAccounts(accounts, { stateFolder: '/nonexistent', now, log: quietLog })
  return (name: string) => made.of(user(name), AbortSignal.timeout(250_000))
}

async function problemOf(t: ExecutionContext, work: Promise<unknown>, what: string): Promise<Problem> {
  const problem = await t.throwsAsync(work, { instanceOf: Problem }, what)
  return problem
}

async function saysWhatItSays(t: ExecutionContext, directory: Directory) {
  const many = Array.from({ length: 7 }, (_, index) => ({ gid: 2_200 + index, name: `many${index}` }))
  const ada = { name: 'ada', uid: 12_001, gid: 2_000, home: '/home/ada', shell: '/bin/zsh', fullName: 'Ada Lovelace' }
  t.deepEqual(await asking(configured(directory))('ada'), { ...ada, groups: many })
  t.deepEqual(await asking(configured(directory, { servers: [directory.ldap] }))('ada'), { ...ada, groups: many })
  const named = directory.ldaps.replace('127.0.0.1', 'localhost')
  t.deepEqual(await asking(configured(directory, { servers: [named] }))('ada'), { ...ada, groups: many })

  const bis = { groupMembers: 'rfc2307bis', attributes: { group: 'numberedGroup' } }
  const [first, second] = await Promise.all(['ada', 'marie'].map(asking(configured(directory, bis))))
  t.deepEqual(first?.groups, [{ gid: 2_300, name: 'team' }])
  t.like(second, { uid: 12_003, home: '/home/marie', shell: '/bin/sh' })
  t.deepEqual(second?.groups, [{ gid: 2_300, name: 'team' }], 'a DN with a comma, brackets, a star and a backslash')
}

const strange = [
  '*',
  'ad*',
  'ada)(uid=*',
  '*)(objectClass=*',
  'x)(|(uid=ada)',
  String.raw`\61da`,
  String.raw`ada\00`,
  'ada\0',
  'nobody)(uid=ada',
  '(uid=ada)',
  '&',
  'adà',
  '',
  'a'.repeat(10_000),
]

async function holdsNamesApart(t: ExecutionContext, directory: Directory) {
  const source = createLdapSource(configured(directory), { now: () => new Date(), log: quietLog })
  const signal = AbortSignal.timeout(250_000)
  for (const name of strange) {
    t.is(await source.find(name, signal), undefined, JSON.stringify(name.slice(0, 40)))
    const problem = await problemOf(t, asking(configured(directory))(name), name.slice(0, 40))
    t.is(problem.type, 'launchRefused')
  }
  const star = await source.find('s*r', signal)
  t.is(star?.uid, 12_002, 'a star that is part of a name')
  t.deepEqual(star?.groups, [])
}

const refused: readonly (readonly [name: string, why: RegExp])[] = [
  ['nobody', /no account named nobody/],
  ['root2', /uid 0 is the superuser/],
  ['daemon2', /uid 33 belongs to the system/],
  ['closed', /closed: its shell is \/usr\/sbin\/nologin/],
  ['wheel', /group 0 is the superuser/],
  ['twice', /several accounts named twice/],
  ['capital', /calls the account capital by another name/],
  ['relative', /"relative" is not a plain absolute path/],
]

async function refuses(t: ExecutionContext, directory: Directory) {
  const ask = asking(configured(directory))
  for (const [name, why] of refused) {
    const problem = await problemOf(t, ask(name), name)
    t.is(problem.type, 'launchRefused', name)
    t.regex(problem.detail, why)
  }
  const unnumbered = asking(configured(directory, { attributes: { uid: 'employeeNumber' } }))
  t.regex((await problemOf(t, unnumbered('ada'), 'no uid')).detail, /has no employeeNumber for ada/)
  const worded = asking(configured(directory, { attributes: { uid: 'sn' } }))
  t.regex((await problemOf(t, worded('ada'), 'words')).detail, /NaN is not a uid/)
}

/** None of these may pass for "there is no such account". */
async function isTrouble(t: ExecutionContext, directory: Directory) {
  const wrong = { ...directory, passwordFile: directory.caFile }
  const rows: readonly (readonly [what: string, accounts: LdapAccounts])[] = [
    ['a wrong password', configured(wrong)],
    ['a bind DN that is not there', configured(directory, { bindDn: `cn=nobody,${base}` })],
    ['a base that is not there', configured(directory, { people: `ou=nowhere,${base}` })],
    ['a base that is no DN', configured(directory, { people: 'people' })],
    ['a base that is a referral', configured(directory, { people: `ou=branch,${people}` })],
    ['a certificate that nobody trusts', configured(directory, { caFile: undefined })],
    ['the same with StartTLS', configured(directory, { caFile: undefined, servers: [directory.ldap] })],
    ['no TLS, which the server wants', configured(directory, { startTls: false, servers: [directory.ldap] })],
    ['groups beyond what the server gives', configured(directory, { bindDn: smallDn })],
  ]
  for (const [what, accounts] of rows) {
    const problem = await problemOf(t, asking(accounts)('ada'), what)
    t.deepEqual([problem.type, problem.retryAfter], ['backendUnreachable', 60], `${what}: ${problem.message}`)
  }
}

/** One that is down, one that hangs and one that talks nonsense stand before it. */
async function asksTheNext(t: ExecutionContext, directory: Directory) {
  const hangs = await fakeDirectory(t, () => undefined)
  const nonsense = await fakeDirectory(t, (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'))
  const servers = [`ldap://127.0.0.1:${await freePort()}`, hangs.url, nonsense.url, directory.ldaps]
  const at = new Date()
  const ask = asking(configured(directory, { servers, deadline: '5s', fresh: '0s' }), () => at)
  t.is((await ask('ada')).uid, 12_001)
  const met = [hangs.met(), nonsense.met()]
  t.deepEqual(met, [1, 1])
  t.is((await ask('marie')).uid, 12_003)
  t.deepEqual([hangs.met(), nonsense.met()], met, 'those that just failed come last')
}

async function standsInForAWhile(t: ExecutionContext, directory: Directory) {
  let at = Date.parse('2026-11-21T10:00:00Z')
  const ask = asking(configured(directory, { fresh: '15s', stale: '10min', deadline: '5s' }), () => new Date(at))
  t.is((await ask('ada')).uid, 12_001)
  await problemOf(t, ask('nobody'), 'not there')

  directory.pause()
  at += 60_000
  t.is((await ask('ada')).uid, 12_001, 'as it was, while the server hangs')
  directory.resume()
  await directory.change((client) =>
    client.modify(
      `uid=ada,${people}`,
      new Change({ operation: 'replace', modification: new Attribute({ type: 'uidNumber', values: ['12101'] }) }),
    ),
  )
  at += 60_000
  t.is((await ask('ada')).uid, 12_101, 'as it is, when the server is back')
  await directory.stop()
  at += 60_000
  t.is((await ask('ada')).uid, 12_101)
  t.is((await problemOf(t, ask('nobody'), 'not there')).type, 'launchRefused')
  t.is((await problemOf(t, ask('marie'), 'never asked for')).type, 'backendUnreachable')
  at += 15 * 60_000
  t.is((await problemOf(t, ask('ada'), 'too old')).type, 'backendUnreachable')

  await directory.start()
  at += 60_000
  t.is((await ask('ada')).uid, 12_101)
  await directory.change((client) => client.del(`uid=ada,${people}`))
  at += 20_000
  t.regex((await problemOf(t, ask('ada'), 'gone')).detail, /no account named ada/)
  await directory.stop()
  at += 60_000
  t.is((await problemOf(t, ask('ada'), 'gone')).type, 'launchRefused', 'an older account never comes back')
}

const tls = String.raw`1.3.6.1.4.1.1466.20037`
const forged = entry(1, `uid=ada,${people}`, { uid: 'ada', uidNumber: '12666', gidNumber: '2666', homeDirectory: '/x' })
const tiny = Buffer.concat(Array.from({ length: 20_000 }, () => entry(1, '', {})))

const nonsense: readonly (readonly [what: string, answer: Buffer, startTls?: boolean])[] = [
  ['text', Buffer.from('220 smtp.example.org\r\n')],
  ['zeros', Buffer.alloc(65_536)],
  ['noise', Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 7_919 + 13) % 251))],
  [
    'a message of four gigabytes',
    Buffer.concat([Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xf0]), Buffer.alloc(1_024)]),
  ],
  ['a length of nine bytes', Buffer.from([0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0])],
  ['half a message', success(1, 0x65).subarray(0, 6)],
  ["another's answer", success(77, 0x65)],
  ['the answer to another question', success(1, 0x61)],
  ['an answer without a result', ber(0x30, ber(0x02, 1), ber(0x65))],
  ['a kind that is none', ber(0x30, ber(0x02, 1), ber(0x7e, ber(0x0a, 0)))],
  ['an entry that is cut', ber(0x30, ber(0x02, 1), ber(0x64, Buffer.from([0x04, 0x7f, 0x61])))],
  ['twenty thousand tiny entries', tiny],
  ['entries without an end', Buffer.concat(Array.from({ length: 6_000 }, () => entry(1, 'x', { a: 'b'.repeat(900) })))],
  ['StartTLS refused', ber(0x30, ber(0x02, 1), ber(0x78, ber(0x0a, 52), ber(0x04, ''), ber(0x04, ''))), true],
  ['an account in clear text behind StartTLS', Buffer.concat([success(1, 0x78), forged, success(1, 0x65)]), true],
]
for (const [what, answer, startTls = false] of nonsense) {
  test(`a directory that talks nonsense: ${what}`, async (t) => {
    const fake = await fakeDirectory(t, (socket, question) => {
      t.is(startTls, question.includes(tls) || question[0] === 0x16)
      socket.write(answer)
    })
    const accounts = configurationSchema.shape.accounts.parse({
      source: 'ldap',
      servers: [fake.url],
      startTls,
      people,
      deadline: '2s',
    })
    if (accounts.source !== 'ldap') throw new Error('not ldap')
    const problem = await problemOf(t, asking(accounts)('ada'), what)
    t.is(problem.type, 'backendUnreachable', problem.message)
    t.is(fake.met(), 1)
  })
}
