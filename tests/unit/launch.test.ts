/** Launching: what is offered to whom, what comes of choices, and that nothing else is ever launched. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { demoConfiguration } from '../../config/defaults.ts'
import { type Configuration, type ConfigurationInput, configurationSchema } from '../../config/schema.ts'
import { createAccounts } from '../../hub/accounts/index.ts'
import { demoDataFolder } from '../../hub/catalogue/demo/install.ts'
import { createCatalogue } from '../../hub/catalogue/index.ts'
import type { Choices } from '../../hub/domain/environment.ts'
import { Problem, type ProblemType } from '../../hub/domain/problem.ts'
import type { Visitor } from '../../hub/domain/services.ts'
import { createLaunches, type LaunchesOptions } from '../../hub/launch/index.ts'
import { environmentId } from '../../spawners/common/environmentId.ts'
import { specDigest } from '../../spawners/common/specDigest.ts'
import { type EnvironmentSpec, environmentIdPattern, type Health, type Spawner } from '../../spawners/spawner.ts'
import { createFakeEnvironments } from '../support/fake-environments.ts'
import { noArchive } from '../support/noArchive.ts'
import { everybody, rememberedAudit } from '../support/audit.ts'
import { quietLog } from '../support/quiet-log.ts'
import { unasked } from '../support/unasked.ts'
import { configuredQuota } from '../support/quota.ts'
import { temporaryFolder } from '../support/temporary.ts'

const signal = AbortSignal.timeout(170_000)
const newId = environmentId((size) => randomBytes(size))

function visitor(name: string, changes: Partial<Visitor> = {}): Visitor {
  return {
    user: { id: `u-${name}`, name, title: name, admin: false },
    login: 'login-1',
    by: 'cookie',
    groups: [],
    expiresAt: new Date(Date.now() + 3_600_000),
    ...changes,
  }
}

/** A fake backend that only says how it is. */
function fakeSpawner(check?: () => Promise<Health>, heedsBeneath = false): Spawner {
  const nothing = () => Promise.reject(new Error('the loop is not part of this test'))
  return { ensure: nothing, observe: nothing, remove: nothing, heedsBeneath, ...(check === undefined ? {} : { check }) }
}
const well = () => Promise.resolve({ ok: true, message: 'fine' })

interface Set {
  readonly configuration?: Partial<ConfigurationInput>
  readonly spawners?: Readonly<Record<string, { type: string; check?: () => Promise<Health>; heedsBeneath?: boolean }>>
  readonly jupyter?: Health
  /** What is missing for a desktop. */
  readonly noDesktop?: string
  readonly options?: Partial<LaunchesOptions>
}

async function hub(t: ExecutionContext, set: Set = {}) {
  const state = await temporaryFolder(t)
  const demo = demoConfiguration({ demoDataFolder: demoDataFolder(state) })
  const configuration: Configuration = configurationSchema.parse({ ...demo, state, ...set.configuration })
  const now = () => new Date('2026-11-21T10:00:00Z')
  const environments = createFakeEnvironments()
  const spawners = Object.entries(set.spawners ?? { here: { type: 'local', check: well } })
  const launches = createLaunches({
    configuration,
    spawners: new Map(
      spawners.map(([name, { type, check, heedsBeneath }]) => [
        name,
        { type, spawner: fakeSpawner(check, heedsBeneath) },
      ]),
    ),
    environments,
    archive: noArchive,
    catalogue: await createCatalogue(configuration.catalogue, { ...unasked, stateFolder: state, now, log: quietLog }),
    accounts: createAccounts(configuration.accounts, {
      stateFolder: state,
      now,
      log: quietLog,
      identity: { uid: 12_001, gid: 12_001, groups: [] },
    }),
    setup: { jupyter: () => set.jupyter ?? { ok: true, message: '' }, missingForDesktop: () => set.noDesktop },
    authorisation: everybody,
    audit: rememberedAudit(),
    publicUrl: new URL('http://127.0.0.1:8000'),
    now,
    quota: configuredQuota(configuration, now),
    newId,
    log: quietLog,
    ...set.options,
  })
  const launch = (name: string, choices: unknown, changes: Partial<Visitor> = {}) =>
    launches.launch(visitor(name, changes), choices as Choices, signal)
  return { state, launches, launch, rows: environments.rows, configuration }
}

const plain = { profile: 'jupyterlab', flavour: 'small', proposals: [] as string[] }

