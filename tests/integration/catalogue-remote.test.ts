/** Catalogues that other services keep: the same laws for each, against servers that answer as documented. */
import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import test from 'ava'
import { configurationSchema } from '../../config/schema.ts'
import { createCatalogue } from '../../hub/catalogue/index.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { User } from '../../hub/domain/services.ts'
import type { Log } from '../../spawners/spawner.ts'
import { all, idsOf, secret, services, subject, three, user, whole } from '../support/catalogueSubject.ts'
import type { FakeIcat } from '../support/fakeIcat.ts'
import { fakeSciCat } from '../support/fakeSciCat.ts'
import type { FakeRequest } from '../support/fakeService.ts'
import { pyscicat } from '../support/pyscicat.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { unasked } from '../support/unasked.ts'

const signal = AbortSignal.timeout(170_000)

for (const type of Object.keys(services)) {
  test(`${type}: each person has their own, newest first, found by words, in pages, entitled live`, async (t) => {
    const { catalogue, add, service, logged } = await subject(t, type)
    add(...three)
    const fieldsOf = (name: string) => (type === 'icat' ? { name, visit: 'v1', session: 'v1' } : {})
    const listed = await catalogue.proposals(user('ada'), all, signal)
    t.deepEqual(listed, {
      items: [
        {
          id: 'p3',
          title: 'Micelles (heavy water)',
          instrument: 'LOQ',
          startsAt: new Date('2026-03-10T08:00:00Z'),
          fields: fieldsOf('p3'),
        },
        {
          id: 'p2',
          title: 'Welded plates',
          instrument: 'ENGIN-X',
          startsAt: new Date('2025-03-10T08:00:00Z'),
          fields: fieldsOf('p2'),
        },
      ],
      total: 2,
    })
    const find = async (search: string) =>
      idsOf((await catalogue.proposals(user('ada'), { ...all, search }, signal)).items)
    t.deepEqual(await find('HEAVY loq'), ['p3'])
    t.deepEqual(await find('(heavy'), ['p3'])
    t.deepEqual(await find('.*'), [])
    t.deepEqual(await find('layers'), [])
    t.deepEqual(
      await catalogue
        .proposals(user('marie'), { offset: 1, limit: 1 }, signal)
        .then(({ items, total }) => [idsOf(items), total]),
      [['p1'], 2],
    )
    t.deepEqual((await catalogue.proposals(user('mallory'), all, signal)).total, 0)

    const entitled = async (name: string, ids: readonly string[]) =>
      idsOf(await catalogue.entitled(user(name), ids, signal)).toSorted()
    t.deepEqual(await entitled('ada', ['p1', 'p2', 'p3']), ['p2', 'p3'])
    t.deepEqual(await entitled('mallory', ['p1', 'p2', 'p3']), [])
    const asked = service.requests.length
    t.deepEqual(await entitled('ada', ['../../etc', 'p2/../p1', '', '$ne']), [])
    t.is(service.requests.length, asked, 'what can be no id is not asked for')
    t.deepEqual(logged, [])
  })

  test(`${type}: a catalogue that lies: what can't be a proposal is left out, what is odd is put right`, async (t) => {
    const { catalogue, add, logged } = await subject(t, type)
    const members = ['ada']
    add(
      { id: '../../etc', title: 'up', members },
      { id: 42, title: 'a number', members },
      { id: 'p5', title: { no: 'text' }, members },
      { id: 'p4', title: 'line\nbreak\u202E', startsAt: '9999-12-31T00:00:00Z', members },
      { id: 'twin', title: 'first', startsAt: '2020-01-01', members },
      { id: 'twin', title: 'second', startsAt: '2019-01-01', members },
    )
    const { items } = await catalogue.proposals(user('ada'), all, signal)
    t.deepEqual(
      items.map(({ id, title, startsAt }) => [id, title, startsAt]),
      [
        ['p4', 'line break', undefined],
        ['twin', 'first', new Date('2020-01-01T00:00:00Z')],
      ],
    )
    t.deepEqual(idsOf(await catalogue.entitled(user('ada'), ['p4'], signal)), ['p4'])
    const twin = await t.throwsAsync(catalogue.entitled(user('ada'), ['twin'], signal), { instanceOf: Problem })
    t.regex(twin.detail, /several proposals named twin.*Ask the user office/)
    t.true(logged.some((line) => line.includes('"rows":3')))
  })

  const faults: readonly (readonly [
    what: string,
    fault: (response: ServerResponse, request: FakeRequest) => void,
    attempts: number,
  ])[] = [
    ['closes the connection', (response) => response.destroy(), 3],
    ['is overloaded', (response) => response.writeHead(503).end('<html>'), 3],
    ['fails', (response) => response.writeHead(500).end('<html>'), 1],
    ['leads elsewhere', leadingTo(type === 'http' ? '{"items":[],"total":0}' : '[]'), 3],
    ['forbids', (response) => response.writeHead(403).end('{}'), 1],
    ['answers a page', (response) => response.writeHead(200).end('<html>hello'), 1],
    ['answers something else', (response) => response.writeHead(200).end('{"rows":"many"}'), 1],
    ['answers endlessly', endless, 1],
  ]
  test(`${type}: whatever is wrong with it, lists are shown with their age and launches are refused in words`, async (t) => {
    const { catalogue, service, clock, logged, add } = await subject(t, type)
    add(...three)
    const before = await catalogue.proposals(user('ada'), all, signal)
    for (const [what, fault, attempts] of faults) {
      clock.at += 60_000
      await catalogue.proposals(user('ada'), all, signal)
      const asOf = new Date(clock.at)
      clock.at += 60_000
      service.fault = (request, response) => {
        fault(response, request)
        return true
      }
      service.requests.length = 0
      t.deepEqual(await catalogue.proposals(user('ada'), all, signal), { ...before, asOf }, what)
      t.true(service.requests.length <= attempts, `${what}: ${service.requests.length} attempts`)
      const asked = service.requests.length
      t.deepEqual(await catalogue.proposals(user('ada'), all, signal), { ...before, asOf }, what)
      t.is(service.requests.length, asked, `${what}: it is not asked again at once`)

      const refused = await t.throwsAsync(
        catalogue.entitled(user('ada'), ['p3'], signal),
        { instanceOf: Problem },
        what,
      )
      t.is(refused.status, 503)
      t.regex(refused.detail, /does not answer, so nobody can say which are open to you now\. Try again/)
      const unseen = catalogue.proposals(user('ada'), { ...all, search: 'unseen' }, signal)
      t.is((await t.throwsAsync(unseen, { instanceOf: Problem })).type, 'catalogueUnreachable', what)
      service.fault = undefined
    }
    clock.at += 60_000
    t.deepEqual(await catalogue.proposals(user('ada'), all, signal), before, 'no age when it answers')
    t.false(logged.join('\n').includes(secret))
  })

  test(`${type}: one that never ends its answer, or says nothing, is not waited for`, async (t) => {
    // Nothing here needs an answer in time, so the deadline may be short on the slowest machine.
    const { catalogue, service } = await subject(t, type, { timeout: '300ms' })
    for (const fault of [(response: ServerResponse) => response.writeHead(200).write('['), () => undefined]) {
      service.fault = (_request, response) => {
        fault(response)
        return true
      }
      const refused = catalogue.entitled(user('ada'), ['p3'], signal)
      t.is((await t.throwsAsync(refused, { instanceOf: Problem })).type, 'catalogueUnreachable')
      const list = catalogue.proposals(user('ada'), all, signal)
      t.is((await t.throwsAsync(list, { instanceOf: Problem })).type, 'catalogueUnreachable')
    }
  })

  test(`${type}: what passes by itself is tried again`, async (t) => {
    const { catalogue, service, add } = await subject(t, type)
    add(...three)
    await catalogue.proposals(user('ada'), all, signal)
    let left = 2
    service.fault = (_request, response) => {
      if (left === 0) return undefined
      left -= 1
      response.writeHead(503).end()
      return true
    }
    t.deepEqual(idsOf(await catalogue.entitled(user('ada'), ['p3'], signal)), ['p3'])
  })

  test(`${type}: 100,000 proposals: a page is asked for, and no more is taken than was asked`, async (t) => {
    const { catalogue, service, add } = await subject(t, type)
    const members = ['ada']
    const day = (at: number) => new Date(Date.UTC(2020, 0, 1) + at * 60_000).toISOString()
    add(
      ...Array.from({ length: 100_000 }, (_, at) => ({
        id: `p${at}`,
        title: 'T',
        instrument: 'I',
        startsAt: day(100_000 - at),
        members,
      })),
    )
    const page = await catalogue.proposals(user('ada'), { offset: 300, limit: 20 }, signal)
    t.is(page.total, 100_000)
    t.deepEqual([page.items.length, page.items[0]?.id], [20, 'p300'])
    const many = Array.from({ length: 20_000 }, (_, at) => ({ id: `q${at}`, proposalId: `q${at}`, title: 'T' }))
    const flood = {
      http: { items: many, total: many.length },
      scicat: many,
      icat: many.map(({ id: name, title }) => ({ Investigation: { id: 1, name, title } })),
    }[type]
    service.fault = ({ url }, response) => {
      if (url.search.includes('COUNT')) return undefined
      response.end(JSON.stringify(flood))
      return true
    }
    t.is((await catalogue.proposals(user('ada'), { offset: 0, limit: 20 }, signal)).items.length, 20)
  })
}

