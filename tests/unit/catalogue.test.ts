/** Catalogues: what a file may say, who sees what, and what happens when the file changes under us. */
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { ConfigurationError } from '../../config/mistake.ts'
import { readCatalogue } from '../../hub/catalogue/document.ts'
import { createCatalogue } from '../../hub/catalogue/index.ts'
import { createProposals } from '../../hub/catalogue/proposals.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Catalogue, User } from '../../hub/domain/services.ts'
import type { Log } from '../../spawners/spawner.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { unasked } from '../support/unasked.ts'

const signal = AbortSignal.timeout(170_000)
const user = (name: string): User => ({ id: `u-${name}`, name, title: name, admin: false })
const all = { offset: 0, limit: 200 }

function listeningLog() {
  const warnings: object[] = []
  const log: Log = { debug() {}, info() {}, warn: (fields) => warnings.push(fields), error() {}, child: () => log }
  return { log, warnings }
}

async function ids(catalogue: Catalogue, name: string, search?: string): Promise<string[]> {
  const options = search === undefined ? all : { ...all, search }
  return (await catalogue.proposals(user(name), options, signal)).items.map((proposal) => proposal.id)
}

const sound = `
groups:
  loq-staff: [marie, rosalind]
proposals:
  - id: 0042
    title: Micelles in heavy water
    instrument: LOQ
    technique: SANS
    startsAt: 2026-03-10
    endsAt: 2026-03-12T08:00:00+01:00
    fields: { session: '20260310', year: '2026' }
    members: [ada, ada]
    groups: [loq-staff]
    origin: measured by us
    notebook: processed/plot.ipynb
    datasets:
      - { id: scan/1, name: First light, folder: /data/0042/raw/s1, sizeBytes: 1024, files: 2, startsAt: 2026-03-10T09:00:00Z }
      - { id: scan/2, archived: true }
  - { id: 0043, title: Ångström layers, instrument: D17, members: [marie] }
  - { id: 0041, title: Older, instrument: LOQ, startsAt: 2020-01-01, members: [ada] }
`

test('a sound file is read whole: numbers stay as written, groups become their members', (t) => {
  const document = readCatalogue(sound, 'c.yaml')
  if (document.is === 'wrong') return t.fail(JSON.stringify(document.mistakes))
  t.deepEqual(document.entries[0], {
    proposal: {
      id: '0042',
      title: 'Micelles in heavy water',
      instrument: 'LOQ',
      technique: 'SANS',
      startsAt: new Date('2026-03-10T00:00:00Z'),
      endsAt: new Date('2026-03-12T07:00:00Z'),
      fields: { session: '20260310', year: '2026' },
      origin: 'measured by us',
      notebook: 'processed/plot.ipynb',
    },
    members: ['ada', 'marie', 'rosalind'],
    datasets: [
      {
        id: 'scan/1',
        proposal: '0042',
        name: 'First light',
        folder: '/data/0042/raw/s1',
        sizeBytes: 1024,
        files: 2,
        startsAt: new Date('2026-03-10T09:00:00Z'),
      },
      { id: 'scan/2', proposal: '0042', name: 'scan/2', archived: true },
    ],
  })
  t.deepEqual(document.entries[1]?.members, ['marie'])
})

