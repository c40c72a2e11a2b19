import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import * as fc from 'fast-check'
import { isLoopbackHost } from '../../config/addresses.ts'
import { demoConfiguration } from '../../config/defaults.ts'
import { loadConfiguration } from '../../config/load.ts'
import { ConfigurationError } from '../../config/mistake.ts'
import { editDistance, nearest } from '../../config/nearest.ts'
import { readSecretFile } from '../../config/secret.ts'
import { parseBytes, parseDuration } from '../../config/units.ts'
import { resolvePlugin } from '../../hub/plugins/resolve.ts'
import { fakeResolveSpawner, load, mistakes, smallest } from '../support/configuration.ts'
import { temporaryFolder } from '../support/temporary.ts'

const text = `
state: var
database: { type: postgresql, passwordFile: secrets/db }
catalogue: { type: file, path: catalogue.yaml }
login:
  providers:
    site: { title: Site, issuer: "https://login.example.org", clientId: hutch, clientSecretFile: secrets/oidc }
flavours: { small: { title: Small, cpu: 0.5, memory: 512MiB, walltime: 1h30min } }
spawners: { here: { type: local, scratch: 1GB } }
profiles: { lab: { title: Lab, kind: notebook, flavours: [small], on: { here: } } }
`

test('units are numbers, paths absolute, parts of spawners as their schemas give them', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'secrets'))
  await writeFile(join(folder, 'secrets/db'), ' p4ss \n', { mode: 0o600 })
  await writeFile(join(folder, 'secrets/oidc'), 's3cret', { mode: 0o640 })
  await writeFile(join(folder, 'catalogue.yaml'), '')
  await writeFile(join(folder, 'hutch.yaml'), text)
  const { configuration, warnings } = await loadConfiguration({
    file: join(folder, 'hutch.yaml'),
    defaults: smallest,
    resolveSpawner: fakeResolveSpawner,
    resolvePlugin,
    folder: '/',
  })
  t.is(configuration.state, join(folder, 'var'))
  t.like(configuration.database, { passwordFile: join(folder, 'secrets/db') })
  t.is(configuration.login.providers['site']?.clientSecretFile, join(folder, 'secrets/oidc'))
  t.like(configuration.catalogue, { path: join(folder, 'catalogue.yaml') })
  t.like(configuration.flavours['small'], { cpu: 0.5, memory: 512 * 2 ** 20, walltime: 5_400_000 })
  t.deepEqual(configuration.spawners, { here: { type: 'local', sandbox: 'auto', scratch: 1e9 } })
  t.deepEqual(configuration.profiles['lab']?.on, { here: { nice: 0 } })
  t.deepEqual(configuration.listen, { host: '127.0.0.1', port: 8000 })
  t.deepEqual(warnings, [])
  t.is(await readSecretFile(join(folder, 'secrets/db')), 'p4ss')
})

for (const [title, prepare, expected] of [
  ['readable by everybody', (file: string) => writeFile(file, 'x').then(() => chmod(file, 0o644)), /chmod 600/],
  ['empty', (file: string) => writeFile(file, ' \n', { mode: 0o600 }), /is empty/],
  ['a folder', (file: string) => mkdir(file), /not a file/],
  ['huge', (file: string) => writeFile(file, 'x'.repeat(70_000), { mode: 0o600 }), /larger than/],
] as const) {
  test(`a secret file that is ${title} is refused`, async (t) => {
    const folder = await temporaryFolder(t)
    await prepare(join(folder, 'db'))
    const found = await mistakes(
      `database: { type: postgresql, passwordFile: db }\nflavours: {}\nprofiles: {}\nspawners: {}`,
      {
        file: join(folder, 'hutch.yaml'),
      },
    )
    t.is(found.length, 1)
    t.regex(found[0] ?? '', expected)
  })
}

test('the demo loads, and what the command line says takes the place of its values', async (t) => {
  const options = {
    defaults: demoConfiguration({ demoDataFolder: '/srv/demo' }),
    resolveSpawner: fakeResolveSpawner,
    resolvePlugin,
    folder: '/home/somebody',
  }
  const { configuration, warnings } = await loadConfiguration(options)
  t.is(configuration.state, '/home/somebody/.hutch')
  t.true(configuration.login.demo)
  t.deepEqual(warnings, [])
  const other = await loadConfiguration({ ...options, overrides: { state: '/tmp/x', listen: '127.0.0.1:9000' } })
  t.is(other.configuration.state, '/tmp/x')
  t.is(other.configuration.listen.port, 9000)
  const refused = await t.throwsAsync(loadConfiguration({ ...options, overrides: { listen: '0.0.0.0:80' } }))
  t.true(refused instanceof ConfigurationError)
  t.regex(refused?.message ?? '', /login\.demo: is refused beyond loopback/)
})

test('what is wrong on the command line is said to be there', async (t) => {
  const options = {
    defaults: smallest,
    resolveSpawner: fakeResolveSpawner,
    resolvePlugin,
    folder: '/',
    overrides: { listen: 'x' },
  }
  const error = await t.throwsAsync(loadConfiguration(options), { instanceOf: ConfigurationError })
  t.is(error?.message, '--listen  is not an address with a port, such as 127.0.0.1:8000 or [::1]:8000')
})

