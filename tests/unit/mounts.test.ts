/** Mount rules: what comes of them, and that nothing a catalogue or an account says leads out of the allowed roots. */
import { posix } from 'node:path'
import test from 'ava'
import * as fc from 'fast-check'
import type { MountRule } from '../../config/schema.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Dataset, Proposal } from '../../hub/domain/services.ts'
import { deriveMounts, isPlainValue, type MountRequest } from '../../hub/launch/mounts.ts'
import { isBeneath, isPlainPath, parseSource } from '../../hub/launch/paths.ts'
import type { Account } from '../../spawners/spawner.ts'

const account: Account = {
  name: 'ada',
  uid: 12_001,
  gid: 12_001,
  groups: [],
  home: '/home/ada',
  shell: '/bin/bash',
}
const proposal: Proposal = {
  id: '20260042',
  title: 'Micelles',
  instrument: 'LOQ',
  startsAt: new Date('2026-03-10T00:00:00Z'),
  fields: { session: '20260310' },
}
const raw: MountRule = {
  name: 'raw data',
  source: '/srv/data/visitor/{proposal}/{instrument}/{session}/raw',
  target: '/data/{proposal}/raw',
  allowedRoots: ['/srv/data'],
  readOnly: true,
  for: 'proposal',
  security: 'sys',
  wholeOnly: false,
}
const base: MountRequest = {
  rules: [raw],
  account,
  homeSource: '/srv/homes/ada',
  proposals: [proposal],
  datasets: [],
  stateFolder: '/var/lib/hutch',
}

const derive = (changes: Partial<MountRequest> = {}) => deriveMounts({ ...base, ...changes }).map((each) => each.mount)
const withRule = (changes: Partial<MountRule>) => derive({ rules: [{ ...raw, ...changes }] })
const withProposal = (changes: Partial<Proposal>) => derive({ proposals: [{ ...proposal, ...changes }] })

test('the home and one directory for each proposal and rule', (t) => {
  t.deepEqual(derive(), [
    { name: 'home', source: { kind: 'host', path: '/srv/homes/ada' }, target: '/home/ada', readOnly: false },
    {
      name: 'proposal 20260042, raw data',
      source: { kind: 'host', path: '/srv/data/visitor/20260042/LOQ/20260310/raw' },
      target: '/data/20260042/raw',
      readOnly: true,
    },
  ])
})

const filled: readonly (readonly [source: string, path: string])[] = [
  ['/srv/data/{proposal}', '/srv/data/20260042'],
  ['/srv/data/{year}/{instrument}', '/srv/data/2026/LOQ'],
  ['/srv/data/{instrument}-{proposal}_{session}', '/srv/data/LOQ-20260042_20260310'],
  ['/srv/data/{user}/{user}', '/srv/data/ada/ada'],
  ['/srv/data/{proposal}/', '/srv/data/20260042'],
  ['/srv/data', '/srv/data'],
]
for (const [source, path] of filled) {
  test(`placeholders: ${source}`, (t) => {
    t.deepEqual(withRule({ source })[1]?.source, { kind: 'host', path })
  })
}

test('a year of the catalogue goes before that of the start; without either the rule is refused', (t) => {
  const rules = [{ ...raw, source: '/srv/data/{year}' }]
  const source = (changes: Partial<Proposal>) => derive({ rules, proposals: [{ ...proposal, ...changes }] })[1]?.source
  t.deepEqual(source({ fields: { year: '2025' } }), { kind: 'host', path: '/srv/data/2025' })
  t.deepEqual(source({}), { kind: 'host', path: '/srv/data/2026' })
  t.throws(() => source({ startsAt: undefined }), { instanceOf: Problem, message: /has no \{year\}/ })
})

