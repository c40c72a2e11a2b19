/** Accounts: who may run environments, and what each source says about them. */
import { execFileSync } from 'node:child_process'
import { chmod, chown, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import type { Configuration } from '../../config/schema.ts'
import { createCache } from '../../hub/accounts/cache.ts'
import { firstFree, isFree } from '../../hub/accounts/demo-numbers.ts'
import { homeSource } from '../../hub/accounts/homes.ts'
import { type AccountsOptions, createAccounts } from '../../hub/accounts/index.ts'
import { requireSoundAccount, requireSoundName } from '../../hub/accounts/rule.ts'
import { readPasswd } from '../../hub/accounts/system.ts'
import { installDemoData } from '../../hub/catalogue/demo/install.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { User } from '../../hub/domain/services.ts'
import type { Account } from '../../spawners/spawner.ts'
import { available } from '../support/component.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'

const ordinary = { uid: 12_001, gid: 12_001, groups: [] as number[] }
const byNumber = (a: number, b: number) => a - b
const signal = AbortSignal.timeout(120_000)

const user = (name: string): User => ({ id: `u-${name}`, name, title: name, admin: false })

async function accounts(
  t: ExecutionContext,
  source: Configuration['accounts'],
  options: Partial<AccountsOptions> = {},
) {
  const stateFolder = await temporaryFolder(t)
  const made = createAccounts(source, {
    stateFolder,
    now: () => new Date(),
    log: quietLog,
    ...options,
  })
  return { stateFolder, of: (name: string) => made.of(user(name), signal) }
}

test('self: the ids of the hub, a home of their own that is made once and never touched again', async (t) => {
  const { of, stateFolder } = await accounts(t, { source: 'self' }, { identity: ordinary })
  const account = await of('ada')
  t.like(account, { name: 'ada', uid: 12_001, gid: 12_001, home: '/home/ada', shell: '/bin/bash' })
  const home = homeSource('self', stateFolder, account)
  t.is(home, join(stateFolder, 'homes', 'ada'))
  t.is((await stat(home)).mode & 0o777, 0o700)
  t.deepEqual((await readdir(home)).toSorted(), ['.bashrc', '.profile', 'Welcome.md'])

  await writeFile(join(home, 'Welcome.md'), 'mine now')
  await of('ada')
  t.is(await readFile(join(home, 'Welcome.md'), 'utf8'), 'mine now')
})

test('self: twenty first launches at once make one whole home and leave nothing behind', async (t) => {
  const { of, stateFolder } = await accounts(t, { source: 'self' }, { identity: ordinary })
  await Promise.all(Array.from({ length: 20 }, () => of('marie')))
  t.deepEqual(await readdir(join(stateFolder, 'homes')), ['marie'])
  t.is((await readdir(join(stateFolder, 'homes', 'marie'))).length, 3)
})

test('self: groups carry the names that the system has for them, and a number where it has none', async (t) => {
  const known = execFileSync('getent', ['group'], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.split(':'))
    .find(([, , gid]) => Number(gid) > 0)
  const gid = Number(known?.[2])
  const { of } = await accounts(t, { source: 'self' }, { identity: { ...ordinary, groups: [gid, 2_999_999] } })
  t.deepEqual((await of('ada')).groups, [
    { gid, name: known?.[0] ?? '' },
    { gid: 2_999_999, name: 'g2999999' },
  ])
})

test('self: refused as root, with the remedy, and no home is made', async (t) => {
  const { of, stateFolder } = await accounts(t, { source: 'self' }, { identity: { uid: 0, gid: 0, groups: [] } })
  const problem = await t.throwsAsync(of('ada'), { instanceOf: Problem })
  t.is(problem.type, 'launchRefused')
  t.regex(problem.detail, /Start it as an ordinary user, or set accounts\.source to system or file/)
  t.deepEqual(await readdir(stateFolder), [])
})

test('self: a state folder that is not writable is said as trouble, not as a missing account', async (t) => {
  const { of, stateFolder } = await accounts(t, { source: 'self' }, { identity: ordinary })
  await writeFile(join(stateFolder, 'homes'), 'a file where a folder should be')
  await chmod(stateFolder, 0o700)
  const problem = await t.throwsAsync(of('ada'), { instanceOf: Problem })
  t.is(problem.type, 'backendUnreachable')
})

test('demo: without root exactly as self', async (t) => {
  const [self, demo] = [
    await accounts(t, { source: 'self' }, { identity: ordinary }),
    await accounts(t, { source: 'demo' }, { identity: ordinary }),
  ]
  t.deepEqual(await demo.of('ada'), await self.of('ada'))
  t.is((await stat(join(demo.stateFolder, 'homes/ada'))).uid, process.geteuid?.() ?? -1)
})

test('demo: as root each has a uid, a gid and a home of their own, always the same, and groups of their proposals', async (t) => {
  if (!available(t, 'root', process.geteuid?.() === 0, 'run the tests as root')) return
  const { of, stateFolder } = await accounts(t, { source: 'demo' })
  await installDemoData(stateFolder, { asRoot: true })
  const names = ['ada', 'marie', 'rosalind', 'ada', 'marie']
  const found = await Promise.all(names.map(of))
  t.deepEqual(found.slice(3), found.slice(0, 2))
  t.is(new Set(found.map(({ uid }) => uid)).size, 3)
  for (const { name, uid, gid, home } of found) {
    t.true(uid >= 61_000 && uid <= 61_799 && gid === uid)
    t.is(home, `/home/${name}`)
    const onHost = homeSource('demo', stateFolder, { name, home })
    for (const path of ['', '.bashrc', 'Welcome.md']) {
      const seen = await stat(join(onHost, path))
      t.deepEqual([seen.uid, seen.gid], [uid, gid])
    }
    t.is((await stat(onHost)).mode & 0o777, 0o700)
  }
  const groups = Object.fromEntries(found.map(({ name, groups: own }) => [name, own.map((group) => group.name)]))
  t.deepEqual(groups, {
    ada: ['p20260311', 'p20150042'],
    marie: ['p20150042', 'p20080121'],
    rosalind: ['p20260311', 'p20080121'],
  })
  const [p42] = found[0]?.groups.filter((group) => group.name === 'p20150042') ?? []
  const shared = await stat(join(stateFolder, 'proposals/20150042/processed'))
  t.deepEqual([shared.gid, shared.mode & 0o7777], [p42?.gid, 0o2770])
  t.is((await stat(join(stateFolder, 'proposals/20150042/processed/p123.ipynb'))).gid, p42?.gid ?? -1)
  t.is((await stat(join(stateFolder, 'proposals/20150042/raw'))).uid, 0)

  await chown(join(stateFolder, 'homes/marie'), 12_001, 12_001)
  const problem = await t.throwsAsync(of('marie'), { instanceOf: Problem })
  t.is(problem.type, 'launchRefused')
  t.regex(problem.detail, /home of marie belongs to uid 12001/)
})

test('demo: no number that this machine gives to anybody', async (t) => {
  t.false(await isFree(0, signal))
  const ids = (database: string) =>
    execFileSync('getent', [database], { encoding: 'utf8' })
      .split('\n')
      .map((line) => Number(line.split(':')[2]))
  const known = [...ids('passwd'), ...ids('group')]
  const found = await firstFree({ first: 0, last: 300 }, new Set([100, 300]), signal)
  t.false([...known, 100, 300].includes(found))
  const problem = await t.throwsAsync(firstFree({ first: 0, last: 1 }, new Set([1]), signal), { instanceOf: Problem })
  t.regex(problem.detail, /no number left/)
})

const written = {
  ada: { uid: 12_001, gid: 12_001, groups: [{ name: 'p42', gid: 30_042 }], home: '/home/ada', fullName: 'Ada L.' },
  daemon: { uid: 999, gid: 12_001, home: '/home/daemon' },
  relative: { uid: 12_003, gid: 12_003, home: 'home/relative' },
  dotted: { uid: 12_004, gid: 12_004, home: '/home/../etc' },
  slash: { uid: 12_005, gid: 12_005, home: '/' },
  colon: { uid: 12_006, gid: 12_006, home: '/home/a:b' },
  closed: { uid: 12_007, gid: 12_007, home: '/home/closed', shell: '/usr/sbin/nologin' },
  gecos: { uid: 12_008, gid: 12_008, home: '/home/gecos', fullName: 'a:0:0:root' },
  newline: { uid: 12_009, gid: 12_009, home: '/home/newline', shell: '/bin/bash\nroot::0:0::/:/bin/sh' },
  group: { uid: 12_010, gid: 12_010, groups: [{ name: 'a,b', gid: 30_001 }], home: '/home/group' },
  huge: { uid: 2 ** 32 - 1, gid: 12_011, home: '/home/huge' },
}

const users = Object.fromEntries(
  Object.entries(written).map(([name, entry]) => [name, { groups: [], shell: '/bin/bash', ...entry }]),
)

test('file: the account as written', async (t) => {
  const { of } = await accounts(t, { source: 'file', users })
  t.deepEqual(await of('ada'), {
    name: 'ada',
    uid: 12_001,
    gid: 12_001,
    groups: [{ name: 'p42', gid: 30_042 }],
    home: '/home/ada',
    shell: '/bin/bash',
    fullName: 'Ada L.',
  })
})

const refusals: readonly (readonly [name: string, words: RegExp])[] = [
  ['daemon', /uid 999 belongs to the system/],
  ['relative', /"home\/relative" is not a plain absolute path/],
  ['dotted', /is not a plain absolute path/],
  ['slash', /its home is \//],
  ['colon', /"\/home\/a:b" is not a plain absolute path/],
  ['closed', /is closed: its shell is \/usr\/sbin\/nologin/],
  ['gecos', /full name/],
  ['newline', /is not a plain absolute path/],
  ['group', /"a,b" is not a name of a group/],
  ['huge', /4294967295 is not a uid or gid/],
  ['nobodyhere', /There is no account named nobodyhere/],
  ['constructor', /There is no account named constructor/],
  ['', /The account name "" can't be used/],
  ['..', /can't be used/],
  ['a..b', /can't be used/],
  ['%2e%2e', /can't be used/],
  ['a/b', /can't be used/],
  ['-rf', /can't be used/],
  ['1234', /can't be used/],
  ['Ada', /can't be used/],
  ['ada\0', /can't be used/],
  ['ada\n', /can't be used/],
  ['ádá🦆', /can't be used/],
  ['a'.repeat(33), /can't be used/],
  ['a'.repeat(100_000), /can't be used/],
]
for (const [name, words] of refusals) {
  test(`file: refused in a short sentence: ${JSON.stringify(name.slice(0, 40))} (${name.length})`, async (t) => {
    const { of } = await accounts(t, { source: 'file', users })
    const problem = await t.throwsAsync(of(name), { instanceOf: Problem })
    t.is(problem.type, 'launchRefused')
    t.is(problem.status, 422)
    t.regex(problem.detail, words)
    t.true(problem.detail.length < 250, problem.detail)
    t.notRegex(problem.detail, /\p{Cc}/u)
  })
}

test('root as a uid, a gid or a group is refused whatever the minimum', (t) => {
  const sound: Account = { name: 'ada', uid: 1, gid: 1, groups: [], home: '/home/ada', shell: '/bin/sh' }
  const rule = { minimumUid: 0, source: 'system' } as const
  t.notThrows(() => requireSoundAccount(sound, rule))
  for (const wrong of [
    { uid: 0 },
    { gid: 0 },
    { groups: [{ name: 'root', gid: 0 }] },
    { uid: -1 },
    { gid: Number.NaN },
  ]) {
    const problem = t.throws(() => requireSoundAccount({ ...sound, ...wrong }, rule), { instanceOf: Problem })
    t.is(problem.type, 'launchRefused')
  }
})

for (const minimumUid of [1_000, 1]) {
  test(`system: every account of this machine is refused in words or as id says, from uid ${minimumUid}`, async (t) => {
    const { of } = await accounts(t, { source: 'system' }, { minimumUid })
    const names: readonly string[] = execFileSync('getent', ['passwd'], { encoding: 'utf8' }).match(/^[^:]+/gm) ?? []
    t.true(names.includes('root'))
    let accepted = 0
    for (const name of names.slice(0, 60)) {
      const id = (flag: string) => execFileSync('id', [flag, '--', name], { encoding: 'utf8' }).trim()
      try {
        const account = await of(name)
        const gids = [account.gid, ...account.groups.map((group) => group.gid)]
        t.is(String(account.uid), id('-u'))
        t.is(String(account.gid), id('-g'))
        t.deepEqual(gids.toSorted(byNumber), id('-G').split(' ').map(Number).toSorted(byNumber))
        t.true(account.uid >= minimumUid)
        accepted += 1
      } catch (error) {
        t.true(error instanceof Problem && error.type === 'launchRefused', String(error))
        if (name === 'root' && error instanceof Problem) t.regex(error.detail, /uid 0/)
      }
    }
    // Debian's `sync` has a shell that is none of the closed ones; elsewhere there may be no such account.
    if (minimumUid === 1 && names.includes('sync')) t.true(accepted > 0)
  })
}

test('system: a name that nobody has, and numbers, are no accounts', async (t) => {
  const { of } = await accounts(t, { source: 'system' })
  for (const name of ['surelynotthere', '0', '65534']) {
    const problem = await t.throwsAsync(of(name), { instanceOf: Problem })
    t.is(problem.type, 'launchRefused')
  }
})

test('system: an answer that does not come is trouble of the service, not a missing account', async (t) => {
  const made = createAccounts(
    { source: 'system' },
    {
      stateFolder: await temporaryFolder(t),
      now: () => new Date(),
      log: quietLog,
    },
  )
  const problem = await t.throwsAsync(made.of(user('ada'), AbortSignal.abort()), { instanceOf: Problem })
  t.is(problem.type, 'backendUnreachable')
})

test('passwd lines', (t) => {
  t.deepEqual(readPasswd('ada:x:12001:100:Ada Lovelace,Room 1,,:/home/ada/:'), {
    name: 'ada',
    uid: 12_001,
    gid: 100,
    fullName: 'Ada Lovelace',
    home: '/home/ada',
    shell: '/bin/sh',
  })
  t.is(readPasswd('ada:x::100::/home/ada:/bin/sh').uid, Number.NaN)
  t.is(readPasswd('ada:x:0x0:100::/home/ada:/bin/sh').uid, Number.NaN)
})

test('law: a name that passes is one path component, one passwd field and no option', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z._-]{0,40}$/)), (name) => {
        try {
          requireSoundName(name)
        } catch {
          return true
        }
        return (
          join('/homes', name) === `/homes/${name}` &&
          !name.includes('..') &&
          !/[\s:,/]|^-/.test(name) &&
          name.length <= 32
        )
      }),
      { numRuns: 2_000 },
    ),
  )
})

test('the cache answers for a while, forgets the oldest, keeps no failure, and mistrusts a clock that went back', async (t) => {
  let at = 1_000_000
  let asked = 0
  const cache = createCache<number>({ now: () => new Date(at), keptMs: 1_000, mostKept: 2 })
  const ask = (key: string) => cache.get(key, async () => ++asked)
  t.is(await ask('a'), 1)
  t.is(await ask('a'), 1)
  at += 1_000
  t.is(await ask('a'), 2)
  at -= 5_000
  t.is(await ask('a'), 3)
  await ask('b')
  await ask('c')
  t.is(await ask('a'), 6)
  await t.throwsAsync(cache.get('d', () => Promise.reject(new Error('down'))))
  t.is(await ask('d'), 7)
})