/** To where whoever follows would be told that there is nothing. */
function leadingTo(nothing: string) {
  return (response: ServerResponse, { url }: FakeRequest): void => {
    if (url.pathname === '/elsewhere') response.end(nothing)
    else response.writeHead(302, { location: '/elsewhere' }).end()
  }
}

function endless(response: ServerResponse): void {
  response.writeHead(200)
  const block = Buffer.alloc(256 * 1024, '[')
  const more = (): void => {
    while (!response.destroyed && response.write(block));
  }
  response.on('drain', more)
  more()
}

test('http: what the service adds to a proposal is taken, and what is no field is not', async (t) => {
  const { catalogue, add } = await subject(t, 'http')
  const rich = {
    technique: 'SANS',
    endsAt: '2026-03-12T08:00:00+01:00',
    fields: { session: '20260310', hours: 24, 'Bad Name': 'x', deep: { a: 1 }, newline: 'a\nb' },
    origin: 'measured',
    notebook: '../../etc/passwd',
    secret: 'not ours',
  }
  add({ id: 'p1', title: 'T', instrument: 'LOQ', startsAt: '2026-03-10', members: ['ada'], ...rich })
  t.deepEqual(await catalogue.entitled(user('ada'), ['p1'], signal), [
    {
      id: 'p1',
      title: 'T',
      instrument: 'LOQ',
      technique: 'SANS',
      startsAt: new Date('2026-03-10T00:00:00Z'),
      endsAt: new Date('2026-03-12T07:00:00Z'),
      fields: { session: '20260310', hours: '24' },
      origin: 'measured',
    },
  ])
})