test('a launch with a proposal: the whole spec and its row', async (t) => {
  const { launch, rows, state } = await hub(t)
  const environment = await launch('ada', { ...plain, proposals: ['20150042'] })
  t.is(rows.length, 1)
  const [row] = rows
  const spec = JSON.parse(row?.spec ?? '') as EnvironmentSpec
  const { id } = environment

  t.regex(id, environmentIdPattern)
  t.like(row, {
    id,
    user_id: 'u-ada',
    server: id,
    title: 'JupyterLab, 20150042',
    spawner: 'here',
    profile: 'jupyterlab',
    flavour: 'small',
    proposals: '["20150042"]',
    wanted: 'present',
    requested_at: Date.parse('2026-11-21T10:00:00Z'),
    spec_digest: spec.digest,
  })
  t.is(spec.digest, specDigest(spec))
  t.like(spec, {
    id,
    hub: 'hutch',
    owner: 'ada',
    prefix: `/user/ada/${id}/`,
    account: { name: 'ada', uid: 12_001, home: '/home/ada' },
    resources: { cpu: 1, memoryBytes: 2 * 2 ** 30, gpus: 0, walltimeMs: 8 * 3_600_000, processes: 4_096 },
    variables: {
      HUTCH_HUB: 'hutch',
      HUTCH_ENVIRONMENT: id,
      HUTCH_USER: 'ada',
      HUTCH_PROPOSALS: '20150042',
      HUTCH_DATA: '/data/LOQ/20150042',
    },
    profile: {},
  })
  const data = join(state, 'proposals', '20150042')
  t.deepEqual(
    spec.mounts.map(({ source, target, readOnly }) => [source.path, target, readOnly]),
    [
      [join(state, 'homes', 'ada'), '/home/ada', false],
      [join(data, 'raw'), '/data/LOQ/20150042/raw', true],
      [join(data, 'processed'), '/data/LOQ/20150042/processed', false],
    ],
  )
  t.is(spec.application.landingPath, 'lab/tree/data/LOQ/20150042/processed/p123.ipynb')
  t.is(spec.application.directory, '/data/LOQ/20150042/processed')
  t.true(spec.application.argv.some((argument) => argument.endsWith('preferred_dir={start}')))
})

test('without a proposal: the home, and nothing else', async (t) => {
  const { launch } = await hub(t)
  const { spec, title } = await launch('ada', plain)
  t.deepEqual(
    spec.mounts.map((mount) => mount.target),
    ['/home/ada'],
  )
  t.is(title, 'JupyterLab')
  t.is(spec.application.landingPath, 'lab/tree/home/ada')
  t.is(spec.application.directory, '/home/ada')
  t.like(spec.variables, { HUTCH_PROPOSALS: '', HUTCH_DATA: '' })
})

test('several proposals: in the order chosen, each once, and the first decides where one starts', async (t) => {
  const { launch } = await hub(t)
  const { spec, proposals } = await launch('marie', { ...plain, proposals: ['20080121', '20150042', '20080121'] })
  t.deepEqual(proposals, ['20080121', '20150042'])
  t.is(spec.mounts.length, 5)
  t.is(spec.application.landingPath, 'lab/tree/data/NG7/20080121/processed/nist.ipynb')
  t.is(spec.variables['HUTCH_DATA'], '/data/NG7/20080121:/data/LOQ/20150042')
})

test('a proposal without a notebook opens its folder for results; a terminal has nothing to open', async (t) => {
  const { launch } = await hub(t)
  const notebook = await launch('ada', { ...plain, proposals: ['20260311'] })
  t.is(notebook.spec.application.landingPath, 'lab/tree/data/SANS2D/20260311/processed')
  const terminal = await launch('ada', { ...plain, profile: 'terminal', proposals: ['20150042'] })
  t.is(terminal.spec.application.kind, 'terminal')
  t.deepEqual(terminal.spec.application.argv, [])
  t.is(terminal.spec.application.landingPath, '_hutch/terminal/')
  t.is(terminal.spec.application.directory, '/data/LOQ/20150042/processed')
})

const opened: readonly (readonly [open: string, landing: string])[] = [
  ['data/LOQ/20150042/raw', 'lab/tree/data/LOQ/20150042/raw'],
  ['/home/ada/My notes #1.ipynb', 'lab/tree/home/ada/My%20notes%20%231.ipynb'],
  ['home/ada/a?b&c=d', 'lab/tree/home/ada/a%3Fb%26c%3Dd'],
  ['home/ada/50%.md', 'lab/tree/home/ada/50%25.md'],
  ['home/ada/Å/', 'lab/tree/home/ada/%C3%85'],
]
for (const [open, landing] of opened) {
  test(`what is to be opened first is one path, whatever its characters: ${open}`, async (t) => {
    const { launch } = await hub(t)
    const { spec, choices } = await launch('ada', { ...plain, open })
    t.is(spec.application.landingPath, landing)
    const again = await launch('ada', choices)
    t.is(again.spec.application.landingPath, landing, 'launch again opens the same')
  })
}

