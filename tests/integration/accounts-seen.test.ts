/** What the hub remembers of accounts, and accounts from claims: on both kinds of database. */
import test from 'ava'
import { configurationSchema, type Configuration } from '../../config/schema.ts'
import { createAccounts } from '../../hub/accounts/index.ts'
import { createSeenAccounts, renumber } from '../../hub/accounts/seen.ts'
import type { AuditEntry } from '../../hub/audit/entry.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { User } from '../../hub/domain/services.ts'
import { databases } from '../support/postgres.ts'
import { quietLog } from '../support/quiet-log.ts'

const user = (name: string): User => ({ id: `u-${name}`, name, title: name, admin: false })
const signal = AbortSignal.timeout(170_000)
const at = Date.parse('2026-11-21T10:00:00Z')

const row = (name: string) => ({
  ...user(name),
  admin: 0,
  email: null,
  blocked_reason: null,
  created_at: at,
  last_activity_at: null,
})

test('another uid, and an account that went: nothing is launched, until an administrator or the account comes back', async (t) => {
  for (const store of await databases(t)) {
    let time = at
    const now = () => new Date(time)
    const seen = createSeenAccounts({ db: store.db, now })
    await store.db.insertInto('users').values(['ada', 'marie'].map(row)).execute()
    const of = async (name: string, uid: number | undefined) => {
      const entry = { uid: uid ?? 0, gid: 2_000, groups: [], home: `/home/${name}`, shell: '/bin/sh' }
      const source = { source: 'file', users: uid === undefined ? {} : { [name]: entry } } as const
      const accounts = createAccounts(source, { stateFolder: '/nonexistent', now, log: quietLog, seen })
      return (await accounts.of(user(name), signal)).uid
    }
    const refusal = async (name: string, uid: number | undefined) => {
      const problem = await t.throwsAsync(of(name, uid), { instanceOf: Problem })
      t.is(problem.type, 'launchRefused')
      return problem.detail
    }

    t.regex(await refusal('ada', undefined), /no account named ada/)
    t.deepEqual(await Promise.all(Array.from({ length: 5 }, () => of('ada', 3_001))), Array(5).fill(3_001))
    t.regex(await refusal('ada', 3_002), /was number 3001 .* is number 3002 now.*hutch user renumber ada/)
    t.is(await of('marie', 3_002), 3_002, "another's number is theirs")

    t.regex(await refusal('ada', undefined), /has gone .*missing since 2026-11-21/)
    time += 3 * 86_400_000
    t.regex(await refusal('ada', undefined), /missing since 2026-11-21/)
    t.regex(await refusal('ada', 3_002), /was number 3001/, 'who comes back as another is another')
    t.is(await of('ada', 3_001), 3_001)
    t.regex(await refusal('ada', undefined), /missing since 2026-11-24/)

    const lines: AuditEntry[] = []
    const audit = { within: (_: unknown, line: AuditEntry) => Promise.resolve(() => void lines.push(line)) }
    await renumber({ db: store.db, audit }, 'ada', { who: 'hub' })
    t.like(lines, [{ did: 'user.renumbered', toWhom: { name: 'ada' }, detail: { uid: 3_001 } }])
    for (const name of ['ada', 'nobody']) {
      await t.throwsAsync(renumber({ db: store.db, audit }, name, { who: 'hub' }), { message: /notFound/ })
    }
    t.is(await of('ada', 3_002), 3_002)
    t.is(await of('marie', 3_002), 3_002)
  }
})

const issuer = 'https://login.example.org'
const provider = { title: 'Facility', issuer, clientId: 'hutch', proves: 'account' as const }
const login: Configuration['login'] = configurationSchema.shape.login.parse({ providers: { facility: provider } })
const claims = {
  preferred_username: 'Ada',
  uidNumber: 3_001,
  gidNumber: '2000',
  groups_here: ['p1:5001', { name: 'p2', gid: '5002' }, 'p1:5001', 'staff:2000'],
}
const ada = {
  name: 'ada',
  uid: 3_001,
  gid: 2_000,
  groups: [
    { name: 'p1', gid: 5_001 },
    { name: 'p2', gid: 5_002 },
  ],
  home: '/home/ada',
  shell: '/bin/bash',
}