for (const type of ['scicat', 'icat']) {
  test(`${type}: one login for many questions, and another when it does not count any more`, async (t) => {
    const { catalogue, service, add, logged } = await subject(t, type)
    add(...three)
    const logins = () => service.requests.filter(({ method }) => method === 'POST').length
    const ids = ['p1', 'p2', 'p3']
    await Promise.all(ids.map((id) => catalogue.entitled(user('ada'), [id], signal)))
    await catalogue.proposals(user('ada'), all, signal)
    t.is(logins(), 1)
    const forgetful = service as Partial<Record<'forgetTokens' | 'forgetSessions', () => void>>
    forgetful.forgetTokens?.()
    forgetful.forgetSessions?.()
    const found = await Promise.all(ids.map((id) => catalogue.entitled(user('ada'), [id], signal)))
    t.deepEqual(idsOf(found.flat()), ['p2', 'p3'])
    t.is(logins(), 2)
    t.false(
      service.requests.some(({ url }) => url.href.includes(secret)),
      'the password is in no address',
    )
    t.deepEqual(logged, [])
  })

  test(`${type}: a login that is refused is for the log, without the password`, async (t) => {
    const { catalogue, service, logged } = await subject(t, type)
    service.fault = ({ method }, response) => {
      if (method === 'POST') response.writeHead(403).end(`{"code":"SESSION","message":"${secret}"}`)
      return method === 'POST' ? true : undefined
    }
    const refused = await t.throwsAsync(catalogue.entitled(user('ada'), ['p3'], signal), { instanceOf: Problem })
    t.regex(JSON.stringify(whole(refused)), /the reader is refused \(403\)/)
    t.false(JSON.stringify([whole(refused), logged]).includes(secret))
  })
}

