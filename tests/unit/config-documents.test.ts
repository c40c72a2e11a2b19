/** What is written for people about the configuration is true: examples load, every field is described. */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { configurationSchema } from '../../config/schema.ts'
import { inputSchema } from '../../config/reference.ts'
import { loadSettings } from '../../hub/cli/settings.ts'
import { builtInSpawners, resolveSpawner } from '../../hub/setup/spawner-types.ts'
import { temporaryFolder } from '../support/temporary.ts'

const examples = new URL('../../config/examples', import.meta.url).pathname

for (const [file, warnings] of [
  ['one-machine.yaml', ['environments.hosts']],
  ['facility.yaml', []],
  ['slurm.yaml', ['environments.hosts']],
  ['docker.yaml', ['environments.hosts']],
] as const) {
  test(`the example ${file} loads`, async (t) => {
    const folder = await temporaryFolder(t)
    await cp(examples, folder, { recursive: true })
    await mkdir(join(folder, 'secrets'))
    for (const secret of secretFiles(parse(await readFile(join(folder, file), 'utf8')))) {
      await writeFile(join(folder, secret), 'secret', { mode: 0o600 })
    }
    const loaded = await loadSettings({ file, folder })
    t.deepEqual(
      loaded.warnings.map(({ field }) => field),
      warnings,
    )
  })
}

test('there is no example that is not tried here, and the one of a catalogue is tried with hub/catalogue', async (t) => {
  t.deepEqual((await readdir(examples)).toSorted(), [
    'catalogue.yaml',
    'docker.yaml',
    'facility.yaml',
    'one-machine.yaml',
    'slurm.yaml',
  ])
  const { createFileCatalogue } = await import('../../hub/catalogue/file.ts')
  const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
  const path = join(examples, 'catalogue.yaml')
  const catalogue = await createFileCatalogue({
    path,
    instrumentsOf: () => Promise.resolve([]),
    now: () => new Date(),
    log,
  })
  const user = { id: 'u', name: 'grace', title: 'Grace', admin: false }
  const page = await catalogue.proposals(user, { offset: 0, limit: 10 }, AbortSignal.timeout(10_000))
  t.deepEqual(
    page.items.map(({ id }) => id),
    ['20260042'],
  )
})

test('without a file the demo loads with the real spawner', async (t) => {
  const { configuration, warnings } = await loadSettings({ folder: '/somewhere' })
  t.is(configuration.mounts[0]?.source, '/somewhere/.hutch/proposals/{proposal}/raw')
  t.deepEqual(warnings, [])
})

test('every field is described', async (t) => {
  const types = await Promise.all(builtInSpawners.map(async (type) => await resolveSpawner(type, '/')))
  const schemas = [
    configurationSchema,
    ...types.flatMap(({ configSchema, profileSchema }) => [configSchema, profileSchema]),
  ]
  const bare = schemas.flatMap((schema) => undescribed(inputSchema(schema), ''))
  t.deepEqual(bare, [])
})

interface Described {
  readonly description?: string
  readonly properties?: Readonly<Record<string, Described>>
  readonly additionalProperties?: Described | boolean
  readonly items?: Described
  readonly oneOf?: readonly Described[]
}

function undescribed(node: Described, path: string): string[] {
  const children: [string, Described][] = Object.entries(node.properties ?? {}).map(([name, child]) => [
    `${path}.${name}`,
    child,
  ])
  const bare = children.filter(([, child]) => child.description === undefined).map(([name]) => name)
  const nested: [string, Described | boolean | undefined][] = [
    ...children,
    [`${path}.*`, node.additionalProperties],
    [`${path}[]`, node.items],
    ...(node.oneOf ?? []).map((form): [string, Described] => [path, form]),
  ]
  return [...bare, ...nested.flatMap(([name, child]) => (typeof child === 'object' ? undescribed(child, name) : []))]
}

/** Values of the fields that name files with secrets. */
function secretFiles(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    key.endsWith('File') && typeof inner === 'string' ? [inner] : secretFiles(inner),
  )
}