const said: readonly (readonly [what: string, changes: Record<string, unknown>, expected: object | RegExp])[] = [
  ['all of it', {}, ada],
  [
    'home and shell',
    { homeDirectory: '/srv/ada/', loginShell: '/bin/zsh' },
    { ...ada, home: '/srv/ada', shell: '/bin/zsh' },
  ],
  ['no groups', { groups_here: undefined }, { ...ada, groups: [] }],
  ['no uid', { uidNumber: undefined }, /claim “uidNumber” is missing or is not a number/],
  ['uid 0', { uidNumber: 0 }, /uid 0 is the superuser/],
  ["the system's", { uidNumber: '33' }, /belongs to the system/],
  ['a uid that became a list', { uidNumber: [3_001] }, /claim “uidNumber” is missing or is not a number/],
  ['a uid in words', { uidNumber: '3001; id' }, /claim “uidNumber”/],
  ['a fraction', { uidNumber: 3_001.5 }, /claim “uidNumber”/],
  ['a uid below zero', { uidNumber: -1 }, /-1 is not a uid/],
  ['a uid that wraps around', { uidNumber: 2 ** 32 }, /4294967296 is not a uid/],
  ['a gid that is an object', { gidNumber: {} }, /claim “gidNumber”/],
  ['groups that became text', { groups_here: 'p1' }, /claim “groups_here” .* a list of groups/],
  ['a group without a number', { groups_here: ['p1'] }, /claim “groups_here”/],
  ['group 0', { groups_here: ['wheel:0'] }, /group 0/],
  ['a home that is a number', { homeDirectory: 7 }, /claim “homeDirectory”/],
  ['a home with dots', { homeDirectory: '/home/../root' }, /not a plain absolute path/],
  ['another name', { preferred_username: 'eve' }, /no account named ada/],
  ['a name that became a list', { preferred_username: ['ada'] }, /no account named ada/],
]

test('claims: an account as the login provider said it last', async (t) => {
  for (const store of await databases(t)) {
    const configuration = configurationSchema.shape.accounts.parse({
      source: 'claims',
      provider: 'facility',
      claims: { groups: 'groups_here' },
    })
    const accounts = createAccounts(configuration, {
      stateFolder: '/nonexistent',
      now: () => new Date(at),
      log: quietLog,
      claims: { db: store.db, providers: login.providers },
    })
    await store.db.insertInto('users').values(['ada', 'eve'].map(row)).execute()
    const identity = (subject: string, given: object, changes = {}) =>
      store.db
        .insertInto('identities')
        .values({ issuer, subject, user_id: 'u-ada', claims: JSON.stringify(given), linked_at: at, ...changes })
        .execute()
    const refusal = async () => (await t.throwsAsync(accounts.of(user('ada'), signal), { instanceOf: Problem })).detail
    await identity('elsewhere', { ...claims, uidNumber: 3_666 }, { issuer: 'https://umbrella.example.org' })
    await identity("another's", { ...claims, uidNumber: 3_667 }, { user_id: 'u-eve' })
    t.regex(await refusal(), /no account named ada/)
    await identity('ada-1', claims)
    for (const [what, changes, expected] of said) {
      const given = JSON.stringify({ ...claims, ...changes })
      await store.db.updateTable('identities').set({ claims: given }).where('subject', '=', 'ada-1').execute()
      if (expected instanceof RegExp) t.regex(await refusal(), expected, what)
      else t.deepEqual<object, object>(await accounts.of(user('ada'), signal), expected, what)
    }
    const own = { claims: JSON.stringify(claims) }
    await store.db.updateTable('identities').set(own).where('subject', '=', 'ada-1').execute()
    await identity('ada-2', { ...claims, preferred_username: 'ada.second', uidNumber: 3_002 })
    t.is((await accounts.of(user('ada'), signal)).uid, 3_001, 'the identity that the account is named after')
    await identity('ada-3', { ...claims, uidNumber: 3_003 })
    t.regex(await refusal(), /several people named ada/)
  }
})