test('icat: the session, which is in addresses, is in no error and no log', async (t) => {
  const { catalogue, service, clock, logged, add } = await subject(t, 'icat')
  add(...three)
  await catalogue.proposals(user('ada'), all, signal)
  clock.at += 60_000
  service.fault = ({ url }, response) => {
    response.writeHead(400).end(JSON.stringify({ code: 'BAD_PARAMETER', message: `${url.href} is wrong` }))
    return true
  }
  await catalogue.proposals(user('ada'), all, signal)
  const refused = await t.throwsAsync(catalogue.entitled(user('ada'), ['p3'], signal), { instanceOf: Problem })
  const said = JSON.stringify([whole(refused), logged])
  t.regex(said, /answered 400 BAD_PARAMETER/)
  t.false(said.includes('icat-session-') || said.includes('sessionId') || said.includes('SELECT'))
})

const injections = [
  "' OR '1'='1",
  "'' OR u.name LIKE '%",
  "%' OR i.name LIKE '%",
  '\\',
  "\\' OR 1=1",
  ':user',
  '(SELECT',
  'ⓧ\u2019',
  '🦆',
]
for (const text of injections) {
  test(`icat: nothing in a search, a name or an id becomes part of the query: ${text}`, async (t) => {
    const { catalogue, service, add } = await subject(t, 'icat')
    add({ id: 'p1', title: "Layers of D'Alembert", instrument: 'D17', members: ['marie'] })
    const search = { ...all, search: text }
    t.deepEqual((await catalogue.proposals(user('ada'), search, signal)).items, [])
    t.deepEqual((await catalogue.proposals(user('marie'), search, signal)).items, [])
    const asked = service.requests.length
    t.deepEqual((await catalogue.proposals(user(`marie${text}`), all, signal)).items, [])
    t.deepEqual(await catalogue.entitled(user('marie'), [text], signal), [])
    t.is(service.requests.length, asked)
    t.deepEqual(idsOf((await catalogue.proposals(user('marie'), { ...all, search: "d'alem" }, signal)).items), ['p1'])
  })
}

test('icat: techniques are those of the datasets, or a parameter: shown, found by words, and fit for rules', async (t) => {
  const { catalogue, service, add, addDatasets } = await subject(t, 'icat', { technique: { from: 'datasets' } })
  const icat = service as FakeIcat
  add(...three)
  addDatasets('p3', { id: 1, name: 'run1' }, { id: 2, name: 'run2' }, { id: 3, name: 'dark' })
  const technique = (...names: string[]) => ({ datasetTechniques: names.map((name) => ({ technique: { name } })) })
  for (const [index, names] of [['SANS'], ['imaging', 'SANS']].entries()) {
    Object.assign(icat.datasets[index] ?? {}, technique(...names))
  }
  const find = async (search?: string) =>
    (await catalogue.proposals(user('ada'), { ...all, ...(search && { search }) }, signal)).items
  t.deepEqual(
    (await find()).map(({ id, technique: known }) => [id, known]),
    [
      ['p3', 'SANS; imaging'],
      ['p2', undefined],
    ],
  )
  t.deepEqual(idsOf(await find('imag')), ['p3'])
  t.deepEqual(idsOf(await find('reflectometry')), [])
  t.deepEqual(idsOf(await find('welded')), ['p2'], 'what has none is found by other words')
  t.is((await catalogue.entitled(user('ada'), ['p3'], signal))[0]?.technique, 'SANS; imaging')
  const { items } = await catalogue.datasets(user('ada'), 'p3', all, signal)
  t.deepEqual(Object.fromEntries(items.map(({ name, technique: known }) => [name, known])), {
    run1: 'SANS',
    run2: 'SANS; imaging',
    dark: undefined,
  })

  const kept = await subject(t, 'icat', { technique: { from: 'parameter', name: 'method' } })
  kept.add(...three)
  const [p3, p2] = (kept.service as FakeIcat).investigations
  Object.assign(p3 ?? {}, { parameters: [{ type: { name: 'method' }, stringValue: 'NR' }] })
  Object.assign(p2 ?? {}, { parameters: [{ type: { name: 'title' }, stringValue: 'NR' }] })
  const found = await kept.catalogue.proposals(user('ada'), { ...all, search: 'nr' }, signal)
  t.deepEqual(
    found.items.map(({ id, technique: known }) => [id, known]),
    [['p3', 'NR']],
  )
})