test('a title of one’s own', async (t) => {
  const { launch } = await hub(t)
  t.is((await launch('ada', { ...plain, title: '  Fit of Å peaks 🦆 ' })).title, 'Fit of Å peaks 🦆')
  t.is((await launch('ada', { ...plain, title: '   ' })).title, 'JupyterLab')
})

/** Everything that a browser or an API client might send instead. The sentence names the field and says what to do. */
const refused: readonly (readonly [
  what: string,
  choices: unknown,
  type: ProblemType,
  field: string | undefined,
  words: RegExp,
])[] = [
  ['nothing', undefined, 'badRequest', undefined, /not understood/],
  ['text', 'jupyterlab', 'badRequest', undefined, /not understood/],
  ['no profile', { flavour: 'small', proposals: [] }, 'badRequest', 'profile', /profile: is missing: choose one/],
  ['no flavour', { profile: 'jupyterlab', proposals: [] }, 'badRequest', 'flavour', /flavour: is missing: choose one/],
  ['no proposals', { profile: 'jupyterlab', flavour: 'small' }, 'badRequest', 'proposals', /must be a list/],
  [
    'an unknown profile',
    { ...plain, profile: 'jupyter' },
    'badRequest',
    'profile',
    /no profile jupyter .* jupyterlab, terminal/,
  ],
  [
    'a profile of every object',
    { ...plain, profile: 'constructor' },
    'badRequest',
    'profile',
    /no profile constructor/,
  ],
  ['a profile that is a path', { ...plain, profile: '../etc' }, 'badRequest', 'profile', /profile: is not a name/],
  ['100 kB of profile', { ...plain, profile: 'a'.repeat(100_000) }, 'badRequest', 'profile', /profile: is not a name/],
  ['a profile that is a list', { ...plain, profile: ['jupyterlab'] }, 'badRequest', 'profile', /profile: /],
  ['an unknown flavour', { ...plain, flavour: 'huge' }, 'badRequest', 'flavour', /no flavour huge .* small, medium/],
  [
    'a flavour of every object',
    { ...plain, flavour: 'constructor' },
    'badRequest',
    'flavour',
    /no flavour constructor/,
  ],
  ['NUL in a flavour', { ...plain, flavour: 'small\0' }, 'badRequest', 'flavour', /flavour: is not a name/],
  ['an unknown spawner', { ...plain, spawner: 'there' }, 'badRequest', 'spawner', /no spawner there .* runs on: here/],
  [
    'a field too many',
    { ...plain, mounts: ['/etc'] },
    'badRequest',
    'mounts',
    /There is no field "mounts" .* Leave it out/,
  ],
  ['a field that is meant otherwise', { ...plain, flavor: 'x' }, 'badRequest', 'flavor', /Did you mean flavour\?/],
  [
    '100 kB of a field name',
    { ...plain, ['x'.repeat(100_000)]: 1 },
    'badRequest',
    `${'x'.repeat(40)}…`,
    /There is no field/,
  ],
  ['a source of one’s own', { ...plain, source: '/etc' }, 'badRequest', 'source', /There is no field "source"/],
  [
    'another person’s proposal',
    { ...plain, proposals: ['20080121'] },
    'notEntitled',
    'proposals',
    /no proposal 20080121 that is open to you/,
  ],
  [
    'a proposal that is not there',
    { ...plain, proposals: ['1999'] },
    'notEntitled',
    'proposals',
    /no proposal 1999 that is open to you/,
  ],
  [
    'one of two that is not mine',
    { ...plain, proposals: ['20150042', '20080121'] },
    'notEntitled',
    'proposals',
    /20080121/,
  ],
  [
    '.. as a proposal',
    { ...plain, proposals: ['..'] },
    'badRequest',
    'proposals.0',
    /proposals\.0: is not a proposal's number/,
  ],
  [
    'a path as a proposal',
    { ...plain, proposals: ['../../etc'] },
    'badRequest',
    'proposals.0',
    /is not a proposal's number/,
  ],
  [
    'encoded dots as a proposal',
    { ...plain, proposals: ['%2e%2e'] },
    'badRequest',
    'proposals.0',
    /is not a proposal's number/,
  ],
  ['NUL in a proposal', { ...plain, proposals: ['2015\0'] }, 'badRequest', 'proposals.0', /is not a proposal's number/],
  [
    'an emoji as a proposal',
    { ...plain, proposals: ['🦆'] },
    'badRequest',
    'proposals.0',
    /is not a proposal's number/,
  ],
  [
    '100 kB of proposal',
    { ...plain, proposals: ['1'.repeat(100_000)] },
    'badRequest',
    'proposals.0',
    /is not a proposal's number/,
  ],
  [
    '100,000 proposals',
    { ...plain, proposals: Array.from({ length: 100_000 }, String) },
    'badRequest',
    'proposals',
    /at most 50/,
  ],
  ['a number as a proposal', { ...plain, proposals: [20150042] }, 'badRequest', 'proposals.0', /must be text/],
  ['a text of proposals', { ...plain, proposals: '20150042' }, 'badRequest', 'proposals', /must be a list/],
  ['.. in what opens', { ...plain, open: 'home/ada/../../etc' }, 'badRequest', 'open', /open: must be a plain path/],
  ['encoded .. in what opens', { ...plain, open: 'home/%2e%2E/etc' }, 'badRequest', 'open', /not an encoded one/],
  [
    'two slashes in what opens',
    { ...plain, open: '//evil.example/x' },
    'badRequest',
    'open',
    /open: must be a plain path/,
  ],
  ['nothing to open', { ...plain, open: '/' }, 'badRequest', 'open', /open: must be a plain path/],
  ['NUL in what opens', { ...plain, open: 'a\0b' }, 'badRequest', 'open', /open: must be printable/],
  ['100 kB to open', { ...plain, open: 'a'.repeat(100_000) }, 'badRequest', 'open', /open: must have at most 1024/],
  ['a title of two lines', { ...plain, title: 'a\nb' }, 'badRequest', 'title', /title: must be printable/],
  [
    'a title that turns the direction',
    { ...plain, title: 'a\u202Eb' },
    'badRequest',
    'title',
    /title: must be printable/,
  ],
  ['half a character as title', { ...plain, title: '\uD83E' }, 'badRequest', 'title', /title: must be printable/],
  ['100 kB of title', { ...plain, title: 'a'.repeat(100_000) }, 'badRequest', 'title', /title: must have at most 120/],
]
for (const [what, choices, type, field, words] of refused) {
  test(`refused: ${what}`, async (t) => {
    const { launch, rows } = await hub(t)
    const problem = await t.throwsAsync(launch('ada', choices), { instanceOf: Problem })
    t.is(problem.type, type, problem.detail)
    t.is(problem.field, field)
    t.regex(problem.detail, words)
    t.true(problem.detail.length < 300, problem.detail)
    t.is(rows.length, 0)
  })
}

test('law: whatever is sent, it is launched within the rules or refused in a sentence', async (t) => {
  const { launch, rows } = await hub(t, { configuration: { environments: { perUser: 100_000 } } })
  const some = (...values: unknown[]) =>
    fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: fc.anything() })
  const ids = fc.array(some('20150042', '20260311', '20150042', '20260311', '20080121'), { maxLength: 3 })
  const sound = fc.record({
    profile: some('jupyterlab', 'terminal'),
    flavour: some('small', 'medium'),
    proposals: fc.oneof({ weight: 8, arbitrary: ids }, { weight: 1, arbitrary: fc.anything() }),
    title: some('x', undefined),
    open: some('home/ada/x', '../x', undefined),
  })
  const sent = fc.oneof(
    { weight: 8, arbitrary: sound },
    { weight: 1, arbitrary: fc.tuple(sound, fc.string()).map(([choices, key]) => ({ ...choices, [key]: 1 })) },
    { weight: 1, arbitrary: fc.anything() },
  )
  const law = fc.asyncProperty(sent, async (choices) => {
    try {
      const { spec, proposals } = await launch('ada', choices)
      return (
        proposals.every((id) => ['20150042', '20260311'].includes(id)) &&
        spec.mounts.every(({ target }) => target === '/home/ada' || proposals.some((id) => target.includes(`/${id}/`)))
      )
    } catch (error) {
      return error instanceof Problem && error.status < 500
    }
  })
  await t.notThrowsAsync(fc.assert(law, { numRuns: 300 }))
  t.true(rows.length > 10)
})