/** Each changes the sound text by one replacement; the mistake must name its field and line, and be one line. */
const wrong: readonly (readonly [what: string, from: string, to: string, mistake: RegExp])[] = [
  ['a proposal named ../../etc', 'id: 0042', 'id: ../../etc', /^c\.yaml:5:\d+ {2}proposals\[0\]\.id: must be letters/],
  ['dots in an id', 'id: 0042', 'id: a..b', /proposals\[0\]\.id: must be letters/],
  ['a slash in an id', 'id: 0042', 'id: a/b', /proposals\[0\]\.id/],
  ['an id that begins with a dot', 'id: 0042', 'id: .hidden', /proposals\[0\]\.id/],
  ['an id of 65 characters', 'id: 0042', `id: ${'a'.repeat(65)}`, /proposals\[0\]\.id/],
  ['an encoded id', 'id: 0042', "id: '%2e%2e'", /proposals\[0\]\.id/],
  ['an id that is a list', 'id: 0042', 'id: [1, 2]', /proposals\[0\]\.id: must be text, not a list/],
  ['no id', 'id: 0042', '', /proposals\[0\]\.id: is missing/],
  ['two with one id', 'id: 0043', 'id: 0042', /proposals\[1\]\.id: is also the id of proposals\[0\]/],
  [
    'a dataset that climbs',
    'folder: /data/0042/raw/s1',
    'folder: /data/../etc',
    /datasets\[0\]\.folder: must be an abs/,
  ],
  ['a dataset of less than nothing', 'sizeBytes: 1024', 'sizeBytes: -1', /datasets\[0\]\.sizeBytes: must be a whole/],
  ['two datasets with one id', 'id: scan/2', 'id: scan/1', /datasets\[1\]\.id: is that of another dataset too/],
  ['an empty title', 'title: Micelles in heavy water', 'title:', /proposals\[0\]\.title: must not be empty/],
  ['NUL in a title', 'title: Older', 'title: "a\\0b"', /proposals\[2\]\.title: must be printable/],
  [
    'a title that turns the direction',
    'title: Older',
    'title: "a\\u202Eb"',
    /proposals\[2\]\.title: must be printable/,
  ],
  ['100 kB of title', 'title: Older', `title: ${'x'.repeat(100_000)}`, /proposals\[2\]\.title: must have at most 300/],
  ['the year 9999', 'startsAt: 2026-03-10', 'startsAt: 9999-03-10', /proposals\[0\]\.startsAt: is not a date/],
  ['the 31st of February', 'startsAt: 2026-03-10', 'startsAt: 2026-02-31', /proposals\[0\]\.startsAt: is not a date/],
  ['words for a date', 'startsAt: 2026-03-10', 'startsAt: tomorrow', /proposals\[0\]\.startsAt: is not a date/],
  ['an end before the start', 'startsAt: 2026-03-10', 'startsAt: 2026-04-10', /proposals\[0\]\.endsAt: lies before/],
  ['a member that is no name', '[ada, ada]', '[ada, "Ada L."]', /proposals\[0\]\.members\[1\]: is not a user's name/],
  ['members that are a text', '[ada, ada]', 'ada', /proposals\[0\]\.members: must be a list, not text/],
  [
    'an unknown group',
    'groups: [loq-staff]',
    'groups: [loq-stff]',
    /proposals\[0\]\.groups\[0\]: .* did you mean loq-staff\?/,
  ],
  ['a group named constructor', 'groups: [loq-staff]', 'groups: [constructor]', /groups\[0\]: there is no such group/],
  [
    'an unknown field',
    'technique: SANS',
    'techniqe: SANS',
    /proposals\[0\]\.techniqe: there is no such field; did you mean technique\?/,
  ],
  ['an unknown section', 'groups:\n', 'grops:\n', /grops: there is no such field; did you mean groups\?/],
  [
    'a notebook above the folder',
    'processed/plot.ipynb',
    '../../x.ipynb',
    /proposals\[0\]\.notebook: must be a path below/,
  ],
  ['an absolute notebook', 'processed/plot.ipynb', '/etc/passwd', /proposals\[0\]\.notebook: must be a path below/],
  [
    'a field with a newline',
    "session: '20260310'",
    'session: "a\\nb"',
    /proposals\[0\]\.fields\.session: must be printable/,
  ],
  [
    'a second key',
    'instrument: D17',
    'instrument: D17, instrument: D22',
    /c\.yaml:\d+:\d+ {2}is not YAML \(duplicate key\)/,
  ],
  ['text that is no YAML', 'proposals:', 'proposals: [', /is not YAML/],
]
for (const [what, from, to, expected] of wrong) {
  test(`refused with its place: ${what}`, (t) => {
    t.true(sound.includes(from))
    const document = readCatalogue(sound.replace(from, to), 'c.yaml')
    if (document.is === 'read') return t.fail('it was taken')
    const lines = new ConfigurationError(document.mistakes).message.split('\n')
    t.true(
      lines.some((line) => expected.test(line)),
      lines.join('\n'),
    )
    t.true(lines.every((line) => line.length < 400))
  })
}

test('every mistake at once, and no more than a page of them', (t) => {
  const three = readCatalogue('proposals:\n  - { id: /, title: "", instrument: x, extra: y }\n', 'c.yaml')
  t.deepEqual(three.is === 'wrong' && three.mistakes.map((mistake) => mistake.field).toSorted(), [
    'proposals[0].extra',
    'proposals[0].id',
    'proposals[0].title',
  ])
  const many = readCatalogue(`proposals:\n${'  - { id: /, title: a, instrument: b }\n'.repeat(500)}`, 'c.yaml')
  t.is(many.is === 'wrong' && many.mistakes.length, 100)
})

test('texts that are no catalogue end in words: empty, bombs, depth', (t) => {
  const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefgh'
    .split('')
    .map((name, index) => `${name}: &${name} [${`*${'abcdefgh'[index]},`.repeat(9)}]`)
    .join('\n')}`
  for (const text of [
    '',
    'null',
    '[]',
    '42',
    '\0',
    '---\n---\n',
    bomb,
    '['.repeat(100_000),
    '{a: '.repeat(20_000),
    '🦆',
  ]) {
    t.is(readCatalogue(text, 'c.yaml').is, 'wrong', text.slice(0, 40))
  }
})

test('members written once may be meant in many proposals; aliases that multiply are refused', (t) => {
  const team = `proposals:\n  - { id: a, title: t, instrument: i, members: &team [ada, marie] }\n`
  const more = Array.from({ length: 500 }, (_, i) => `  - { id: p${i}, title: t, instrument: i, members: *team }\n`)
  const document = readCatalogue(team + more.join(''), 'c.yaml')
  t.is(document.is === 'read' && document.entries.filter(({ members }) => members.length === 2).length, 501)

  const level = (name: string, of: string) => `${name}: &${name} [${Array(10).fill(`*${of}`).join(', ')}]`
  const bomb = [
    'a: &a [x]',
    ...['b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name, index) => level(name, 'abcdefg'[index] ?? '')),
  ].join('\n')
  const refused = readCatalogue(bomb, 'c.yaml')
  t.regex(refused.is === 'wrong' ? (refused.mistakes[0]?.message ?? '') : '', /repeats too much/)
})

test('law: whatever the text, reading it ends in entries or in mistakes', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (text) =>
        ['read', 'wrong'].includes(readCatalogue(`proposals: ${text}`, 'c.yaml').is),
      ),
      { numRuns: 500 },
    ),
  )
})

async function fileCatalogue(t: ExecutionContext, text = sound) {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'catalogue.yaml')
  await writeFile(path, text)
  const clock = { at: Date.UTC(2026, 0, 1) }
  const { log, warnings } = listeningLog()
  const now = () => new Date(clock.at)
  const catalogue = await createCatalogue({ type: 'file', path }, { ...unasked, stateFolder: folder, now, log })
  return { catalogue, path, clock, warnings, folder }
}

test('each person has their own, newest first, those without a date last', async (t) => {
  const { catalogue } = await fileCatalogue(t)
  t.deepEqual(await ids(catalogue, 'ada'), ['0042', '0041'])
  t.deepEqual(await ids(catalogue, 'marie'), ['0042', '0043'])
  t.deepEqual(await ids(catalogue, 'rosalind'), ['0042'])
  t.deepEqual(await ids(catalogue, 'mallory'), [])
  t.deepEqual(await ids(catalogue, 'constructor'), [])
})

const searches: readonly (readonly [search: string, found: readonly string[]])[] = [
  ['', ['0042', '0043']],
  ['  ', ['0042', '0043']],
  ['0042', ['0042']],
  ['004', ['0042', '0043']],
  ['HEAVY', ['0042']],
  ['loq micelles', ['0042']],
  ['sans', ['0042']],
  ['d17', ['0043']],
  ['a\u030Angstro\u0308m', ['0043']],
  ['Å', ['0043']],
  ['older', []],
  ['.*', []],
  ['../..', []],
  ['%2e%2e', []],
  ['\0', []],
  ['🦆', []],
]
for (const [search, found] of searches) {
  test(`search looks into id, title, instrument and technique: ${JSON.stringify(search)}`, async (t) => {
    const { catalogue } = await fileCatalogue(t)
    t.deepEqual(await ids(catalogue, 'marie', search), found)
  })
}

test('pages, and the total beside them', async (t) => {
  const text = `proposals:\n${Array.from({ length: 25 }, (_, i) => `  - { id: p${100 + i}, title: t, instrument: i, members: [ada] }\n`).join('')}`
  const { catalogue } = await fileCatalogue(t, text)
  const seen: string[] = []
  for (const offset of [0, 10, 20, 30]) {
    const page = await catalogue.proposals(user('ada'), { offset, limit: 10 }, signal)
    t.is(page.total, 25)
    seen.push(...page.items.map((proposal) => proposal.id))
  }
  t.is(seen.length, 25)
  t.is(new Set(seen).size, 25)
})

const badPages: readonly (readonly [field: string, options: { search?: string; offset: number; limit: number }])[] = [
  ['search', { ...all, search: 'x'.repeat(100_000) }],
  ['search', { ...all, search: 'a '.repeat(50) }],
  ['offset', { offset: -1, limit: 10 }],
  ['offset', { offset: 0.5, limit: 10 }],
  ['offset', { offset: Number.NaN, limit: 10 }],
  ['limit', { offset: 0, limit: 0 }],
  ['limit', { offset: 0, limit: 1e9 }],
]
for (const [field, options] of badPages) {
  test(`a page that can't be is refused with its field: ${JSON.stringify(options).slice(0, 60)}`, async (t) => {
    const { catalogue } = await fileCatalogue(t)
    const problem = await t.throwsAsync(catalogue.proposals(user('ada'), options, signal), { instanceOf: Problem })
    t.is(problem.type, 'badRequest')
    t.is(problem.field, field)
  })
}

