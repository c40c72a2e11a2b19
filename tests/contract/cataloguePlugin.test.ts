/** The example of a catalogue passes its contract, broken ones do not, and the hub stands whatever one does. */
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createRemoteCatalogue } from '../../hub/catalogue/remote.ts'
import { Problem } from '../../hub/domain/problem.ts'
import { pluginCatalogue } from '../../hub/plugins/catalogue.ts'
import { catalogueContract, type CatalogueSubject } from '../../hub/plugins/contracts/catalogue.ts'
import type { CataloguePlugin } from '../../hub/plugins/plugin.ts'
import { makePlugin, resolvePlugin } from '../../hub/plugins/resolve.ts'
import { mistakes } from '../support/configuration.ts'
import { passes } from '../support/contract.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'

const examples = new URL('../../config/plugins/', import.meta.url).pathname
const tools = { log: quietLog, now: () => new Date(), fetch }

const written = {
  proposals: [
    { id: 'p2', title: 'Welds', instrument: 'ENGIN-X', startsAt: '2025-03-10', members: ['ada'] },
    {
      id: 'p3',
      title: 'Micelles in heavy water',
      instrument: 'LOQ',
      technique: 'SANS',
      startsAt: '2026-03-10',
      members: ['ada', 'marie'],
      datasets: [{ id: 's1', name: 'scan 1' }, { id: 's2' }],
    },
    { id: 'p1', title: 'Layers', instrument: 'LOQ', startsAt: '2024-03-10', members: ['ada'] },
    {
      id: 'p4',
      title: 'Heavy',
      instrument: 'D17',
      startsAt: '2026-03-10',
      members: ['marie'],
      datasets: [{ id: 's9' }],
    },
  ],
}

async function json(t: ExecutionContext): Promise<CatalogueSubject> {
  const path = join(await temporaryFolder(t), 'proposals.json')
  await writeFile(path, JSON.stringify(written))
  const { file } = await resolvePlugin('catalogue', './catalogue-json', examples)
  return {
    make: () => makePlugin('catalogue', { package: file, options: { path } }, tools),
    member: { user: 'ada', proposals: ['p3', 'p2', 'p1'] },
    foreign: { id: 'p4', instrument: 'D17' },
    word: 'Micelles',
    datasets: { own: 's1', foreign: 's9' },
    async cut() {
      await rename(path, `${path}.away`)
      return () => rename(`${path}.away`, path)
    },
  }
}

for (const { title, run } of catalogueContract) {
  test(`catalogue-json: ${title}`, async (t) => {
    await run(await json(t))
    t.pass()
  })
}

const everybody = { user: 'marie', instruments: ['LOQ', 'D17', 'ENGIN-X'] }
type Breaks = (sound: CataloguePlugin) => Partial<CataloguePlugin>
const broken: Readonly<Record<string, Breaks>> = {
  'shows everybody everything': (sound) => ({ proposals: (_who, ...more) => sound.proposals(everybody, ...more) }),
  'entitles everybody': (sound) => ({ proposalsByIds: (_who, ...more) => sound.proposalsByIds(everybody, ...more) }),
  'heeds no page': (sound) => ({
    proposals: (who, wanted, signal) => sound.proposals(who, { ...wanted, offset: 0, limit: 200 }, signal),
  }),
  'heeds no word': (sound) => ({
    proposals: (who, wanted, ...more) => sound.proposals(who, { ...wanted, words: [] }, ...more),
  }),
  'finds by any word': (sound) => ({
    proposals: (who, wanted, ...more) => sound.proposals(who, { ...wanted, words: wanted.words.slice(0, 1) }, ...more),
  }),
  'shows the oldest first': (sound) => ({
    async proposals(...asked) {
      const page = await sound.proposals(...asked)
      return { ...page, items: page.items.toReversed() }
    },
  }),
  'counts the page alone': (sound) => ({
    async proposals(...asked) {
      return { ...(await sound.proposals(...asked)), total: 2 }
    },
  }),
  'knows nothing of instruments': (sound) => ({
    proposals: ({ user }, ...more) => sound.proposals({ user, instruments: [] }, ...more),
    proposalsByIds: ({ user }, ...more) => sound.proposalsByIds({ user, instruments: [] }, ...more),
  }),
  'calls a failure an absence': (sound) => ({
    proposalsByIds: (...asked) => sound.proposalsByIds(...asked).catch(() => []),
  }),
  'tells datasets of other proposals': (sound) => ({
    datasetsByIds: (_who, _proposal, ids, signal) =>
      sound.datasetsByIds?.(everybody, 'p4', ids, signal) ?? Promise.resolve([]),
  }),
}
for (const [what, breaks] of Object.entries(broken)) {
  test(`a catalogue that is broken fails the contract: ${what}`, async (t) => {
    const subject = await json(t)
    const make = async () => {
      const sound = await subject.make()
      return { ...sound, ...breaks(sound) }
    }
    t.false(await passes(catalogueContract, { ...subject, make }))
  })
}