test('server:/path is NFS, and only roots on that server allow it', (t) => {
  const source = 'nfs1.example.org:/export/{proposal}'
  t.deepEqual(withRule({ source, allowedRoots: ['nfs1.example.org:/export'] })[1]?.source, {
    kind: 'nfs',
    server: 'nfs1.example.org',
    path: '/export/20260042',
  })
  t.deepEqual(withRule({ source: '[fd00::1]:/export/{proposal}', allowedRoots: ['[fd00::1]:/export/'] })[1]?.source, {
    kind: 'nfs',
    server: '[fd00::1]',
    path: '/export/20260042',
  })
  for (const root of ['/export', '/', 'nfs2.example.org:/export', 'nfs1.example.org:/expo', 'nfs1.example.org:/']) {
    t.throws(() => withRule({ source, allowedRoots: [root] }), { message: /outside the roots/ }, root)
  }
})

test('rules for the user come once, also without a proposal, and parents before what lies in them', (t) => {
  const software: MountRule = {
    name: 'software',
    source: '/opt/facility',
    target: '/opt/facility',
    allowedRoots: ['/opt'],
    readOnly: true,
    for: 'user',
    security: 'sys',
    wholeOnly: false,
  }
  const inner = { ...software, name: 'licence', source: '/opt/licences/{user}', target: '/opt/facility/licence' }
  t.deepEqual(
    derive({ rules: [inner, software], proposals: [] }).map((mount) => [mount.name, mount.target]),
    [
      ['home', '/home/ada'],
      ['software', '/opt/facility'],
      ['licence', '/opt/facility/licence'],
    ],
  )
  t.is(derive({ rules: [software], proposals: [proposal, { ...proposal, id: 'b' }] }).length, 2)
})

