/** Datasets, staff and dates: the same for every catalogue that another service keeps; and ICAT with people's own tokens. */
import test from 'ava'
import { Problem } from '../../hub/domain/problem.ts'
import type { OwnToken } from '../../hub/catalogue/icat.ts'
import { all, idsOf, services, subject, three, user, whole } from '../support/catalogueSubject.ts'
import type { FakeIcat } from '../support/fakeIcat.ts'

const signal = AbortSignal.timeout(170_000)
const day = (text: string) => new Date(`${text}T00:00:00Z`)

for (const type of Object.keys(services)) {
  const [first, second, third] = type === 'icat' ? [1, 2, 3] : ['20.500/a', '20.500/b', '20.500/c']

  test(`${type}: datasets of a proposal with size and date, in pages, found by words and days, for its members alone`, async (t) => {
    const { catalogue, add, addDatasets, clock, service } = await subject(t, type)
    add(...three)
    addDatasets(
      'p3',
      { id: first, name: 'scan 1', folder: '/data/p3/raw/s1/', sizeBytes: 2 ** 40, files: 7, startsAt: '2026-03-10' },
      { id: second, name: 'scan 2', folder: 'not/absolute', sizeBytes: -1, files: 'many', startsAt: '9999-01-01' },
      { id: third, name: 'dark', startsAt: '2026-04-01' },
      { id: '../../etc', name: 'up', startsAt: '2020-01-01' },
    )
    addDatasets('p1', { id: type === 'icat' ? 9 : '20.500/z', name: 'another' })
    const ids = (page: { items: readonly { id: string }[] }) => idsOf(page.items)
    const { items } = await catalogue.datasets(user('ada'), 'p3', all, signal)
    t.deepEqual(idsOf(items).toSorted(), [first, second, third].map(String).toSorted())
    t.deepEqual(
      items.find(({ name }) => name === 'scan 1'),
      {
        id: String(first),
        proposal: 'p3',
        name: 'scan 1',
        folder: '/data/p3/raw/s1',
        sizeBytes: 2 ** 40,
        files: 7,
        startsAt: day('2026-03-10'),
      },
    )
    t.deepEqual(
      items.find(({ name }) => name === 'scan 2'),
      { id: String(second), proposal: 'p3', name: 'scan 2' },
    )
    const find = async (search: string) => ids(await catalogue.datasets(user('ada'), 'p3', { ...all, search }, signal))
    t.deepEqual((await find('SCAN')).toSorted(), [first, second].map(String).toSorted())
    t.deepEqual(await find('2026-04'), [String(third)])
    t.deepEqual(await find('nothing'), [])
    const page = await catalogue.datasets(user('ada'), 'p3', { offset: 1, limit: 1 }, signal)
    t.is(page.items.length, 1)

    for (const [name, proposal] of [
      ['mallory', 'p3'],
      ['ada', 'p1'],
      ['ada', '../p3'],
    ] as const) {
      const refused = await t.throwsAsync(catalogue.datasets(user(name), proposal, all, signal), {
        instanceOf: Problem,
      })
      t.is(refused.type, 'notEntitled', `${name} ${proposal}`)
      const asked = catalogue.datasetsOf(user(name), proposal, [String(first)], signal)
      t.is((await t.throwsAsync(asked, { instanceOf: Problem })).type, 'notEntitled')
    }
    const chosen = await catalogue.datasetsOf(user('ada'), 'p3', [String(first), 'none', '../x', "' OR 1=1"], signal)
    t.deepEqual(idsOf(chosen), [String(first)])
    const foreign = type === 'icat' ? '9' : '20.500/z'
    t.deepEqual(await catalogue.datasetsOf(user('ada'), 'p3', [foreign], signal), [], 'of another proposal')

    clock.at += 60_000
    service.fault = (_request, response) => {
      response.writeHead(500).end()
      return true
    }
    const old = await catalogue.datasets(user('ada'), 'p3', all, signal)
    t.deepEqual(idsOf(old.items), idsOf(items))
    t.truthy('asOf' in old, 'with its age')
    await t.throwsAsync(catalogue.datasetsOf(user('ada'), 'p3', [String(first)], signal), { instanceOf: Problem })
  })

  test(`${type}: who looks after an instrument sees its proposals and their data, and no others`, async (t) => {
    const instrumentsOf = ({ name }: { name: string }) => Promise.resolve(name === 'eva' ? ['LOQ', 'D17'] : [])
    const { catalogue, add, addDatasets } = await subject(t, type, {}, { instrumentsOf })
    add(...three)
    addDatasets('p3', { id: first, name: 'scan 1' })
    t.deepEqual(idsOf((await catalogue.proposals(user('eva'), all, signal)).items), ['p3', 'p1'])
    t.deepEqual(idsOf((await catalogue.proposals(user('eva'), { ...all, search: 'micelles' }, signal)).items), ['p3'])
    t.deepEqual(idsOf(await catalogue.entitled(user('eva'), ['p1', 'p2', 'p3'], signal)).toSorted(), ['p1', 'p3'])
    t.deepEqual(idsOf((await catalogue.datasets(user('eva'), 'p3', all, signal)).items), [String(first)])
    t.deepEqual(idsOf((await catalogue.proposals(user('ada'), all, signal)).items), ['p3', 'p2'])
  })

  test(`${type}: found by the day, the month and the year in which they began`, async (t) => {
    const { catalogue, add } = await subject(t, type)
    add(...three)
    const find = async (search: string) =>
      idsOf((await catalogue.proposals(user('ada'), { ...all, search }, signal)).items)
    t.deepEqual(await find('2026'), ['p3'])
    t.deepEqual(await find('2025-03'), ['p2'])
    t.deepEqual(await find('2026-03-10'), ['p3'])
    t.deepEqual(await find('2026-03-11'), [])
    t.deepEqual(await find('2026-02-31'), [], 'no day')
  })

  test(`${type}: members who left have neither the proposal nor its data at the next question`, async (t) => {
    const { catalogue, add, addDatasets, service } = await subject(t, type)
    add(...three)
    addDatasets('p2', { id: first, name: 'scan 1' })
    t.is((await catalogue.datasets(user('ada'), 'p2', all, signal)).items.length, 1)
    const kept = service as unknown as { proposals?: unknown[]; investigations?: unknown[] }
    kept.proposals?.splice(0)
    kept.investigations?.splice(0)
    add(...three.map((each) => ({ ...each, members: ['marie'] })))
    t.deepEqual((await catalogue.proposals(user('ada'), all, signal)).items, [])
    t.deepEqual(await catalogue.entitled(user('ada'), ['p2'], signal), [])
    const gone = await t.throwsAsync(catalogue.datasets(user('ada'), 'p2', all, signal), { instanceOf: Problem })
    t.is(gone.type, 'notEntitled')
  })
}