test('over the limit: the sentence says the limit, what is there and what to do', async (t) => {
  const { launch } = await hub(t, { configuration: { environments: { perUser: 2 } } })
  await launch('ada', { ...plain, title: 'First' })
  await launch('ada', { ...plain, title: 'Second' })
  const problem = await t.throwsAsync(launch('ada', plain), { instanceOf: Problem })
  t.is(problem.type, 'overQuota')
  t.is(
    problem.detail,
    'You may have at most 2 environments at once, as the configuration has it for everyone. You have 2 environments (“First”, “Second”). Stop one of yours, or ask for more on the page My usage.',
  )
  await t.notThrowsAsync(launch('marie', plain), 'others are not held up')
})

test('twenty launches in one moment never exceed the limit', async (t) => {
  const { launch, rows } = await hub(t, { configuration: { environments: { perUser: 5 } } })
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => launch('ada', plain)))
  t.is(results.filter(({ status }) => status === 'fulfilled').length, 5)
  t.is(rows.length, 5)
  t.is(new Set(rows.map((row) => row.id)).size, 5)
})

test('limits are asked for what the launch would hold, and their word is the last', async (t) => {
  const asked: unknown[] = []
  const quota: LaunchesOptions['quota'] = {
    ...configuredQuota(configurationSchema.parse(demoConfiguration({ demoDataFolder: '/x' })), () => new Date()),
    longestMs: () => 3_600_000,
    admission: ({ user, memoryBytes, walltimeMs, proposals }, _made, others) => ({
      together: () => false,
      admit() {
        asked.push([
          user.name,
          memoryBytes,
          walltimeMs,
          proposals.map(({ id }) => id),
          others.map(({ title }) => title),
        ])
        throw new Problem('overQuota', 'The group LOQ has used its hours.')
      },
    }),
  }
  const { launch, rows } = await hub(t, { options: { quota } })
  const choices = { ...plain, flavour: 'medium', proposals: ['20150042'] }
  await t.throwsAsync(launch('ada', choices), { message: /LOQ has used its hours/ })
  t.deepEqual(asked, [['ada', 4 * 2 ** 30, 3_600_000, ['20150042'], ['Small']]])
  t.is(rows.length, 0)
})