test('icat: by number where several visits have one name, and scientists of an instrument where that is wanted', async (t) => {
  const { catalogue, add } = await subject(t, 'icat', { proposalId: 'id', instrumentScientists: true })
  add(...three, { id: 'p3', title: 'Second visit', instrument: 'LOQ', startsAt: '2027-01-01', members: ['ada'] })
  const { items } = await catalogue.proposals(user('ada'), all, signal)
  t.deepEqual(
    items.map(({ id, fields }) => [id, fields['name']]),
    [
      ['4', 'p3'],
      ['1', 'p3'],
      ['2', 'p2'],
    ],
  )
  t.deepEqual(idsOf(await catalogue.entitled(user('ada'), ['1', '3', 'p3', '1 OR 1=1'], signal)), ['1'])
  t.is((await catalogue.proposals(user('grace'), all, signal)).total, 4)
  const { catalogue: strict, add: again } = await subject(t, 'icat')
  again(...three)
  t.is((await strict.proposals(user('grace'), all, signal)).total, 0)
})

const create = `
import sys
from pyscicat.client import from_credentials
from pyscicat.model import Proposal
client = from_credentials(sys.argv[1], 'writer', 'letmein')
made = client.proposals_create(Proposal(proposalId='2026-7', title='Made by pyscicat', email='a@example.org',
  ownerGroup='ada-group', accessGroups=[], startTime='2026-03-10T08:00:00.000Z'))
assert made == '2026-7'
assert client.proposals_get_one('2026-7')['title'] == 'Made by pyscicat'
print([each['pid'] for each in client.datasets_find(skip=0, limit=1, query_fields={'proposalId': '2026-7'})])
print([each['pid'] for each in client.datasets_get_many({'proposalId': '2026-7'})])
print(client.datasets_get_one('20.500/b')['sourceFolder'])
`

test('scicat: its own published client finds the fake faithful, and we read what it wrote', async (t) => {
  const client = await pyscicat(t)
  if (client === undefined) return
  const accounts = {
    writer: { password: 'letmein', groups: 'all' },
    hutch: { password: secret, groups: 'all' },
  } as const
  const service = await fakeSciCat(t, { accounts, counts: false })
  for (const pid of ['20.500/a', '20.500/b']) {
    service.datasets.push({
      pid,
      proposalId: '2026-7',
      sourceFolder: `/data/${pid}`,
      creationTime: pid,
      ownerGroup: 'x',
    })
  }
  t.is(await client(create, [service.url]), "['20.500/b']\n['20.500/a', '20.500/b']\n/data/20.500/b\n")

  const folder = await temporaryFolder(t)
  const passwordFile = join(folder, 'secret')
  await writeFile(passwordFile, secret, { mode: 0o600 })
  const log: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
  const groups = (person: User) => Promise.resolve([`${person.name}-group`])
  const written = { type: 'scicat', url: service.url, reader: { username: 'hutch', passwordFile } }
  const catalogue = await createCatalogue(configurationSchema.shape.catalogue.parse(written), {
    ...unasked,
    stateFolder: folder,
    groupsOf: { account: groups, login: groups },
    fetch,
    now: () => new Date(),
    log,
  })
  const page = await catalogue.proposals(user('ada'), { offset: 0, limit: 10 }, signal)
  t.deepEqual(idsOf(page.items), ['2026-7'])
  t.is((await catalogue.proposals(user('marie'), all, signal)).total, 0)
  service.proposals.push({ proposalId: '2026-8', title: 'Older', startTime: '2020-01-01', ownerGroup: 'ada-group' })
  const first = await catalogue.proposals(user('ada'), { offset: 0, limit: 1 }, signal)
  t.deepEqual([idsOf(first.items), first.total], [['2026-7'], 2], 'without counting there is one more at least')
})