test('http: a service that knows of proposals alone has no datasets, and that is no fault', async (t) => {
  const { catalogue, add, service } = await subject(t, 'http')
  add(...three)
  service.fault = ({ url }, response) => {
    if (!url.pathname.endsWith('/datasets')) return undefined
    response.writeHead(404).end('<html>')
    return true
  }
  t.deepEqual(await catalogue.datasets(user('ada'), 'p3', all, signal), { items: [], total: 0 })
})

test('scicat: a dataset that lies in the archive alone is said to; one that is closed to a member is not shown', async (t) => {
  const { catalogue, add, addDatasets, service } = await subject(t, 'scicat')
  add(...three)
  addDatasets('p3', { id: '20.500/a', name: 'here' }, { id: '20.500/b', name: 'away', archived: true })
  const { datasets } = service as unknown as { datasets: Record<string, unknown>[] }
  datasets.push({ ...datasets[0], pid: '20.500/c', ownerGroup: 'others' })
  const { items } = await catalogue.datasets(user('ada'), 'p3', all, signal)
  t.deepEqual(items.map(({ id, archived }) => `${id} ${archived}`).toSorted(), ['20.500/a undefined', '20.500/b true'])
})

function tokens(held: Map<string, string>): { ownToken: OwnToken; asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    ownToken: ({ name }, provider, { fresh }) => {
      asked.push(`${name} ${provider}${fresh ? ' fresh' : ''}`)
      const token = held.get(name)
      return Promise.resolve(fresh && token !== undefined ? `${token}-fresh` : token)
    },
  }
}

const own = { own: { provider: 'facility', plugin: 'oidc' } }

test("icat: asked with the person's own token, under the name that ICAT gives; whoever has none is asked for by the reader", async (t) => {
  const held = new Map([['ada', 'jwt-of-ada']])
  const { ownToken } = tokens(held)
  const { catalogue, add, service, logged } = await subject(t, 'icat', own, { ownToken })
  add(...three)
  const icat = service as FakeIcat
  // In ICAT this person is somebody whom no rule about names would find.
  icat.tokens.set('jwt-of-ada', 'ldap/marie')
  t.deepEqual(idsOf((await catalogue.proposals(user('ada'), all, signal)).items), ['p3', 'p1'])
  t.deepEqual(idsOf(await catalogue.entitled(user('ada'), ['p1', 'p2'], signal)), ['p1'])
  t.deepEqual(idsOf((await catalogue.proposals(user('marie'), all, signal)).items), ['p3', 'p1'], 'by the reader')
  const logins = icat.requests.filter(({ method }) => method === 'POST').map(({ body }) => body)
  t.is(logins.length, 2)
  t.true(logins[0]?.includes('jwt-of-ada'))
  t.false(
    icat.requests.some(({ url }) => url.href.includes('jwt-of')),
    'a token is in no address',
  )
  // The login is over: nothing that it opened is used any more.
  held.clear()
  t.deepEqual(idsOf((await catalogue.proposals(user('ada'), all, signal)).items), ['p3', 'p2'])
  t.deepEqual(logged, [])
})

test('icat: a token that is refused is refreshed once, and no token is ever said', async (t) => {
  const { ownToken, asked } = tokens(new Map([['ada', 'jwt-of-ada']]))
  const { catalogue, add, service } = await subject(t, 'icat', own, { ownToken })
  add(...three)
  const icat = service as FakeIcat
  icat.tokens.set('jwt-of-ada-fresh', 'ldap/ada')
  t.deepEqual(idsOf((await catalogue.proposals(user('ada'), all, signal)).items), ['p3', 'p2'])
  t.is(asked.filter((each) => each.endsWith('fresh')).length, 1)
  icat.tokens.clear()
  icat.forgetSessions()
  const refused = await t.throwsAsync(catalogue.entitled(user('ada'), ['p3'], signal), { instanceOf: Problem })
  t.is(refused.type, 'catalogueUnreachable')
  t.regex(JSON.stringify(whole(refused)), /the token of ada is refused \(403\)/)
  t.false(JSON.stringify(whole(refused)).includes('jwt-of'))
})

test('icat: without a reader, whoever has no login there is told what to do', async (t) => {
  const { ownToken } = tokens(new Map())
  const { catalogue } = await subject(t, 'icat', { ...own, reader: undefined }, { ownToken })
  const refused = await t.throwsAsync(catalogue.proposals(user('ada'), all, signal), { instanceOf: Problem })
  t.regex(refused.detail, /Log out, and log in with the facility's account/)
})