test('a blocked user, and an account that is refused, launch nothing', async (t) => {
  const { launch, rows } = await hub(t, { configuration: { accounts: { source: 'file', users: {} } } })
  const user = { id: 'u', name: 'ada', title: 'Ada', admin: false, blockedReason: 'Your visit is over.' }
  const blocked = await t.throwsAsync(launch('ada', plain, { user }), { instanceOf: Problem })
  t.is(blocked.type, 'blocked')
  t.is(blocked.detail, 'Your visit is over.')
  const none = await t.throwsAsync(launch('ada', plain), { instanceOf: Problem })
  t.is(none.type, 'launchRefused')
  t.is(rows.length, 0)
})

const two: Partial<ConfigurationInput> = {
  spawners: { here: { type: 'local' }, cluster: { type: 'kubernetes' } },
  profiles: {
    both: { title: 'Both', kind: 'notebook', flavours: ['small'], on: { cluster: {}, here: {} }, image: 'lab:1' },
    staff: { title: 'Staff', kind: 'terminal', flavours: ['small'], on: { here: {} }, groups: ['loq-staff', 'it'] },
    bare: { title: 'Bare', kind: 'web', flavours: ['small'], on: { here: {} } },
    own: {
      title: 'Own',
      kind: 'web',
      argv: ['serve', '{socket}'],
      readyPath: 'up',
      landingPath: 'app',
      flavours: ['small'],
      on: { here: {} },
    },
  },
}
const ill = () => Promise.resolve({ ok: false, message: 'The cluster is closed for maintenance until Monday.' })
const rejects = () => Promise.reject(new Error('ECONNREFUSED'))

test('the first spawner that is well is taken, in the order of the profile, unless one is chosen', async (t) => {
  const both = { profile: 'both', flavour: 'small', proposals: [] }
  const up = await hub(t, {
    configuration: two,
    spawners: { here: { type: 'local' }, cluster: { type: 'kubernetes', check: well } },
  })
  t.is((await up.launch('ada', both)).spawner, 'cluster')
  t.is((await up.launch('ada', { ...both, spawner: 'here' })).spawner, 'here')
  t.is((await up.launch('ada', both)).spec.image, 'lab:1')

  const down = await hub(t, {
    configuration: two,
    spawners: { here: { type: 'local' }, cluster: { type: 'kubernetes', check: ill } },
  })
  t.is((await down.launch('ada', both)).spawner, 'here')
  const chosen = await t.throwsAsync(down.launch('ada', { ...both, spawner: 'cluster' }), { instanceOf: Problem })
  t.is(chosen.type, 'backendUnreachable')
  t.regex(chosen.detail, /closed for maintenance until Monday/)
  t.is(chosen.retryAfter, 60)
})

