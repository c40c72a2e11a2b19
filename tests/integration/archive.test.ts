/** Archived data: shown as such, asked for, launched with where they were restored to, and never from anywhere else. */
import { mkdir, realpath, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { configurationSchema } from '../../config/schema.ts'
import { createArchive } from '../../hub/archive/index.ts'
import { createAsk } from '../../hub/catalogue/ask.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Dataset } from '../../hub/domain/services.ts'
import { deriveMounts } from '../../hub/launch/mounts.ts'
import { mountVolumes } from '../../spawners/kubernetes/volumes.ts'
import { findMounts } from '../../spawners/local/mounts.ts'
import { type EnvironmentSpec, LaunchRefused, type Mount } from '../../spawners/spawner.ts'
import { ask } from '../support/ask.ts'
import { type FakeArchive, fakeArchive } from '../support/fakeArchive.ts'
import { fakeHub } from '../support/fakeHub.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'

const signal = AbortSignal.timeout(170_000)
const token = 'swordfish-0123456789'
const user = { id: 'u-ada', name: 'ada', title: 'Ada', admin: false }
const dataset: Dataset = { id: '20.500/a', proposal: 'p1', name: 'scan 1', folder: '/raw/p1/s1', archived: true }

async function archiveWith(t: ExecutionContext, more: object = {}) {
  const service = await fakeArchive(t, token)
  const tokenFile = join(await temporaryFolder(t), 'token')
  await writeFile(tokenFile, token, { mode: 0o600 })
  const written = { hook: { url: service.url, tokenFile }, roots: ['/restored', 'nas:/restored'], ...more }
  const configuration = configurationSchema.shape.archive.parse(written)
  const archive = createArchive({
    configuration,
    ask: createAsk({ fetch, deadlineMs: 60_000 }),
    contact: 'the data group',
    log: quietLog,
  })
  return { archive, service, configuration }
}

test('asked for, on its way, there: as the archive says each time, and nothing is kept here', async (t) => {
  const { archive, service } = await archiveWith(t)
  const state = async () => (await archive.states(user, [dataset], signal)).get(dataset.id)
  t.is(await state(), undefined, 'what it says nothing of is archived')
  const early = await t.throwsAsync(archive.place(user, dataset, undefined, signal), { instanceOf: Problem })
  t.regex(early.detail, /scan 1 lies in the archive: request it back on its proposal's page first/)

  t.deepEqual(await archive.request(user, dataset, signal), { is: 'restoring', message: 'Tape 4711' })
  t.deepEqual(await archive.request(user, dataset, signal), { is: 'restoring', message: 'Tape 4711' }, 'twice is once')
  const asked = JSON.parse(service.requests.at(-1)?.body ?? '') as object
  t.deepEqual(asked, { user: 'ada', proposal: 'p1', dataset: dataset.id, name: 'scan 1', folder: '/raw/p1/s1' })
  const waiting = await t.throwsAsync(archive.place(user, dataset, undefined, signal), { instanceOf: Problem })
  t.regex(waiting.detail, /is being brought back/)

  service.items.set(dataset.id, { dataset: dataset.id, state: 'restored', path: '/restored/p1/s1' })
  const place = { source: { kind: 'host', path: '/restored/p1/s1' }, root: '/restored', vouched: true } as const
  t.deepEqual(await archive.place(user, dataset, undefined, signal), place)
  t.false(service.requests.some(({ url }) => url.href.includes(token)))
})

const lies: readonly (readonly [what: string, path: unknown])[] = [
  ['elsewhere', '/etc'],
  ['the root itself', '/restored'],
  ['a neighbour of the root', '/restored2/p1'],
  ['out of the root', '/restored/../etc'],
  ['nowhere', undefined],
  ['relative', 'restored/p1'],
  ['another server', 'other:/restored/p1'],
  ['with a line break', '/restored/p1\n/etc'],
]
for (const [what, path] of lies) {
  test(`an archive that lies: restored ${what}: refused in words`, async (t) => {
    const { archive, service } = await archiveWith(t)
    service.items.set(dataset.id, { dataset: dataset.id, state: 'restored', path })
    const refused = await t.throwsAsync(archive.place(user, dataset, undefined, signal), { instanceOf: Problem })
    t.regex(refused.detail, /restored to a place that is not allowed here\. Ask the data group/)
  })
}

const faults: readonly (readonly [what: string, fault: NonNullable<FakeArchive['fault']>])[] = [
  ['is down', (_request, response) => (response.destroy(), true)],
  ['fails', (_request, response) => (response.writeHead(500).end(), true)],
  ['answers a page', (_request, response) => (response.end('<html>'), true)],
  ['answers wrong types', (_request, response) => (response.end('{"items":[{"dataset":7}],"state":true}'), true)],
  ['leads elsewhere', (_request, response) => (response.writeHead(302, { location: '/x' }).end(), true)],
]
for (const [what, fault] of faults) {
  test(`an archive that ${what}: said, and nothing is launched`, async (t) => {
    const { archive, service } = await archiveWith(t)
    service.fault = fault
    for (const work of [
      () => archive.states(user, [dataset], signal),
      () => archive.request(user, dataset, signal),
      () => archive.place(user, dataset, undefined, signal),
    ]) {
      t.is((await t.throwsAsync<Problem>(work, { instanceOf: Problem })).type, 'archiveUnreachable')
    }
  })
}

test('a folder of one’s own choice: where that is allowed, beneath the roots alone', async (t) => {
  const { archive } = await archiveWith(t, { picks: true })
  const place = await archive.place(user, dataset, 'nas:/restored/p1', signal)
  t.deepEqual(place, {
    source: { kind: 'nfs', server: 'nas', path: '/restored/p1' },
    root: '/restored',
    vouched: false,
  })
  for (const picked of ['/etc', '/restored/../etc', 'nas:/', '/restored', 'x', '']) {
    const refused = await t.throwsAsync(archive.place(user, dataset, picked, signal), { instanceOf: Problem }, picked)
    t.regex(refused.detail, /write a folder beneath \/restored or nas:\/restored/)
  }
  const closed = (await archiveWith(t)).archive
  await t.throwsAsync(closed.place(user, dataset, '/restored/p1', signal), { message: /not be taken|can not be taken/ })
})

test('without an archive, whom to ask is said', async (t) => {
  const archive = createArchive({
    configuration: undefined,
    ask: () => Promise.reject(new Error('nobody')),
    contact: 'us',
    log: quietLog,
  })
  t.deepEqual(await archive.states(user, [dataset], signal), new Map())
  await t.throwsAsync(archive.place(user, dataset, undefined, signal), {
    message: /lies in the archive\. Ask us for it/,
  })
  await t.throwsAsync(archive.request(user, dataset, signal), { instanceOf: Problem, message: /brought back by us/ })
})

test('what was restored is mounted as the archive’s own, and not by the rules of datasets', async (t) => {
  const { configuration } = await archiveWith(t)
  const rules = configurationSchema.shape.mounts.parse([
    { name: 'scan', for: 'dataset', source: '{folder}', target: '/data/{dataset}', allowedRoots: ['/raw'] },
  ])
  const online = { id: 'b', proposal: 'p1', name: 'scan 2', folder: '/raw/p1/s2' }
  const mounts = deriveMounts({
    rules,
    account: { name: 'ada', uid: 12_001, gid: 12_001, groups: [], home: '/home/ada', shell: '/bin/sh' },
    homeSource: '/homes/ada',
    proposals: [{ id: 'p1', title: 'T', instrument: 'I', fields: {} }],
    datasets: [dataset, online],
    restored: new Map([
      [dataset.id, { source: { kind: 'host', path: '/restored/x' }, root: '/restored', vouched: true }],
    ]),
    archive: configuration,
    stateFolder: '/var/lib/hutch',
  })
  t.deepEqual(
    mounts.map(({ mount: { source, target, ...rest } }) => [
      source.path,
      target,
      rest.readOnly,
      rest.beneath,
      rest.vouched,
    ]),
    [
      ['/homes/ada', '/home/ada', false, undefined, undefined],
      ['/raw/p1/s2', '/data/scan 2', true, undefined, undefined],
      ['/restored/x', '/restored/p1/scan 1', true, '/restored', true],
    ],
  )
})

test('a link on the way is refused where it is mounted: on this machine, and by the kubelet', async (t) => {
  const folder = await realpath(await temporaryFolder(t))
  const stateFolder = join(folder, 'state')
  const root = join(folder, 'restored')
  await mkdir(join(root, 'p1/scan'), { recursive: true })
  await mkdir(join(folder, 'secret/scan'), { recursive: true })
  await mkdir(stateFolder)
  await symlink(join(folder, 'secret'), join(root, 'out'))
  await symlink('p1', join(root, 'inside'))
  await symlink(root, join(folder, 'named'))
  const found = async (path: string, beneath: string | undefined = root, nfs = {}) => {
    const source: Mount['source'] = { kind: 'host', path }
    const mount = { name: 'scan', source, target: '/restored/scan', readOnly: true, ...(beneath && { beneath }) }
    return (await findMounts({ config: { nfs }, context: { stateFolder } }, [mount]))[0]?.source
  }
  t.is(await found(join(root, 'p1/scan')), join(root, 'p1/scan'))
  t.is(
    await found(join(folder, 'named/p1/scan'), join(folder, 'named')),
    join(root, 'p1/scan'),
    'the root may be a link',
  )
  for (const path of ['out/scan', 'out', 'inside/scan']) {
    await t.throwsAsync(found(join(root, path)), { instanceOf: LaunchRefused, message: /a link in .* leads elsewhere/ })
  }
  t.is(
    await found(join(root, 'out/scan'), ''),
    join(folder, 'secret/scan'),
    'rules of the configuration may go by links',
  )

  const mount: Mount = {
    name: 'scan',
    source: { kind: 'host', path: '/restored/p1/scan' },
    target: '/restored/scan',
    readOnly: true,
    beneath: '/restored',
  }
  const config = { hostPathRoots: ['/restored'], exports: {}, homeClaim: undefined }
  const volumesOf = (each: Mount, exports = {}) =>
    mountVolumes({ mounts: [each], account: { home: '/home/ada' } } as unknown as EnvironmentSpec, {
      ...config,
      exports,
    })
  const { volumes, volumeMounts } = volumesOf(mount)
  t.deepEqual(volumes[0]?.hostPath, { path: '/restored', type: 'Directory' })
  t.is(volumeMounts[0]?.subPath, 'p1/scan')
  const words = { instanceOf: LaunchRefused, message: /can't tell whether a link on a file server leads elsewhere/ }
  t.throws(() => volumesOf({ ...mount, source: { kind: 'nfs', server: 'nas', path: '/restored/p1/scan' } }), words)
  t.throws(() => volumesOf(mount, { '/restored': 'nas:/restored' }), words)
  // What the archive itself named is mounted from the file server, as a volume of its own.
  const exported = { nfs: { server: 'nas', path: '/restored/p1/scan', readOnly: true } }
  for (const made of [
    volumesOf({ ...mount, vouched: true, source: { kind: 'nfs', server: 'nas', path: '/restored/p1/scan' } }),
    volumesOf({ ...mount, vouched: true }, { '/restored': 'nas:/restored' }),
  ]) {
    t.like(made.volumes[0], exported)
    t.is(made.volumeMounts[0]?.subPath, undefined)
    t.like(made.volumeMounts[0], { mountPath: '/restored/scan', readOnly: true })
  }
})

test('the page of a proposal: archived ones are said to be, asked for with a button, and the form comes back', async (t) => {
  const { archive, service } = await archiveWith(t, { picks: true })
  const roots = { archive: { roots: ['/restored'], picks: true } }
  const hub = await fakeHub(t, roots, { archive })
  const id = hub.datasets.find((each) => each.archived)?.id ?? ''
  const page = async () => (await ask(hub, { as: 'alice', path: '/hub/proposals/20261042' })).text
  t.regex(await page(), /In the archive[\s\S]*Request it back/)
  const fields = { restore: id, find: '', profile: 'notebook', 'flavour:notebook': 'large', title: 'First look' }
  const request = (as: string) =>
    ask(hub, {
      as,
      method: 'POST',
      path: '/hub/proposals/20261042/restore',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(fields).toString(),
    })
  t.is((await request('bob')).status, 403)
  t.is(service.items.size, 0)
  const answer = await request('alice')
  t.is(answer.status, 303)
  t.regex(
    answer.headers.location ?? '',
    /^\/hub\/proposals\/20261042\?profile=notebook&flavour=large&title=First\+look/,
  )
  t.true(hub.audit.entries.some(({ did, what }) => did === 'dataset.requested' && what === `20261042/${id}`))
  t.regex(await page(), /Being restored[\s\S]*Tape 4711/)
  service.items.set(id, { dataset: id, state: 'restored', path: '/restored/x' })
  t.regex(await page(), />Restored</)
  service.fault = (_question, response) => (response.destroy(), true)
  t.regex(await page(), /The archive does not answer just now[\s\S]*In the archive/)
})

test('the API: states are read and data asked for by programs, with the token of a member and its scopes', async (t) => {
  const { archive, service } = await archiveWith(t)
  const hub = await fakeHub(t, { archive: { roots: ['/restored'] } }, { archive })
  const archived = hub.datasets.filter((each) => each.archived)
  const [first, online] = [archived[0], hub.datasets.find((each) => each.archived !== true)]
  if (first === undefined || online === undefined) return t.fail()
  const path = '/hub/api/v1/proposals/20261042/restores'
  const read = async (query: string, as = 'alice') => {
    const answer = await ask(hub, { as, path: path + query })
    return { status: answer.status, body: JSON.parse(answer.text) as Record<string, unknown> }
  }
  const request = async (body: object, as = 'alice', token?: string) => {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
    const who = token === undefined ? { as } : {}
    const answer = await ask(hub, { ...who, method: 'POST', path, headers, body: JSON.stringify(body) })
    return { status: answer.status, body: JSON.parse(answer.text) as Record<string, unknown> }
  }
  const one = `?dataset=${encodeURIComponent(first.id)}`
  const begun = { dataset: first.id, name: first.name }
  const listed = await read('?limit=100')
  t.like(listed, { status: 200, body: { offset: 0, limit: 100 } })
  t.deepEqual((listed.body['items'] as { dataset: string }[])[0], { ...begun, state: 'archived' })
  t.deepEqual((await read(one)).body['items'], [{ ...begun, state: 'archived' }])
  t.deepEqual((await read(`?dataset=${encodeURIComponent(online.id)}`)).body['items'], [
    { dataset: online.id, name: online.name, state: 'online' },
  ])

  const asked = await request({ dataset: first.id })
  t.deepEqual(asked, { status: 202, body: { ...begun, state: 'restoring', message: 'Tape 4711' } })
  t.true(hub.audit.entries.some(({ did, what }) => did === 'dataset.requested' && what === '20261042'))
  service.items.set(first.id, { dataset: first.id, state: 'restored', path: 'nas:/restored/x' })
  t.deepEqual((await read(one)).body['items'], [{ ...begun, state: 'restored', path: 'nas:/restored/x' }])
  service.items.set(first.id, { dataset: first.id, state: 'restored', path: '/etc' })
  t.like((await read(one)).body['items'], { 0: { state: 'refused' } })

  const before = service.requests.length
  const refused = [
    [await request({ dataset: online.id }), 409, undefined],
    [await request({ dataset: 'nothing' }), 404, undefined],
    [await request({}), 400, 'dataset'],
    [await request({ dataset: 7 }), 400, 'dataset'],
    [await request({ dataset: first.id, path: '/etc' }), 400, undefined],
    [await request({ dataset: first.id }, 'bob'), 403, undefined],
    [await read(one, 'bob'), 403, undefined],
    [await read('?limit=1000'), 400, 'limit'],
  ] as const
  for (const [{ status, body }, wanted, field] of refused) {
    t.is(status, wanted, JSON.stringify(body))
    if (field !== undefined) t.is(body['field'], field)
  }
  hub.tokens.set('looker', { user: 'alice', scopes: ['read:servers'] })
  t.is((await request({ dataset: first.id }, '', 'looker')).status, 403, 'to look is not to ask')
  t.is(service.requests.length, before, 'of none of these the archive heard')
  service.fault = (_question, response) => (response.destroy(), true)
  t.is((await read(one)).status, 503)
})
