import test from 'ava'
import { Problem } from '../../hub/domain/problem.ts'
import { createJar, type Page } from '../support/browser-jar.ts'
import { startHubAndProvider, type TestHub } from '../support/identity.ts'

const day = 86_400_000

async function userOf(hub: TestHub): Promise<string> {
  await createJar().open(`${hub.url}/hub/login/site`)
  return (await hub.db.selectFrom('users').select('id').executeTakeFirstOrThrow()).id
}

const ask = (hub: TestHub, authorization: string, method = 'GET'): Promise<Page> =>
  createJar().ask(`${hub.url}/hub/who`, { method, headers: { authorization, 'sec-fetch-site': 'cross-site' } })

test('a token is shown once, stored as a hash, and says who asks with which scopes', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const userId = await userOf(hub)
  const { id, token } = await hub.identity.tokens.create({
    userId,
    scopes: ['read:servers', 'read:servers'],
    note: 'ci',
  })
  t.regex(token, /^hutch_[\w-]{43}$/)
  t.false(JSON.stringify(await hub.db.selectFrom('tokens').selectAll().execute()).includes(token))
  for (const scheme of ['Bearer', 'bearer', 'token']) {
    const { visitor } = JSON.parse((await ask(hub, `${scheme} ${token}`)).text)
    t.like(visitor, { login: id, by: 'token', scopes: ['read:servers'], groups: ['optics', 'users'] })
    t.is(visitor.user.name, 'ada')
  }
  t.is((await ask(hub, `Bearer ${token}`, 'POST')).status, 200, 'a token needs no origin')
})

test('list, last use, revoke: its own alone', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const userId = await userOf(hub)
  const { tokens } = hub.identity
  const { id, token } = await tokens.create({ userId, scopes: ['self'], note: 'laptop' })
  t.like((await tokens.list(userId))[0], { id, note: 'laptop', scopes: ['self'] })
  t.is((await tokens.list(userId))[0]?.lastUsedAt, undefined)
  const { visitor } = JSON.parse((await ask(hub, `token ${token}`)).text)
  const used = (await tokens.list(userId))[0]?.lastUsedAt
  t.truthy(used)
  hub.clock.offsetMs += 30_000
  await ask(hub, `token ${token}`)
  t.deepEqual((await tokens.list(userId))[0]?.lastUsedAt, used, 'written at most once a minute')

  await tokens.revoke('somebody else', id)
  t.is((await ask(hub, `token ${token}`)).status, 200)
  t.true(await hub.identity.stillValid({ ...visitor, expiresAt: new Date(visitor.expiresAt) }))
  await tokens.revoke(userId, id)
  t.is((await ask(hub, `token ${token}`)).status, 401)
  t.false(await hub.identity.stillValid(visitor))
  t.deepEqual(await tokens.list(userId), [])
  t.like(hub.revocations[0], { kind: 'login', subject: id })
})

test('a token ends when it says', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const userId = await userOf(hub)
  const expiresAt = new Date(Date.now() + day)
  const { token } = await hub.identity.tokens.create({ userId, scopes: ['self'], note: '', expiresAt })
  t.is(JSON.parse((await ask(hub, `token ${token}`)).text).visitor.expiresAt, expiresAt.toJSON())
  hub.clock.offsetMs += day + 1_000
  t.is((await ask(hub, `token ${token}`)).status, 401)
  t.deepEqual(await hub.identity.tokens.list(userId), [])
})

test('the token of a blocked user opens nothing', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const userId = await userOf(hub)
  const { token } = await hub.identity.tokens.create({ userId, scopes: ['self'], note: '' })
  await hub.db.updateTable('users').set({ blocked_reason: 'Left' }).execute()
  t.is((await ask(hub, `token ${token}`)).status, 403)
})

test('a token is worth nothing once nobody who is configured vouches for its user', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const userId = await userOf(hub)
  const { token } = await hub.identity.tokens.create({ userId, scopes: ['self'], note: '' })
  t.is((await ask(hub, `token ${token}`)).status, 200)
  await hub.db.updateTable('identities').set({ issuer: 'https://gone.example.org' }).execute()
  hub.clock.offsetMs += 2_000
  t.is((await ask(hub, `token ${token}`)).status, 401)
})

for (const [what, authorization] of [
  ['unknown', 'Bearer hutch_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
  ['without the prefix', 'token AAAA'],
  ['of a JWT’s shape', 'Bearer eyJhbGciOiJub25lIn0.e30.'],
] as const) {
  test(`a token that is ${what} is 401, whatever cookie comes along`, async (t) => {
    const { hub } = await startHubAndProvider(t)
    const browser = createJar()
    await browser.open(`${hub.url}/hub/login/site`)
    const page = await browser.ask(`${hub.url}/hub/who`, { headers: { authorization } })
    t.is(page.status, 401)
    t.is(JSON.parse(page.text).type, 'notLoggedIn')
  })
}

test('what a token may not be', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const userId = await userOf(hub)
  const good = { userId, scopes: ['self'], note: '' }
  for (const [field, wrong] of [
    ['scopes', { scopes: [] }],
    ['scopes', { scopes: ['no spaces'] }],
    ['scopes', { scopes: Array.from({ length: 65 }, (_, number) => `s${number}`) }],
    ['note', { note: 'x'.repeat(201) }],
    ['expiresAt', { expiresAt: new Date(0) }],
    ['expiresAt', { expiresAt: new Date(Number.NaN) }],
  ] as const) {
    const problem = await t.throwsAsync(hub.identity.tokens.create({ ...good, ...wrong }), { instanceOf: Problem })
    t.like(problem, { type: 'badRequest', field })
  }
})

test('two hundred tokens are enough', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const userId = await userOf(hub)
  const row = {
    user_id: userId,
    kind: 'api',
    scopes: '["self"]',
    note: '',
    created_at: 1,
    expires_at: null,
    last_used_at: null,
    revoked_at: null,
  }
  const rows = Array.from({ length: 200 }, (_, number) => ({ ...row, id: `t${number}`, secret_hash: `h${number}` }))
  await hub.db.insertInto('tokens').values(rows).execute()
  const problem = await t.throwsAsync(hub.identity.tokens.create({ userId, scopes: ['self'], note: '' }), {
    instanceOf: Problem,
  })
  t.is(problem?.type, 'conflict')
})