const values: readonly (readonly [what: string, changes: Partial<Proposal>])[] = [
  ['.. as id', { id: '..' }],
  ['a path as id', { id: '../../etc' }],
  ['an absolute path as id', { id: '/etc' }],
  ['an empty id', { id: '' }],
  ['a dot', { id: '.' }],
  ['two dots inside', { id: 'a..b' }],
  ['a leading dot', { id: '.ssh' }],
  ['a leading dash', { id: '-rf' }],
  ['NUL', { id: 'a\0b' }],
  ['a newline', { id: 'a\nb' }],
  ['a colon', { id: 'a:b' }],
  ['a comma', { id: 'a,b' }],
  ['a quote', { id: `a"b` }],
  ['a backslash', { id: 'a\\b' }],
  ['a dollar', { id: 'a$b' }],
  ['encoded dots', { id: '%2e%2e' }],
  ['a placeholder', { id: '{user}' }],
  ['an emoji', { id: '🦆' }],
  ['100 kB', { id: 'a'.repeat(100_000) }],
  ['a full-width slash', { instrument: 'a／b' }],
  ['a path as instrument', { instrument: 'LOQ/../../..' }],
  ['only spaces', { instrument: '  ' }],
  ['a space at the end', { instrument: 'LOQ ' }],
  ['a session with a slash', { fields: { session: 'a/b' } }],
  ['an empty session', { fields: { session: '' } }],
  ['no session', { fields: {} }],
]
for (const [what, changes] of values) {
  test(`a value that is not one plain component refuses the launch in a sentence: ${what}`, (t) => {
    const problem = t.throws(() => withProposal(changes), { instanceOf: Problem })
    t.is(problem.type, 'launchRefused')
    t.is(problem.field, 'proposals')
    t.regex(problem.detail, /raw data: (its \{\w+\} can't be part of a path|the catalogue has no \{\w+\} for it)\.$/)
  })
}

const rules: readonly (readonly [what: string, changes: Partial<MountRule>, words: RegExp])[] = [
  ['a source outside the roots', { source: '/etc/{proposal}' }, /outside the roots/],
  ['a sibling with the same beginning', { source: '/srv/database/{proposal}' }, /outside the roots/],
  ['.. in the source', { source: '/srv/data/../../etc' }, /not a plain path/],
  ['.. at the end', { source: '/srv/data/{proposal}/..' }, /not a plain path/],
  ['two slashes', { source: '/srv/data//{proposal}' }, /not a plain path/],
  ['a relative source', { source: 'srv/data/{proposal}' }, /not a plain path/],
  ['a server that is an option', { source: '-o:/x', allowedRoots: ['-o:/x'] }, /not a plain path/],
  ['NUL in the source', { source: '/srv/data/\0{proposal}' }, /not a plain path/],
  ['a relative target', { target: 'data/{proposal}' }, /its place .* is not allowed/],
  ['the root as target', { target: '/' }, /its place .* is not allowed/],
  ['.. in the target', { target: '/data/../etc' }, /its place .* is not allowed/],
  ['the root as allowed root', { allowedRoots: ['/'] }, /outside the roots/],
  ['a place of the system', { target: '/etc/{proposal}' }, /its place .* is not allowed/],
  ['a place below another’s programs', { target: '/usr/local/{proposal}' }, /its place .* is not allowed/],
  ['no allowed root', { allowedRoots: [] }, /outside the roots/],
  ['an unknown placeholder', { source: '/srv/data/{beamline}' }, /has no \{beamline\}/],
  ['a placeholder of every object', { source: '/srv/data/{constructor}' }, /has no \{constructor\}/],
  ['a placeholder of proposals in a rule for users', { for: 'user' }, /has no \{proposal\}/],
  ['the hub state', { source: '/var/lib/hutch', allowedRoots: ['/var'] }, /holds files of the hub/],
  ['what the hub state lies in', { source: '/var/lib', allowedRoots: ['/var'] }, /holds files of the hub/],
  ['a part of the hub state', { source: '/var/lib/hutch/secrets', allowedRoots: ['/var'] }, /holds files of the hub/],
  ['all homes', { source: '/var/lib/hutch/homes', allowedRoots: ['/var'] }, /holds files of the hub/],
  ['the place of the home', { target: '/home/ada' }, /"home" and "proposal 20260042, raw data" would both be at/],
]
for (const [what, changes, words] of rules) {
  test(`a rule that a check missed refuses the launch in a sentence: ${what}`, (t) => {
    const problem = t.throws(() => withRule(changes), { instanceOf: Problem })
    t.is(problem.type, 'launchRefused')
    t.regex(problem.detail, words)
  })
}

test('demo proposals in the state folder are shown, one at a time', (t) => {
  const source = '/var/lib/hutch/proposals/{proposal}/raw'
  const [, mount] = withRule({ source, allowedRoots: ['/var/lib/hutch/proposals'] })
  t.deepEqual(mount?.source, { kind: 'host', path: '/var/lib/hutch/proposals/20260042/raw' })
})

test('two proposals can not share a place', (t) => {
  const proposals = [proposal, { ...proposal, id: 'other' }]
  t.throws(() => derive({ proposals, rules: [{ ...raw, target: '/data/{instrument}' }] }), {
    instanceOf: Problem,
    message: /"proposal 20260042, raw data" and "proposal other, raw data" would both be at \/data\/LOQ/,
  })
})

test('a home that holds the hub, or is no path, is refused', (t) => {
  for (const homeSource of ['/var/lib/hutch', '/var', '/var/lib/hutch/secrets', 'relative', '/a/../b', '/']) {
    t.throws(() => derive({ homeSource }), { instanceOf: Problem, message: /home directory of ada/ }, homeSource)
  }
  t.notThrows(() => derive({ homeSource: '/var/lib/hutch/homes/ada' }))
})

test('more directories than an agent checks are refused before any is made', (t) => {
  const proposals = Array.from({ length: 300 }, (_, i) => ({ ...proposal, id: `p${i}` }))
  t.throws(() => derive({ proposals }), { instanceOf: Problem, message: /need 301 directories; at most 256/ })
})

/** What a hostile or careless catalogue might hold. */
const hostile = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 3, arbitrary: fc.stringMatching(/^[a-z0-9./ _-]{1,20}$/) },
  { weight: 1, arbitrary: fc.stringMatching(/^[A-Za-z0-9]{1,12}$/) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '..',
      '.',
      '../..',
      '/etc',
      '...',
      'a/../..',
      '\0',
      '~',
      '{user}',
      '$HOME',
      '%2e%2e',
      '’',
    ),
  },
)
const piece = fc.constantFrom(
  '{proposal}',
  '{instrument}',
  '{session}',
  '{year}',
  '{user}',
  'raw',
  'visitor',
  'x-{user}',
)
const path = fc.array(piece, { minLength: 1, maxLength: 5 }).map((pieces) => pieces.join('/'))