test('entitled: mine among those asked for, and nothing of others', async (t) => {
  const { catalogue } = await fileCatalogue(t)
  const entitled = async (name: string, wanted: string[]) =>
    (await catalogue.entitled(user(name), wanted, signal)).map((proposal) => proposal.id)
  t.deepEqual(await entitled('ada', ['0041', '0042', '0043', 'nothing']), ['0042', '0041'])
  t.deepEqual(await entitled('rosalind', ['0041', '0043']), [])
  t.deepEqual(await entitled('ada', ['../0042', '0042\0', '__proto__']), [])
  t.deepEqual(await entitled('ada', []), [])
})

test('law: nobody ever sees what they are not a member of, and pages add up', (t) => {
  const person = fc.constantFrom('ada', 'marie', 'rosalind')
  const entries = fc.uniqueArray(
    fc.record({
      id: fc.stringMatching(/^[a-z0-9]{1,3}$/),
      members: fc.array(person),
      at: fc.option(fc.date({ noInvalidDate: true })),
    }),
    { selector: (entry) => entry.id, maxLength: 30 },
  )
  const law = fc.property(entries, person, fc.integer({ min: 1, max: 7 }), (list, name, limit) => {
    const proposals = createProposals(
      list.map(({ id, members, at }) => ({
        proposal: { id, title: id, instrument: 'i', fields: {}, ...(at === null ? {} : { startsAt: at }) },
        members: [...new Set(members)],
        datasets: [],
      })),
    )
    const mine = list.filter(({ members }) => members.includes(name)).map(({ id }) => id)
    const paged: string[] = []
    for (let offset = 0; offset <= list.length; offset += limit) {
      paged.push(...proposals.page({ name }, { offset, limit }).items.map(({ id }) => id))
    }
    const entitled = proposals
      .entitled(
        { name },
        list.map(({ id }) => id),
      )
      .map(({ id }) => id)
    return [paged, entitled].every((seen) => seen.toSorted().join() === mine.toSorted().join())
  })
  t.notThrows(() => fc.assert(law))
})