const scans = [
  { id: '20.500/a', proposal: '20150042', name: 'scan 1', folder: '/instruments/x/scan1' },
  { id: '20.500/b', proposal: '20150042', name: 'scan 2', archived: true as const },
]
const withScans: Set = {
  configuration: {
    mounts: [
      {
        name: 'raw',
        source: '/srv/{proposal}/raw',
        target: '/data/{proposal}/raw',
        allowedRoots: ['/srv'],
        wholeOnly: true,
      },
      {
        name: 'results',
        source: '/srv/{proposal}/out',
        target: '/data/{proposal}/out',
        allowedRoots: ['/srv'],
        readOnly: false,
      },
      {
        name: 'scan',
        for: 'dataset',
        source: '{folder}',
        target: '/data/{proposal}/{dataset}',
        allowedRoots: ['/instruments'],
      },
    ],
    archive: { roots: ['/restored'] },
  },
  options: {
    catalogue: {
      entitled: async (_user, ids) =>
        ids.filter((id) => id === '20150042').map((id) => ({ id, title: 'T', instrument: 'I', fields: {} })),
      datasetsOf: async (_user, proposal, ids) =>
        scans.filter((each) => each.proposal === proposal && ids.includes(each.id)),
    },
    archive: {
      async place(_user, dataset) {
        if (dataset.id !== '20.500/b') throw new Error('it is not archived')
        return { source: { kind: 'host', path: '/restored/b' }, root: '/restored', vouched: true }
      },
    },
  },
}

test('a launch with single datasets: their mounts, their names, and the notebook of a link', async (t) => {
  const { launch, rows } = await hub(t, withScans)
  await launch('ada', { ...plain, proposals: [], datasets: ['20150042/20.500/a'], notebook: 'out/fit.ipynb' })
  const spec = JSON.parse(rows[0]?.spec ?? '') as EnvironmentSpec
  t.deepEqual(
    spec.mounts.slice(1).map(({ source, target }) => [source.path, target]),
    [
      ['/srv/20150042/out', '/data/20150042/out'],
      ['/instruments/x/scan1', '/data/20150042/scan 1'],
    ],
  )
  t.is(spec.variables['HUTCH_DATASETS'], '20.500/a')
  t.is(spec.variables['HUTCH_PROPOSALS'], '20150042', 'its proposal comes along')
  t.is(spec.application.landingPath, 'lab/tree/data/20150042/out/fit.ipynb')
  t.deepEqual(JSON.parse(rows[0]?.choices ?? '').datasets, ['20150042/20.500/a'])
})

const refusedDatasets: readonly (readonly [what: string, datasets: unknown, type: ProblemType])[] = [
  ['one that is not there', ['20150042/none'], 'notEntitled'],
  ['one of a foreign proposal', ['20159999/20.500/a'], 'notEntitled'],
  ['one that climbs', ['20150042/../../etc'], 'badRequest'],
  ['no reference', ['20150042'], 'badRequest'],
  ['no list', '20150042/20.500/a', 'badRequest'],
  ['too many', Array.from({ length: 101 }, (_, index) => `20150042/${index}`), 'badRequest'],
]
for (const [what, datasets, type] of refusedDatasets) {
  test(`a launch with a dataset is refused: ${what}`, async (t) => {
    const { launch, rows } = await hub(t, withScans)
    const refused = await t.throwsAsync(launch('ada', { ...plain, proposals: [], datasets }), { instanceOf: Problem })
    t.is(refused.type, type)
    t.deepEqual(rows, [])
  })
}

test('what was restored is given only to a spawner that looks for links', async (t) => {
  const archived = { ...plain, proposals: [], datasets: ['20150042/20.500/b'] }
  const blind = await hub(t, withScans)
  const refused = await t.throwsAsync(blind.launch('ada', archived), { instanceOf: Problem })
  t.regex(refused.detail, /does not look for links on the way/)
  const spawners = { here: { type: 'local', check: well, heedsBeneath: true } }
  const { launch, rows } = await hub(t, { ...withScans, spawners })
  await launch('ada', archived)
  const { mounts } = JSON.parse(rows[0]?.spec ?? '') as EnvironmentSpec
  const restored = mounts.find(({ beneath }) => beneath !== undefined)
  t.like(restored, {
    source: { kind: 'host', path: '/restored/b' },
    target: '/restored/20150042/scan 2',
    beneath: '/restored',
  })
})

