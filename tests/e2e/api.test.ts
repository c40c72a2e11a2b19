/** JupyterHub's API on a real hub behind a real proxy, on both databases; every answer is as its document says. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createApiClient, documentedOperations, type ApiClient } from '../support/api-client.ts'
import { startFakeBackend } from '../support/fakeBackend.ts'
import { fakeSite } from '../support/fakeSite.ts'
import { freePort, startHutch, type RunningHutch } from '../support/hutch.ts'
import { startPostgresServer } from '../support/postgres.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

interface Site {
  readonly hutch: RunningHutch
  /** As the service `root`, which may do everything. */
  readonly root: ApiClient
  /** As the service `watcher`, which may cull. */
  readonly watcher: ApiClient
  readonly ada: Scientist
}

const databases = ['sqlite', 'postgresql'] as const

async function site(t: ExecutionContext, type: (typeof databases)[number]): Promise<Site | undefined> {
  t.timeout(600_000, 'a database and a hub start')
  const password = randomBytes(18).toString('base64url')
  const server = type === 'sqlite' ? undefined : await startPostgresServer(t, password)
  if (type === 'postgresql' && server === undefined) return undefined
  const backend = await startFakeBackend()
  t.teardown(() => backend.close())
  const folder = await temporaryFolder(t)
  const tokens = { root: randomBytes(32).toString('hex'), watcher: randomBytes(32).toString('hex') }
  await mkdir(folder, { recursive: true })
  for (const [name, token] of Object.entries(tokens)) {
    await writeFile(join(folder, `${name}.token`), `${token}\n`)
    await chmod(join(folder, `${name}.token`), 0o600)
  }
  const port = await freePort()
  const publicUrl = `http://localhost:${port}`
  const args = await fakeSite({
    folder,
    backend: backend.url,
    ...(server && { database: server.tcp, password }),
    more: {
      services: {
        root: { apiTokenFile: 'root.token', admin: true, info: { purpose: 'tests' } },
        watcher: { apiTokenFile: 'watcher.token', url: 'http://127.0.0.1:9', display: false },
      },
      roles: {
        cull: {
          scopes: ['list:users', 'read:users:activity', 'read:servers', 'delete:servers'],
          services: ['watcher'],
        },
        'muon-contacts': { like: 'local-contact', of: ['muons'], groups: ['muon-staff'] },
      },
      groups: { muons: { users: ['bob'] }, 'muon-staff': { users: ['mia'] } },
      publicUrl,
      environments: { perUser: 20, outliveHub: true, hosts: '{user}.localhost' },
    },
  })
  const hutch = await startHutch(t, { state: join(folder, 'state'), args, port, publicUrl })
  const root = createApiClient(t, hutch.url, tokens.root)
  const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
  return { hutch, root, watcher: root.as(tokens.watcher), ada }
}

for (const database of databases) {
  test.serial(`the API on ${database}: users, servers, tokens, groups, roles, services`, async (t) => {
    const made = await site(t, database)
    if (made === undefined) return
    const { root, watcher } = made
    await users(t, made)
    await servers(t, made)
    await tokens(t, made)
    await groupsAndRoles(t, made)
    await rest(t, made)
    t.like((await watcher.ask('GET', '/user')).body, { kind: 'service', name: 'watcher', admin: false })
    t.is((await watcher.ask('POST', '/users', { usernames: ['eve'] })).status, 403)
    const documented = documentedOperations().flatMap((each) =>
      Object.keys(each.answers).map((status) => `${each.method} ${each.path} ${status}`),
    )
    const elsewhere = /oauth2|batchspawner|restores|\/servers?(?:\/\{server\})?(?:\/progress)? (?:204|200)/
    t.deepEqual(
      documented.filter((each) => !root.seen.has(each) && !elsewhere.test(each)),
      [],
      'every documented answer was seen',
    )
  })
}