test('a change of the file counts within a second, without a restart', async (t) => {
  const { catalogue, path, clock } = await fileCatalogue(t)
  await writeFile(path, sound.replace('[ada, ada]', '[]'))
  t.deepEqual(await ids(catalogue, 'ada'), ['0042', '0041'], 'not looked at again at once')
  clock.at += 1_000
  t.deepEqual(await ids(catalogue, 'ada'), ['0041'])
  await writeFile(`${path}.new`, sound)
  await rename(`${path}.new`, path)
  clock.at += 1_000
  t.deepEqual(await ids(catalogue, 'ada'), ['0042', '0041'])
})

const broken: readonly (readonly [what: string, spoil: (path: string) => Promise<unknown>, words: RegExp])[] = [
  ['is not YAML any more', (path) => writeFile(path, 'proposals: ['), /is not YAML/],
  ['has a wrong proposal', (path) => writeFile(path, sound.replace('0042', '../x')), /proposals\[0\]\.id/],
  ['is not text', (path) => writeFile(path, Buffer.from([0xff, 0xfe, 0x80])), /is not UTF-8 text/],
  ['is gone', (path) => rm(path), /there is no such file/],
  ['is a folder', (path) => rm(path).then(() => mkdir(path)), /is not a file/],
  ['is a named pipe', (path) => rm(path).then(() => execFileSync('mkfifo', [path])), /is not a file/],
]
for (const [what, spoil, words] of broken) {
  test(`the last good version stays, with one warning, when the file ${what}`, async (t) => {
    const { catalogue, path, clock, warnings } = await fileCatalogue(t)
    await spoil(path)
    for (let look = 0; look < 3; look += 1) {
      clock.at += 1_000
      t.deepEqual(await ids(catalogue, 'ada'), ['0042', '0041'])
    }
    t.is(warnings.length, 1)
    t.regex(JSON.stringify(warnings[0]), words)
    await rm(path, { recursive: true, force: true })
    await writeFile(path, sound.replace('[ada, ada]', '[rosalind]'))
    clock.at += 1_000
    t.deepEqual(await ids(catalogue, 'ada'), ['0041'], 'a good one is taken again')
  })
}