test('offers: rules hold at a launch too, with the proposals that are launched with', async (t) => {
  const offers = [
    { title: 'SANS', when: { techniques: ['sans'] }, opens: { profiles: ['own'] }, first: { profiles: ['own'] } },
    { title: 'Beamtime', when: { techniques: ['sans'] }, opens: { spawners: ['cluster'] } },
  ]
  const spawners = { here: { type: 'local', check: well }, cluster: { type: 'kubernetes', check: well } }
  const { launches, launch, rows } = await hub(t, { configuration: { ...two, offers }, spawners })
  const own = { profile: 'own', flavour: 'small' }
  const shut = await t.throwsAsync(launch('ada', { ...own, proposals: [] }), { instanceOf: Problem })
  t.is(shut.field, 'profile')
  const cluster = { profile: 'both', flavour: 'small', spawner: 'cluster', proposals: [] }
  t.is((await t.throwsAsync(launch('ada', cluster), { instanceOf: Problem })).field, 'spawner')
  await launch('ada', { ...own, proposals: ['20150042'] })
  await launch('ada', { ...cluster, proposals: ['20150042'] })
  await launch('ada', { profile: 'both', flavour: 'small', proposals: [] })
  t.deepEqual(
    rows.map(({ profile, spawner }) => [profile, spawner]),
    [
      ['own', 'here'],
      ['both', 'cluster'],
      ['both', 'here'],
    ],
  )
  const chosen = { id: '1', title: '', instrument: '', technique: 'SANS', fields: {} }
  const [first] = await launches.offers(visitor('ada'), [chosen])
  t.like(first, { profile: 'own', first: 'SANS' })
})

test('offers: what the visitor’s groups may have, and why something can not be had now', async (t) => {
  const spawners = { here: { type: 'local', check: well }, cluster: { type: 'kubernetes', check: rejects } }
  const jupyter = { ok: false, message: 'JupyterLab is missing: install python3.' }
  const { launches, launch } = await hub(t, { configuration: two, spawners, jupyter })
  const offers = await launches.offers(visitor('ada'))
  t.deepEqual(
    offers.map(({ profile, unavailable }) => [profile, unavailable]),
    [
      ['both', 'The computing service cluster does not answer.'],
      ['bare', undefined],
      ['own', undefined],
    ],
  )
  t.like(offers[0], { kind: 'notebook', image: 'lab:1', spawners: ['cluster', 'here'] })
  t.deepEqual(offers[0]?.flavours, [
    { name: 'small', title: 'Small', cpu: 1, memoryBytes: 2 * 2 ** 30, gpus: 0, walltimeMs: 8 * 3_600_000 },
  ])
  const staff = await launches.offers(visitor('ada', { groups: ['it'] }))
  t.true(staff.some(({ profile }) => profile === 'staff'))

  const problem = await t.throwsAsync(
    launch('ada', { profile: 'both', flavour: 'small', proposals: [], spawner: 'here' }),
    {
      instanceOf: Problem,
    },
  )
  t.regex(problem.detail, /JupyterLab is missing: install python3/)
})

test('a desktop of this machine can be had where what draws it is there', async (t) => {
  const desktop = { title: 'Desktop', kind: 'desktop' as const, flavours: ['small'] }
  const configuration = {
    spawners: { here: { type: 'local' }, cluster: { type: 'local' } },
    profiles: { desktop: { ...desktop, on: { here: {} } }, elsewhere: { ...desktop, on: { cluster: {} } } },
  }
  const spawners = { here: { type: 'local' }, cluster: { type: 'kubernetes' } }
  const { launches, launch } = await hub(t, { configuration, spawners, noDesktop: 'Xvnc is missing.' })
  const offers = await launches.offers(visitor('ada'))
  t.deepEqual(
    offers.map((offer) => offer.unavailable),
    ['Xvnc is missing.', undefined],
  )
  await t.throwsAsync(launch('ada', { profile: 'desktop', flavour: 'small', proposals: [] }), { instanceOf: Problem })
  const { spec } = await launch('ada', { profile: 'elsewhere', flavour: 'small', proposals: [] })
  t.like(spec.application, { kind: 'desktop', argv: ['xfce4-session'], landingPath: '_hutch/desktop/' })
})

test('a profile for others is not there: neither offered nor launched', async (t) => {
  const { launch, rows } = await hub(t, { configuration: two, spawners: { here: { type: 'local' } } })
  const choices = { profile: 'staff', flavour: 'small', proposals: [] }
  const problem = await t.throwsAsync(launch('ada', choices), { instanceOf: Problem })
  t.regex(problem.detail, /no profile staff for you here\. You may choose: both, bare, own\./)
  t.is(rows.length, 0)
  t.is((await launch('ada', choices, { groups: ['loq-staff'] })).profile, 'staff')
})

