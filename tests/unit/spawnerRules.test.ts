import { randomBytes } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { agentBootstrapSchema } from '../../images/agent/bootstrap.ts'
import { agentBootstrap } from '../../spawners/common/agentBootstrap.ts'
import { checkAccount, type AccountRules } from '../../spawners/common/checkAccount.ts'
import { checkMounts } from '../../spawners/common/checkMounts.ts'
import { checkVariables } from '../../spawners/common/checkVariables.ts'
import { environmentId } from '../../spawners/common/environmentId.ts'
import { environmentVariables } from '../../spawners/common/environmentVariables.ts'
import { canonicalJson, specDigest } from '../../spawners/common/specDigest.ts'
import { LaunchRefused, isEnvironmentId, type Account, type Mount } from '../../spawners/spawner.ts'
import { contractSpec } from '../support/spawnerSubject.ts'

const alice: Account = { name: 'alice', uid: 12_001, gid: 12_001, groups: [], home: '/home/alice', shell: '/bin/sh' }

const accounts: readonly (readonly [string, Partial<Account>, AccountRules, boolean])[] = [
  ['an ordinary one', {}, {}, true],
  ['uid 0', { uid: 0 }, {}, false],
  ['uid 0, even as the hub itself', { uid: 0 }, { ownUid: 0 }, false],
  ['a system uid', { uid: 999 }, {}, false],
  ['a system uid that is the hub itself', { uid: 999 }, { ownUid: 999 }, true],
  ['below a minimum of ours', { uid: 1_500 }, { minimumUid: 2_000 }, false],
  ['nobody', { uid: 65_534 }, {}, false],
  ['a negative uid', { uid: -1 }, {}, false],
  ['half a uid', { uid: 1_000.5 }, {}, false],
  ['the uid that changes nothing', { uid: 2 ** 32 - 1 }, {}, false],
  ['gid 0', { gid: 0 }, {}, false],
  ['group 0', { groups: [{ name: 'root', gid: 0 }] }, {}, false],
  ['a group with a comma', { groups: [{ name: 'a,b', gid: 5 }] }, {}, false],
  ['a name with a colon', { name: 'a:b' }, {}, false],
  ['a name with a slash', { name: '../root' }, {}, false],
  ['a name with a line break', { name: 'a\nroot' }, {}, false],
  ['no name', { name: '' }, {}, false],
  ['a relative home', { home: 'home/alice' }, {}, false],
  ['a home with ..', { home: '/home/../root' }, {}, false],
  ['/ as home', { home: '/' }, {}, false],
  ['a shell with NUL', { shell: '/bin/sh\0' }, {}, false],
  ['a full name with a colon', { fullName: 'A:0:0' }, {}, false],
]
for (const [title, part, rules, passes] of accounts) {
  test(`account: ${title} ${passes ? 'passes' : 'is refused'}`, (t) => {
    const check = () => checkAccount({ ...alice, ...part }, rules)
    if (passes) t.notThrows(check)
    else t.regex(t.throws(check, { instanceOf: LaunchRefused }).message, /Ask your administrator\.$/)
  })
}

const mounts: readonly (readonly [string, Partial<Mount>, boolean])[] = [
  ['an ordinary one', {}, true],
  ['an export', { source: { kind: 'nfs', server: 'nas-1.example.org', path: '/export/p1' } }, true],
  ['a server that is an option', { source: { kind: 'nfs', server: '-o', path: '/export' } }, false],
  ['a server with a line break', { source: { kind: 'nfs', server: 'a\nb', path: '/export' } }, false],
  ['a relative source', { source: { kind: 'host', path: 'data' } }, false],
  ['a source with ..', { source: { kind: 'host', path: '/data/../etc' } }, false],
  ['/ as source', { source: { kind: 'host', path: '/' } }, false],
  ['a source with NUL', { source: { kind: 'host', path: '/data\0' } }, false],
  ['a relative target', { target: 'data' }, false],
  ['a target with ..', { target: '/data/../etc' }, false],
  ['a target with two slashes', { target: '//etc' }, false],
  ['a target with a slash at the end', { target: '/data/' }, false],
  ['a target with a line break', { target: '/data\n' }, false],
  ...[
    '/',
    '/etc',
    '/etc/ssh',
    '/usr/bin',
    '/proc/self',
    '/dev',
    '/run/hutch',
    '/var/lib',
    '/lib64',
    '/tmp',
    '/home',
  ].map((target) => [`${target} as target`, { target }, false] as const),
  ['what only begins like a system folder', { target: '/etcetera' }, true],
  ['a folder in /home', { target: '/home/alice' }, true],
]
for (const [title, part, passes] of mounts) {
  test(`mount: ${title} ${passes ? 'passes' : 'is refused'}`, (t) => {
    const check = () => checkMounts([mount(part)])
    if (passes) t.notThrows(check)
    else t.regex(t.throws(check, { instanceOf: LaunchRefused }).message, /"raw"/)
  })
}