for (const [file, expected] of [
  ['/nowhere/hutch.yaml', /there is no such file/],
  ['/', /is a folder/],
  ['/dev/zero', /is larger than/],
  ['a\0b', /can't be read/],
] as const) {
  test(`the file ${JSON.stringify(file)} is refused in one line`, async (t) => {
    const options = { file, defaults: smallest, resolveSpawner: fakeResolveSpawner, resolvePlugin, folder: '/' }
    const error = await t.throwsAsync(loadConfiguration(options), { instanceOf: ConfigurationError })
    t.regex(error?.message ?? '', expected)
  })
}

test('warnings: what may be, but is better known', async (t) => {
  const found = async (more: string) => {
    const { warnings } = await load(`flavours: {}\nprofiles: {}\nspawners: {}\n${more}`)
    return warnings.map(({ field }) => field)
  }
  t.deepEqual(await found(''), ['login', 'profiles'])
  const open = 'publicUrl: http://x.org\nlisten: 0.0.0.0:80\naccounts: { source: system }'
  t.deepEqual(await found(open), ['environments.hosts', 'login', 'profiles', 'publicUrl'])
  t.deepEqual(await found(`${open}\nenvironments: { hosts: "{user}.envs.x.org" }`), ['login', 'profiles', 'publicUrl'])
})

test('law: whatever the text, it loads or says its mistakes; nothing else is thrown', async (t) => {
  const word = fc.constantFrom(
    'hub',
    'profiles',
    'on',
    'mounts',
    'type',
    'local',
    '{user}',
    '*a',
    '&a',
    '__proto__',
    '<<',
    '!!js',
    '- ',
    ': ',
    '\n',
    '\n  ',
    '[',
    ']',
    '{',
    '}',
    '"',
    '|',
    '1GiB',
    '\0',
    '\u{1f600}',
    '? ',
    '---',
    '%YAML',
    'null',
    '.inf',
    'constructor',
  )
  const soup = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(word, { maxLength: 60 }).map((words) => words.join('')),
  )
  const holds = fc.asyncProperty(soup, async (text) => {
    await load(text).catch((error: unknown) => {
      if (!(error instanceof ConfigurationError) || error.mistakes.length === 0) throw error
    })
  })
  await fc.assert(holds, { numRuns: 1_000 })
  t.pass()
})

test('law: whatever the values, it loads or says its mistakes, each on one line', async (t) => {
  const key = fc.constantFrom(
    'hub',
    'id',
    'state',
    'listen',
    'publicUrl',
    'database',
    'type',
    'login',
    'providers',
    'x',
    'issuer',
    'accounts',
    'source',
    'users',
    'mounts',
    'target',
    'allowedRoots',
    'flavours',
    'profiles',
    'on',
    'spawners',
    'environments',
    'hosts',
    'proxy',
    'trustedProxies',
    'tls',
    '__proto__',
    'toString',
  )
  const leaf = fc.oneof(
    fc.string(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.constantFrom('local', 'file', 'postgresql', 'https://x.org', '{user}', '/a/{proposal}'),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 6 }),
    ),
  }))
  const top = fc.dictionary(key, value, { maxKeys: 12 })
  const holds = fc.asyncProperty(top, async (value) => {
    await load(JSON.stringify(value)).catch((error: unknown) => {
      if (!(error instanceof ConfigurationError) || error.mistakes.length === 0) throw error
      if (error.message.split('\n').length !== error.mistakes.length) throw new Error(`more lines: ${error.message}`)
    })
  })
  await fc.assert(holds, { numRuns: 1_000 })
  t.pass()
})

test('law: edit distance is a distance, and the nearest of known words is itself', (t) => {
  const word = fc.string({ maxLength: 12 })
  fc.assert(
    fc.property(
      word,
      word,
      (a, b) => editDistance(a, b) === editDistance(b, a) && (editDistance(a, b) === 0) === (a === b),
    ),
  )
  fc.assert(
    fc.property(word, fc.array(word), (a, others) => nearest(a, [...others, a])?.toLowerCase() === a.toLowerCase()),
  )
  t.is(editDistance('flavuors', 'flavours'), 1)
  t.is(nearest('qqqqqq', ['hub', 'login']), undefined)
})

test('units', (t) => {
  for (const [text, value] of [
    ['4GiB', 2 ** 32],
    ['1.5 KiB', 1536],
    ['2gb', 2e9],
    ['0B', 0],
  ] as const)
    t.is(parseBytes(text), value)
  for (const text of ['', '4', 'GiB', '-1GiB', '1e3MiB', '4G', '4GiB4']) t.is(parseBytes(text), undefined, text)
  for (const [text, value] of [
    ['8h', 28_800_000],
    ['1h30min', 5_400_000],
    ['1.5s', 1500],
    ['2 d', 172_800_000],
  ] as const)
    t.is(parseDuration(text), value)
  for (const text of ['', '8', 'h', '-8h', '8m', '8h?']) t.is(parseDuration(text), undefined, text)
})

test('loopback', (t) => {
  for (const host of ['127.0.0.1', '127.8.8.8', '::1', '[::1]', 'localhost', 'a.b.localhost', 'LOCALHOST'])
    t.true(isLoopbackHost(host), host)
  for (const host of ['0.0.0.0', '::', '128.0.0.1', 'localhost.example.org', '127.0.0.1.example.org', '127.evil', ''])
    t.false(isLoopbackHost(host), host)
})