const scan: Dataset = {
  id: '20.500.12345/8a7f',
  proposal: '20260042',
  name: 'scan 0042',
  folder: '/srv/data/visitor/20260042/LOQ/20260310/raw/scan0042',
}
const each: MountRule = {
  ...raw,
  name: 'scan',
  for: 'dataset',
  source: '{folder}',
  target: '/data/{proposal}/scans/{dataset}',
}
const all: MountRule = { ...raw, wholeOnly: true }
const processed: MountRule = { ...raw, name: 'processed', target: '/data/{proposal}/processed' }

test('an export that wants Kerberos tickets is mounted as such, or refused where there are none, saying so', (t) => {
  const source = 'nas.example.org:/export/{proposal}'
  const rules: MountRule[] = [{ ...raw, source, allowedRoots: ['nas.example.org:/export'], security: 'krb5' }]
  t.deepEqual(
    derive({ rules }).map(({ security }) => security),
    [undefined, 'krb5'],
  )
  const noTickets = 'nothing here can supply one'
  const refused = t.throws(() => derive({ rules, noTickets }), { instanceOf: Problem })
  t.regex(refused.detail, /raw data: its file server wants a Kerberos ticket \(krb5\), and nothing here can supply one/)
  t.notThrows(() => derive({ noTickets }), 'other directories want none')
})

test('datasets: chosen singly they are mounted by their rules, and not what is for whole proposals', (t) => {
  const targets = (datasets: readonly Dataset[]) =>
    derive({ rules: [all, each, processed], datasets }).map(({ target }) => target)
  t.deepEqual(targets([]), ['/home/ada', '/data/20260042/raw', '/data/20260042/processed'])
  t.deepEqual(targets([scan]), ['/home/ada', '/data/20260042/processed', '/data/20260042/scans/scan 0042'])
  const [, , mount] = derive({ rules: [each, processed], datasets: [scan] })
  t.deepEqual(mount?.source, { kind: 'host', path: scan.folder ?? '' })
  t.is(mount?.name, 'dataset scan 0042, scan')
})