test('mounts: two at one place are refused, and both are named', (t) => {
  const error = t.throws(() => checkMounts([mount({}), mount({ name: 'processed' })]), { instanceOf: LaunchRefused })
  t.regex(error.message, /"raw" and "processed" .* \/data\/p1/)
})

test('mounts: whatever the order, none comes after one that lies in it', (t) => {
  const part = fc.constantFrom('a', 'b', 'c')
  const targets = fc.uniqueArray(fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => `/x/${parts.join('/')}`))
  fc.assert(
    fc.property(targets, (paths) => {
      const sorted = checkMounts(paths.map((target) => mount({ target }))).map((each) => each.target)
      t.deepEqual(sorted.toSorted(), paths.toSorted())
      for (const [index, target] of sorted.entries()) {
        t.false(sorted.slice(index + 1).some((later) => target.startsWith(`${later}/`)))
      }
    }),
  )
})

test('ids: 13 of [a-z0-9], valid, and never twice', (t) => {
  const next = environmentId(randomBytes)
  const ids = Array.from({ length: 5_000 }, next)
  t.true(ids.every((id) => isEnvironmentId(id) && /^e[a-z0-9]{12}$/.test(id)))
  t.is(new Set(ids).size, ids.length)
})

test('ids: every character is as likely as every other', (t) => {
  let byte = 0
  const next = environmentId(() => Uint8Array.of(byte++ % 256))
  const counts = new Map<string, number>()
  for (const character of Array.from({ length: 252 }, () => next().slice(1)).join('')) {
    counts.set(character, (counts.get(character) ?? 0) + 1)
  }
  t.is(counts.size, 36)
  t.deepEqual([...new Set(counts.values())], [84])
})

test('digest: the order of members does not count, everything else does', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      t.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)))
      t.is(canonicalJson(reversed(value)), canonicalJson(value))
    }),
  )
  const spec = contractSpec('hub', environmentId(randomBytes)(), {})
  t.is(specDigest({ ...spec, digest: 'another' }), spec.digest)
  t.not(specDigest({ ...spec, owner: 'bob' }), spec.digest)
  t.regex(spec.digest, /^[0-9a-f]{64}$/)
})

test('bootstrap: what is built is what the schema wants', (t) => {
  const spec = contractSpec('hub', environmentId(randomBytes)(), {}, { mounts: [mount({})] })
  const built = agentBootstrap({
    spec,
    key: randomBytes(32),
    report: { host: '127.0.0.1', port: 9_000 },
    listen: { host: '0.0.0.0', ports: [20_000, 21_000] },
    startTimeoutMs: 60_000,
    stopTimeoutMs: 10_000,
  })
  t.deepEqual(agentBootstrapSchema.parse(built), built)
  t.deepEqual(built.directories, [{ name: 'raw', path: '/data/p1', readOnly: true }])
})

function mount(part: Partial<Mount>): Mount {
  return { name: 'raw', source: { kind: 'host', path: '/srv/p1' }, target: '/data/p1', readOnly: true, ...part }
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, reversed(member)]),
  )
}

test('variables: the account decides who it is, the profile the rest', (t) => {
  const variables = { HOME: '/root', USER: 'root', HUTCH_ENVIRONMENT: 'other', LANG: 'C', A: 'b' }
  const spec = { account: alice, id: environmentId(randomBytes)(), variables }
  t.deepEqual(environmentVariables(spec, { PATH: '/usr/bin:/bin', LANG: 'X', A: 'x' }), {
    PATH: '/usr/bin:/bin',
    LANG: 'C',
    A: 'b',
    HOME: '/home/alice',
    USER: 'alice',
    LOGNAME: 'alice',
    SHELL: '/bin/sh',
    HUTCH_ENVIRONMENT: spec.id,
  })
})

const badVariables = [{ 'A=B;': 'x' }, { '1A': 'x' }, { '': 'x' }, { 'A B': 'x' }, { A: 'x\0y' }] as const
for (const variables of badVariables) {
  test(`variables: ${JSON.stringify(variables)} are refused`, (t) => {
    t.throws(() => checkVariables(variables), { instanceOf: LaunchRefused, message: /variable/ })
  })
}