async function users(t: ExecutionContext, { root, ada, hutch }: Site): Promise<void> {
  t.like((await root.as(undefined).ask('GET', '/')).body, { version: '6.1.1' })
  t.is((await root.as(undefined).ask('GET', '/users')).status, 403)
  t.is((await root.as('hutch_wrong').ask('GET', '/user')).status, 403, 'not 401')
  t.like((await root.ask('GET', '/user')).body, { kind: 'service', name: 'root', admin: true })

  const names = Array.from({ length: 120 }, (_, number) => `user${String(number).padStart(3, '0')}`)
  const created = await root.ask('POST', '/users', { usernames: [...names, 'Bob', 'bob'] })
  t.is(created.status, 201)
  t.is(created.body.length, 121)
  t.is((await root.ask('POST', '/users', { usernames: names })).status, 409)
  const bad = await root.ask('POST', '/users', { usernames: ['fine', '../etc'] })
  t.like(bad, { status: 400, body: { field: 'usernames.1' } })
  t.is((await root.ask('POST', '/users', '{')).status, 400)
  t.like((await root.ask('POST', '/users/mia', { admin: false })).body, { name: 'mia', groups: ['muon-staff'] })
  t.is((await root.ask('POST', '/users/mia')).status, 409)
  t.is((await root.ask('POST', '/users/M!a')).status, 400)

  t.like((await root.ask('GET', '/users/bob')).body, {
    kind: 'user',
    name: 'bob',
    admin: false,
    groups: ['muons'],
    roles: ['user'],
    server: null,
    pending: null,
    last_activity: null,
    servers: {},
    auth_state: null,
  })
  t.is((await root.ask('GET', '/users/nobody')).status, 404)
  t.is((await root.ask('GET', '/users')).body.length, 123, 'ada has logged in')
  const page = { accept: 'application/jupyterhub-pagination+json' }
  const first = (await root.ask('GET', '/users?limit=100', undefined, page)).body
  t.like(first, { _pagination: { offset: 0, limit: 100, total: 123 } })
  const { _pagination: place } = first
  t.is(place.next.offset, 100)
  const rest = (await root.ask('GET', place.next.url.split('/hub/api')[1], undefined, page)).body
  t.is(rest.items.length, 23)
  t.like(rest, { _pagination: { next: null } })
  t.is(new Set([...first.items, ...rest.items].map(({ name }: { name: string }) => name)).size, 123)
  const sorted = (await root.ask('GET', '/users?sort=-name&limit=2&name_filter=user')).body
  t.deepEqual(
    sorted.map(({ name }: { name: string }) => name),
    ['user119', 'user118'],
  )
  t.is((await root.ask('GET', '/users?limit=x')).status, 400)

  t.like((await root.ask('PATCH', '/users/user000', { admin: true })).body, { admin: true, roles: ['admin', 'user'] })
  t.like((await root.ask('PATCH', '/users/user000', { admin: false })).body, { admin: false })
  t.is((await root.ask('PATCH', '/users/user000', { name: 'other' })).status, 409)
  t.is((await root.ask('DELETE', '/users/user000')).status, 204)
  t.is((await root.ask('GET', '/users/user000')).status, 404)

  const at = '2026-01-02T03:04:05.678901Z'
  t.is((await root.ask('POST', '/users/user001/activity', { last_activity: at })).status, 200)
  t.is((await root.ask('GET', '/users/user001')).body.last_activity, '2026-01-02T03:04:05.678Z')
  t.is((await root.ask('POST', '/users/user001/activity', { last_activity: 'soon' })).status, 400)
  t.is((await root.ask('POST', '/users/user001/activity', { servers: { x: { last_activity: at } } })).status, 404)

  const cookie = `hutch-login=${ada.jar.cookie('hutch-login')}`
  const own = await root.as(undefined).ask('GET', '/user', undefined, { cookie })
  t.like(own.body, { kind: 'user', name: 'ada', token_id: null, session_id: null })
  t.true(own.body.scopes.includes('access:servers!user=ada'))
  t.is((await root.as(undefined).ask('GET', '/users/bob', undefined, { cookie })).status, 404)
  t.is((await root.as(undefined).ask('GET', '/users', undefined, { cookie })).status, 403)
  const forged = await fetch(`${hutch.url}/hub/api/users/ada/tokens`, {
    method: 'POST',
    headers: { cookie, origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' },
  })
  t.is(forged.status, 403)
}

async function servers(t: ExecutionContext, { root, watcher }: Site): Promise<void> {
  t.is((await root.ask('POST', '/users/bob/server')).status, 202)
  t.is((await root.ask('POST', '/users/bob/servers/lab', { profile: 'good', title: 'Mine' })).status, 202)
  t.is((await root.ask('POST', '/users/bob/servers/a%20b')).status, 400)
  t.is((await root.ask('POST', '/users/bob/servers/x', { profile: 'none' })).status, 400)
  const ready = async (name: string): Promise<boolean> =>
    (await root.ask('GET', '/users/bob')).body.servers[name]?.ready === true
  for (const name of ['', 'lab'])
    await until(`${name} is ready`, () => ready(name), { timeoutMs: 60_000, everyMs: 100 })
  t.is((await root.ask('POST', '/users/bob/servers/lab')).status, 400, 'already running')

  const bob = (await root.ask('GET', '/users/bob')).body
  t.like(bob, { server: '/user/bob/default/', pending: null })
  t.like(bob.servers.lab, {
    name: 'lab',
    full_name: 'bob/lab',
    display_name: 'Mine',
    ready: true,
    stopped: false,
    pending: null,
    url: '/user/bob/lab/',
    progress_url: '/hub/api/users/bob/servers/lab/progress',
    user_options: { profile: 'good' },
  })
  t.is(bob.servers[''].progress_url, '/hub/api/users/bob/server/progress')
  t.truthy(bob.servers.lab.state)
  t.is((await watcher.ask('GET', '/users/bob')).body.servers.lab.state, undefined, 'takes admin:server_state')
  t.like((await root.ask('GET', '/users/bob/servers/lab')).body, { name: 'lab' })
  t.like((await root.ask('PATCH', '/users/bob/servers/lab', { display_name: 'Ours' })).body, { display_name: 'Ours' })

  const progress = await root.ask('GET', '/users/bob/servers/lab/progress')
  t.regex(progress.body, /^data: \{"progress":100,"ready":true,.*"url":"\/user\/bob\/lab\/"\}\n\n$/)
  const active = (await watcher.ask('GET', '/users?state=ready')).body
  t.deepEqual(
    active.map(({ name }: { name: string }) => name),
    ['bob'],
  )
  t.is((await root.ask('GET', '/users?state=inactive&limit=3')).body.length, 3)
  const at = new Date(Date.now() + 3_600_000).toISOString()
  t.is((await root.ask('POST', '/users/bob/activity', { servers: { lab: { last_activity: at } } })).status, 200)
  const seen = Date.parse((await root.ask('GET', '/users/bob')).body.servers.lab.last_activity)
  t.true(seen <= Date.now(), 'nobody is active in the future')

  const routes = (await root.ask('GET', '/proxy')).body
  t.like(routes['bob.localhost/user/bob/lab/'], {
    routespec: 'bob.localhost/user/bob/lab/',
    data: { user: 'bob', server_name: 'lab' },
  })
  t.is((await root.ask('POST', '/proxy')).status, 200)
  t.is((await root.ask('DELETE', '/users/bob')).status, 409, 'something runs')
  await shared(t, root)

  t.is((await watcher.ask('DELETE', '/users/bob/servers/lab', { remove: true })).status, 202)
  t.is((await watcher.ask('DELETE', '/users/bob/server')).status, 202)
  const gone = async (): Promise<boolean> =>
    Object.keys((await root.ask('GET', '/users/bob')).body.servers).length === 0
  await until('both are gone', gone, { timeoutMs: 60_000, everyMs: 100 })
  const removed = async (): Promise<boolean> => (await root.ask('GET', '/users/bob/servers/lab')).status === 404
  await until('it was removed', removed, { timeoutMs: 30_000, everyMs: 100 })
  const stopped = (await root.ask('GET', '/users/bob?include_stopped_servers=1')).body.servers
  t.like(stopped[''], { stopped: true, ready: false })
  t.is((await root.ask('DELETE', '/users/bob/server')).status, 204)
  t.is((await root.ask('DELETE', '/users/bob/servers/lab')).status, 404)
  t.is((await watcher.ask('POST', '/users/bob/server')).status, 403)

  t.is(
    (await root.ask('POST', '/users/bob/servers/bad', { user_options: { profile: 'refused', flavour: 'small' } }))
      .status,
    202,
  )
  const refused = await until(
    'it is refused',
    async () => {
      const { body } = await root.ask('GET', '/users/bob/servers/bad/progress')
      return typeof body === 'string' && body.includes('"failed":true') && body
    },
    { timeoutMs: 60_000, everyMs: 200 },
  )
  t.regex(refused, /The queue is closed to you/)
}

/** While bob's default server and his `lab` run. */
async function shared(t: ExecutionContext, root: ApiClient): Promise<void> {
  const names = (body: { items: { user: { name: string } | null; group: { name: string } | null }[] }) =>
    body.items.map(({ user, group }) => user?.name ?? group?.name)
  for (const place of ['/shares/bob/', '/shares/bob/lab']) {
    t.like((await root.ask('POST', place, { user: 'mia', expires_in: 3_600 })).body, {
      kind: 'user',
      user: { name: 'mia' },
      group: null,
      role: 'guest',
      scopes: [`access:servers!server=bob/${place.endsWith('lab') ? 'lab' : ''}`],
    })
    t.is((await root.ask('POST', place, { group: 'muons', scopes: ['access:servers'] })).status, 200)
    for (const [wrong, field] of [
      [{}, 'user'],
      [{ user: 'mia', group: 'muons' }, 'user'],
      [{ user: 'nobody' }, 'user'],
      [{ group: 'nobody' }, 'group'],
      [{ user: 'bob' }, 'user'],
      [{ user: 'mia', scopes: ['admin:users'] }, 'scopes'],
      [{ user: 'mia', scopes: ['access:servers!server=ada/lab'] }, 'scopes'],
      [{ user: 'mia', role: 'viewer' }, 'role'],
      [{ user: 'mia', expires_in: -1 }, 'expires_in'],
    ] as const) {
      t.like(await root.ask('POST', place, wrong), { status: 400, body: { field } }, JSON.stringify(wrong))
    }
    const codes = place.replace('shares', 'share-codes')
    const made = (await root.ask('POST', codes, { expires_in: 600 })).body
    t.is(made.full_accept_url, `http://localhost:${new URL(made.full_accept_url).port}${made.accept_url}`)
    const listed = (await root.ask('GET', codes)).body
    t.like(listed, { items: [{ id: made.id, exchange_count: 0, last_exchanged_at: null }], _pagination: { total: 1 } })
    t.is(listed.items[0].code, undefined, 'told once')
    t.is((await root.ask('DELETE', `${codes}?id=none`)).status, 404)
    t.is((await root.ask('DELETE', `${codes}?code=${made.code}`)).status, 204)
    t.is((await root.ask('DELETE', codes)).status, 204)
  }
  t.is((await root.ask('GET', '/shares/bob')).body.items.length, 4)
  t.deepEqual(names((await root.ask('GET', '/shares/bob/lab')).body), ['mia', 'muons'])
  t.is((await root.ask('GET', '/shares/bob/none')).status, 404)
  t.like((await root.ask('GET', '/users/mia/shared?limit=1')).body, { _pagination: { total: 2, limit: 1 } })
  t.like((await root.ask('GET', '/users/mia/shared/bob/lab')).body, { server: { name: 'lab', user: { name: 'bob' } } })
  t.is((await root.ask('DELETE', '/users/mia/shared/bob/lab')).status, 204, 'mia leaves')
  t.is((await root.ask('GET', '/users/mia/shared/bob/lab')).status, 404)
  t.like((await root.ask('GET', '/groups/muons/shared')).body, { _pagination: { total: 2 } })
  t.like((await root.ask('GET', '/groups/muons/shared/bob/lab')).body, { kind: 'group' })
  t.is((await root.ask('DELETE', '/groups/muons/shared/bob/lab')).status, 204)
  for (const place of ['/shares/bob/', '/shares/bob/lab']) {
    t.deepEqual((await root.ask('PATCH', place, { user: 'mia' })).body, {})
    t.is((await root.ask('DELETE', place)).status, 204)
  }
  t.deepEqual((await root.ask('GET', '/shares/bob')).body.items, [])
}

async function tokens(t: ExecutionContext, { root }: Site): Promise<void> {
  const made = await root.ask('POST', '/users/bob/tokens', { note: 'ci', scopes: ['read:servers'], expires_in: 3_600 })
  t.is(made.status, 201)
  t.like(made.body, { user: 'bob', note: 'ci', kind: 'api_token', last_activity: null })
  t.true(made.body.scopes.includes('read:servers!user=bob') || made.body.scopes.includes('read:servers'))
  const bob = root.as(made.body.token)
  t.like((await bob.ask('GET', '/user')).body, { name: 'bob', token_id: made.body.id })
  t.deepEqual(Object.keys((await bob.ask('GET', '/users/bob')).body).toSorted(), [
    'admin',
    'groups',
    'kind',
    'name',
    'servers',
  ])
  t.is((await bob.ask('POST', '/users/bob/server')).status, 403)
  t.is((await bob.ask('GET', '/users/mia')).status, 404)
  const listed = (await root.ask('GET', '/users/bob/tokens')).body.api_tokens
  t.is(listed.length, 1)
  t.false(JSON.stringify(listed).includes(made.body.token))
  t.truthy(listed[0].last_activity)
  t.like((await root.ask('GET', `/users/bob/tokens/${made.body.id}`)).body, { id: made.body.id })
  t.is((await root.ask('GET', '/users/bob/tokens/none')).status, 404)

  t.is((await root.ask('POST', '/users/bob/tokens', { scopes: ['admin:users'] })).status, 400, 'bob may not')
  t.is((await root.ask('POST', '/users/bob/tokens', { scopes: ['reed:users'] })).status, 400)
  const { body: whole } = await root.ask('POST', '/users/bob/tokens', {})
  t.true(whole.scopes.includes('tokens!user=bob'))
  const { body: maker } = await root.ask('POST', '/users/bob/tokens', { scopes: ['tokens!user'] })
  const more = await root.as(maker.token).ask('POST', '/users/bob/tokens', { scopes: ['servers!user'] })
  t.is(more.status, 403, 'a token makes no token that has more than it')
  t.is((await root.as(maker.token).ask('POST', '/users/bob/tokens', {})).status, 403)
  t.is((await root.as(maker.token).ask('POST', '/users/bob/tokens', { scopes: ['read:tokens!user'] })).status, 201)

  t.is((await root.ask('DELETE', `/users/bob/tokens/${made.body.id}`)).status, 204)
  t.is((await bob.ask('GET', '/user')).status, 403)
}

async function groupsAndRoles(t: ExecutionContext, { root }: Site): Promise<void> {
  t.is((await root.ask('POST', '/groups/optics', { users: ['bob', 'user001'], properties: { a: 1 } })).status, 201)
  t.is((await root.ask('POST', '/groups/optics')).status, 409)
  t.is((await root.ask('POST', '/groups', { groups: ['one', 'two'] })).status, 201)
  t.is((await root.ask('POST', '/groups/bad', { users: ['nobody'] })).status, 404)
  t.like((await root.ask('GET', '/groups/optics')).body, {
    name: 'optics',
    users: ['bob', 'user001'],
    properties: { a: 1 },
  })
  t.deepEqual((await root.ask('GET', '/users/bob')).body.groups.toSorted(), ['muons', 'optics'])
  t.like((await root.ask('POST', '/groups/optics/users', { users: ['mia'] })).body, {
    users: ['bob', 'mia', 'user001'],
  })
  t.like((await root.ask('DELETE', '/groups/optics/users', { users: ['bob'] })).body, { users: ['mia', 'user001'] })
  t.like((await root.ask('PUT', '/groups/optics/properties', { b: [2] })).body, { properties: { b: [2] } })
  const names = (await root.ask('GET', '/groups')).body.map(({ name }: { name: string }) => name)
  t.deepEqual(names, ['muon-staff', 'muons', 'one', 'optics', 'two'])
  t.is((await root.ask('DELETE', '/groups/one')).status, 204)
  t.is((await root.ask('DELETE', '/groups/muons')).status, 409, 'the configuration has it')
  t.is((await root.ask('DELETE', '/groups/muons/users', { users: ['bob'] })).status, 409)

  const { body: mias } = await root.ask('POST', '/users/mia/tokens', {})
  const mia = root.as(mias.token)
  t.like((await mia.ask('GET', '/user')).body, { roles: ['muon-contacts', 'user'] })
  t.deepEqual(
    (await mia.ask('GET', '/users')).body.map(({ name }: { name: string }) => name),
    ['bob'],
    'the users of the instrument, and nobody else',
  )
  t.is((await mia.ask('GET', '/users/user001')).status, 404)
  t.is((await mia.ask('POST', '/users/bob/server')).status, 404)
  t.is((await mia.ask('PUT', '/roles/admin/users/mia')).status, 403)
  t.is((await mia.ask('GET', '/groups/optics')).status, 404)

  t.is((await root.ask('PUT', '/roles/support/users/user001')).status, 204)
  t.is((await root.ask('PUT', '/roles/support/groups/optics')).status, 204)
  t.is((await root.ask('PUT', '/roles/none/users/user001')).status, 404)
  t.is((await root.ask('PUT', '/roles/support/users/nobody')).status, 404)
  t.is((await root.ask('PUT', '/roles/user/users/mia')).status, 400)
  const support = (await root.ask('GET', '/roles')).body.find(({ name }: { name: string }) => name === 'support')
  t.like(support, { users: ['user001'], groups: ['optics'] })
  t.deepEqual((await root.ask('GET', '/users/user001')).body.roles, ['support', 'user'])
  t.is((await root.ask('DELETE', '/roles/support/users/user001')).status, 204)
  t.is((await root.ask('DELETE', '/roles/support/groups/optics')).status, 204)
  t.deepEqual((await root.ask('GET', '/users/user001')).body.roles, ['user'])
}

async function rest(t: ExecutionContext, { root, watcher }: Site): Promise<void> {
  t.deepEqual(Object.keys((await root.ask('GET', '/services')).body), ['root', 'watcher'])
  t.like((await root.ask('GET', '/services/watcher')).body, {
    kind: 'service',
    prefix: '/services/watcher/',
    display: false,
    roles: ['cull'],
  })
  t.is((await root.ask('GET', '/services/none')).status, 404)
  t.is((await watcher.ask('GET', '/services')).status, 403)
  t.truthy((await root.ask('GET', '/info')).body.version)
  t.is((await watcher.ask('GET', '/info')).status, 403)
  t.like((await root.ask('GET', '/shares/bob')).body, { items: [] })
  t.is((await root.ask('GET', '/nothing')).status, 404)
  t.is((await root.ask('PUT', '/users')).status, 405)
  const document = (await root.as(undefined).ask('GET', '/openapi.json')).body
  t.deepEqual(
    Object.entries(document.paths)
      .flatMap(([path, methods]) => Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`))
      .toSorted(),
    documentedOperations()
      .map(({ method, path }) => `${method} ${path}`)
      .toSorted(),
  )
}