test('a command of one’s own is taken as written; a kind without a command is refused', async (t) => {
  const { launch } = await hub(t, { configuration: two, spawners: { here: { type: 'local' } } })
  const own = await launch('ada', { profile: 'own', flavour: 'small', proposals: ['20150042'] })
  t.like(own.spec.application, { argv: ['serve', '{socket}'], readyPath: 'up', landingPath: 'app' })
  const problem = await t.throwsAsync(launch('ada', { profile: 'bare', flavour: 'small', proposals: [] }), {
    instanceOf: Problem,
  })
  t.is(problem.type, 'launchRefused')
  t.regex(problem.detail, /The profile bare has no command/)
})

test('a backend is asked once in ten seconds however many look, and one that hangs is not waited for', async (t) => {
  let asked = 0
  let at = 0
  const check = () => {
    asked += 1
    return well()
  }
  const { launches } = await hub(t, {
    spawners: { here: { type: 'local', check } },
    options: { now: () => new Date(at) },
  })
  await Promise.all(Array.from({ length: 50 }, () => launches.offers(visitor('ada'))))
  t.is(asked, 1)
  at += 10_000
  await launches.offers(visitor('marie'))
  t.is(asked, 2)

  // The deadline's own timer keeps no process alive.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const hanging = await hub(t, { spawners: { here: { type: 'local', check: () => new Promise<never>(() => {}) } } })
  const [offer] = await hanging.launches.offers(visitor('ada'))
  t.is(offer?.unavailable, 'The computing service here does not answer.')
})

test('what was well is told while it is asked anew, for half a minute; who is away is asked first', async (t) => {
  let at = 0
  let next = Promise.withResolvers<Health>()
  const check = () => next.promise
  const { launches } = await hub(t, {
    spawners: { here: { type: 'local', check } },
    options: { now: () => new Date(at) },
  })
  const told = async () => (await launches.offers(visitor('ada')))[0]?.unavailable
  next.resolve({ ok: true, message: 'well' })
  t.is(await told(), undefined)

  next = Promise.withResolvers<Health>()
  at += 10_000
  t.is(await told(), undefined, 'it has not answered yet')
  next.resolve({ ok: false, message: 'It is away.' })
  await turn()
  t.is(await told(), 'It is away.')

  next = Promise.withResolvers<Health>()
  at += 10_000
  const waiting = told()
  next.resolve({ ok: true, message: 'well' })
  t.is(await waiting, undefined, 'what was away is waited for')

  next = Promise.withResolvers<Health>()
  at += 30_000
  const late = told()
  next.resolve({ ok: false, message: 'It is away.' })
  t.is(await late, 'It is away.', 'half a minute ago is too long ago')
})

test('profile variables are kept, and can not pretend to be Hutch’s own', async (t) => {
  const profiles = {
    term: {
      title: 'T',
      kind: 'terminal' as const,
      flavours: ['small'],
      on: { here: {} },
      variables: { OMP_NUM_THREADS: '4', HUTCH_USER: 'root' },
    },
  }
  const { launch } = await hub(t, { configuration: { profiles } })
  const { spec } = await launch('ada', { profile: 'term', flavour: 'small', proposals: [] })
  t.like(spec.variables, { OMP_NUM_THREADS: '4', HUTCH_USER: 'ada' })
})

test('more groups than the file server takes: those of the proposal first, and the launch says so', async (t) => {
  const groups = Array.from({ length: 17 }, (_, index) => ({ name: `g${index}`, gid: 5_000 + index }))
  const ada = { uid: 12_001, gid: 12_001, groups: [...groups, { name: 'p20150042', gid: 6_000 }], home: '/home/ada' }
  const accounts = createAccounts(
    { source: 'file', users: { ada: { ...ada, shell: '/bin/sh' } } },
    { stateFolder: '/nonexistent', now: () => new Date(), log: quietLog },
  )
  const raw = {
    name: 'raw',
    source: 'nfs1:/export/{proposal}',
    target: '/data/{proposal}',
    allowedRoots: ['nfs1:/export'],
  }
  const mounts = [{ ...raw, mostGroups: 16, group: 'p{proposal}' }]
  const { launch } = await hub(t, { configuration: { mounts }, options: { accounts } })
  const { spec } = await launch('ada', { ...plain, proposals: ['20150042'] })
  t.is(spec.account.groups.length, 16)
  t.is(spec.account.groups[0]?.name, 'p20150042')
  t.regex(spec.warning ?? '', /You are in 18 groups, and the file server takes 16/)
  const without = await launch('ada', plain)
  t.deepEqual([without.spec.account.groups.length, without.spec.warning], [18, undefined])
})