test('at the start a wrong file ends in every mistake, not in an empty catalogue', async (t) => {
  const error = await t.throwsAsync(fileCatalogue(t, 'proposals:\n  - { id: /, title: "", instrument: x }\n'), {
    instanceOf: ConfigurationError,
  })
  t.is(error.mistakes.length, 2)
  const missing = createCatalogue(
    { type: 'file', path: '/nowhere/at/all.yaml' },
    { ...unasked, stateFolder: '/nowhere', now: () => new Date(), log: listeningLog().log },
  )
  t.regex((await t.throwsAsync(missing)).message, /\/nowhere\/at\/all\.yaml {2}there is no such file/)
})

test('a large file is read in a process of its own, the same as a small one', async (t) => {
  const rows = Array.from(
    { length: 6_000 },
    (_, i) => `  - { id: p${i}, title: Sample number ${i}, instrument: LOQ, startsAt: 2026-01-01, members: [ada] }\n`,
  )
  const { catalogue, path, clock } = await fileCatalogue(t, `proposals:\n${rows.join('')}`)
  const page = await catalogue.proposals(user('ada'), { search: 'number 5999', ...all }, signal)
  t.deepEqual(
    page.items.map(({ id, startsAt }) => [id, startsAt?.toISOString()]),
    [['p5999', '2026-01-01T00:00:00.000Z']],
  )
  await writeFile(path, `proposals:\n${rows.join('')}  - { id: /, title: a, instrument: b }\n`)
  clock.at += 1_000
  t.is((await catalogue.proposals(user('ada'), all, signal)).total, 6_000)
})

test('more proposals than a catalogue holds are refused in words', (t) => {
  const document = readCatalogue(`proposals: [${'a,'.repeat(100_001)}]`, 'c.yaml')
  t.is(document.is, 'wrong')
  t.true(document.is === 'wrong' && document.mistakes.some(({ message }) => /at most 100000 entries/.test(message)))
})

test('none: nothing for anybody', async (t) => {
  const options = { ...unasked, stateFolder: '/nowhere', now: () => new Date(), log: listeningLog().log }
  const catalogue = await createCatalogue({ type: 'none' }, options)
  t.deepEqual(await ids(catalogue, 'ada'), [])
  t.deepEqual(await catalogue.entitled(user('ada'), ['0042'], signal), [])
})

test('demo: three people with different proposals, real data in two, copied once and never over what users did', async (t) => {
  const stateFolder = await temporaryFolder(t)
  const options = { ...unasked, stateFolder, now: () => new Date(), log: listeningLog().log }
  const catalogue = await createCatalogue({ type: 'demo' }, options)
  t.deepEqual(await ids(catalogue, 'ada'), ['20260311', '20150042'])
  t.deepEqual(await ids(catalogue, 'marie'), ['20150042', '20080121'])
  t.deepEqual(await ids(catalogue, 'rosalind'), ['20260311', '20080121'])
  for (const { origin } of (await catalogue.proposals(user('marie'), all, signal)).items) t.regex(origin ?? '', /BSD/)

  const folder = join(stateFolder, 'proposals')
  t.deepEqual((await readdir(folder)).toSorted(), ['20080121', '20150042', '20260311'])
  t.deepEqual(await readdir(join(folder, '20260311', 'raw')), [])
  const raw = join(folder, '20150042', 'raw')
  for (const name of await readdir(raw)) t.is((await stat(join(raw, name))).mode & 0o777, 0o444)

  const notebook = join(folder, '20150042', 'processed', 'p123.ipynb')
  await writeFile(notebook, 'my work')
  await rm(join(folder, '20080121', 'processed', 'nist.ipynb'))
  await mkdir(join(folder, '.new-killed'))
  await createCatalogue({ type: 'demo' }, options)
  t.is(await readFile(notebook, 'utf8'), 'my work')
  t.deepEqual(await readdir(join(folder, '20080121', 'processed')), [])
  t.false((await readdir(folder)).includes('.new-killed'))
  await chmod(folder, 0o700)
})