const otherDatasets: readonly (readonly [
  what: string,
  rule: Partial<MountRule>,
  dataset: Partial<Dataset>,
  expected: RegExp | string,
])[] = [
  ['by its id, whose slashes go', { target: '/data/{proposal}/{datasetId}' }, {}, '/data/20260042/20.500.12345-8a7f'],
  [
    'beneath a file server',
    { source: 'nas:{folder}', allowedRoots: ['nas:/srv'] },
    {},
    '/data/20260042/scans/scan 0042',
  ],
  ['outside the roots', {}, { folder: '/etc' }, /outside the roots/],
  ['the root itself named otherwise', {}, { folder: '/srv/data2/x' }, /outside the roots/],
  ['a folder that climbs', {}, { folder: '/srv/data/../../etc' }, /its \{folder\} can't be part/],
  ['a folder that is not absolute', {}, { folder: 'etc' }, /its \{folder\} can't be part/],
  ['the hub’s own state', { allowedRoots: ['/var'] }, { folder: '/var/lib/hutch/run' }, /holds files of the hub/],
  ['no folder', {}, { folder: undefined }, /the catalogue has no \{folder\}/],
  ['a name that is a path', {}, { name: '../../etc' }, /its \{dataset\} can't be part/],
  ['a name with a placeholder', {}, { name: '{folder}' }, /its \{dataset\} can't be part/],
  ['an id that begins like an option', { target: '/data/{proposal}/{datasetId}' }, { id: '-rf' }, /its \{datasetId\}/],
]
for (const [what, rule, dataset, expected] of otherDatasets) {
  test(`datasets: ${what}`, (t) => {
    const call = () => derive({ rules: [{ ...each, ...rule }], datasets: [{ ...scan, ...dataset }] })
    if (typeof expected === 'string') t.is(call()[1]?.target, expected)
    else t.regex(t.throws(call, { instanceOf: Problem }).detail, expected)
  })
}

test('datasets: two with one name are not mounted over each other', (t) => {
  const twin = { ...scan, id: '20.500.12345/other' }
  const refused = t.throws(() => derive({ rules: [each], datasets: [scan, twin] }), { instanceOf: Problem })
  t.regex(refused.detail, /would both be at/)
})

test('law: whatever a dataset says, its source lies in an allowed root', (t) => {
  let derived = 0
  const inside = path.map((rest) => `/srv/data/${rest}`)
  const law = fc.property(
    fc.oneof(hostile, path, inside),
    hostile,
    fc.constantFrom('', 'nas:'),
    (folder, name, server) => {
      const rule = { ...each, source: `${server}{folder}`, allowedRoots: [`${server}/srv/data`] }
      try {
        const [, mount] = derive({ rules: [rule], datasets: [{ ...scan, folder, name }] })
        derived += 1
        const { path: made = '' } = mount?.source ?? {}
        return posix.resolve('/elsewhere', made) === made && (made === '/srv/data' || made.startsWith('/srv/data/'))
      } catch (error) {
        return error instanceof Problem
      }
    },
  )
  t.notThrows(() => fc.assert(law, { numRuns: 500 }))
  t.true(derived > 0)
})

test('law: whatever the values, a source lies in an allowed root, as text and as the kernel walks it', (t) => {
  let derived = 0
  const law = fc.property(
    fc.record({ id: hostile, instrument: hostile, session: hostile, year: hostile, user: hostile }),
    path,
    path,
    fc.constantFrom('/srv/data', 'server:/export'),
    ({ id, instrument, session, year, user }, source, target, root) => {
      try {
        const mounts = deriveMounts({
          ...base,
          account: { ...account, name: user },
          rules: [{ ...raw, source: `${root}/${source}`, target: `/data/${target}`, allowedRoots: [root] }],
          proposals: [{ ...proposal, id, instrument, fields: { session, year } }],
        })
        derived += 1
        return mounts.every((each) => {
          if (each.proposal === undefined) return true
          const { source: made, target: place } = each.mount
          const start = root.startsWith('/') ? root : '/export'
          const depth = (text: string) => text.split('/').length
          return (
            made.kind === (root.startsWith('/') ? 'host' : 'nfs') &&
            posix.resolve('/elsewhere', made.path) === made.path &&
            made.path.startsWith(`${start}/`) &&
            depth(made.path) === depth(`${start}/${source}`) &&
            posix.resolve('/elsewhere', place) === place &&
            place.startsWith('/data/') &&
            depth(place) === depth(`/data/${target}`) &&
            !/[\0\n:,\\"$]/.test(made.path + place)
          )
        })
      } catch (error) {
        return error instanceof Problem && error.type === 'launchRefused'
      }
    },
  )
  t.notThrows(() => fc.assert(law, { numRuns: 5_000 }))
  t.true(derived > 100, `only ${derived} were not refused`)
})

test('law: a plain value is one component, and joining it goes nowhere else', (t) => {
  const law = fc.property(hostile, (value) =>
    isPlainValue(value)
      ? posix.join('/root', value, 'x') === `/root/${value}/x` && value.trim() === value && !value.startsWith('-')
      : true,
  )
  t.notThrows(() => fc.assert(law, { numRuns: 5_000 }))
  for (const value of [
    '20260042',
    'LOQ',
    'SANS2D',
    'D11',
    'in-house_2',
    'id21.nano',
    'Straße 7',
    'proposal+1',
    '2026@x',
  ]) {
    t.true(isPlainValue(value), value)
  }
})

test('law: beneath means at it or below it, by whole names', (t) => {
  const name = fc.stringMatching(/^[a-c]{1,2}$/)
  const names = fc.array(name, { minLength: 1, maxLength: 4 })
  const law = fc.property(names, names, (inner, outer) => {
    const [source, root] = [parseSource(`/${inner.join('/')}`), parseSource(`/${outer.join('/')}`)]
    const expected = outer.every((each, index) => inner[index] === each)
    return source !== undefined && isBeneath(source, root) === expected
  })
  t.notThrows(() => fc.assert(law, { numRuns: 3_000 }))
  t.false(isPlainPath('/a/'))
  t.false(isPlainPath(`/${'a'.repeat(5_000)}`))
})