const signal = AbortSignal.timeout(60_000)
const user = { id: 'u-ada', name: 'ada', title: 'Ada', admin: false }
const page = { offset: 0, limit: 10 }
const wild: Readonly<Record<string, () => unknown>> = {
  'throws at once': () => {
    throw new Error('boom')
  },
  'rejects with no error': () => Promise.reject(),
  'never answers': () => new Promise(() => {}),
  'answers nothing': () => undefined,
  'answers text': () => 'proposals',
  'answers wrong types': () => ({ items: 'many', total: 'all' }),
  'counts less than nothing': () => ({ items: [], total: -1 }),
}
for (const [what, answer] of Object.entries(wild)) {
  test(`a plug-in that ${what}: lists and launches are refused in words, and nothing else happens`, async (t) => {
    // Deadlines alone keep no process alive.
    const alive = setInterval(() => undefined, 1_000)
    t.teardown(() => clearInterval(alive))
    const wrong = answer as () => never
    const plugin = { proposals: wrong, proposalsByIds: wrong, datasets: wrong, datasetsByIds: wrong }
    const catalogue = createRemoteCatalogue({
      ...tools,
      source: pluginCatalogue(plugin, { deadlineMs: 200 }),
      instrumentsOf: () => Promise.resolve([]),
      contact: 'us',
    })
    const listed = await t.throwsAsync(catalogue.proposals(user, page, signal), { instanceOf: Problem })
    t.is(listed.type, 'catalogueUnreachable')
    const refused = await t.throwsAsync(catalogue.entitled(user, ['p1'], signal), { instanceOf: Problem })
    t.regex(refused.detail, /nobody can say which are open to you now/)
  })
}

test('rows of a plug-in that lie are left out: names that climb, and two with one name are not launched', async (t) => {
  const items = [
    { id: '../../etc', title: 'x' },
    null,
    7,
    { id: 'p1', title: 'T', startsAt: '9999-01-01' },
    { id: 'p2', title: 'a' },
    { id: 'p2', title: 'b' },
  ]
  const plugin = { proposals: async () => ({ items, total: 6 }), proposalsByIds: async () => items }
  const catalogue = createRemoteCatalogue({
    ...tools,
    source: pluginCatalogue(plugin, { deadlineMs: 1_000 }),
    instrumentsOf: () => Promise.resolve([]),
    contact: 'us',
  })
  const { items: seen } = await catalogue.proposals(user, page, signal)
  t.deepEqual(
    seen.map(({ id, startsAt }) => [id, startsAt]),
    [
      ['p1', undefined],
      ['p2', undefined],
    ],
  )
  t.is((await catalogue.entitled(user, ['p1', '../../etc'], signal)).length, 1)
  await t.throwsAsync(catalogue.entitled(user, ['p2'], signal), { message: /several proposals named p2/ })
})

test('a configuration with a plug-in is checked by the plug-in’s own schema', async (t) => {
  const text = (options: string) => `
flavours: { small: { title: Small, cpu: 1, memory: 1GiB } }
spawners: { here: { type: local } }
profiles: { lab: { title: Lab, kind: notebook, flavours: [small], on: { here: {} } } }
catalogue: { type: plugin, plugin: { package: ${examples}catalogue-json, options: ${options} } }`
  t.deepEqual(await mistakes(text('{ path: /etc/proposals.json }'), { folder: '/nowhere' }), [])
  t.regex(
    (await mistakes(text('{ path: here }'), { folder: '/nowhere' })).join(),
    /catalogue\.plugin\.options\.path: must be an absolute path/,
  )
})
