/** From an identity to a user: never by name, never by e-mail; and what claims of any shape do. */
import test from 'ava'
import { createJar, type Jar, type Page } from '../support/browser-jar.ts'
import { startHub, startHubAndProvider, type TestHub } from '../support/identity.ts'
import { ada, startProvider, type TestPerson } from '../support/oidc.ts'

const login = (hub: TestHub, browser: Jar = createJar(), provider = 'site'): Promise<Page> =>
  browser.open(`${hub.url}/hub/login/${provider}?next=/hub/who`)

const visitorOf = (page: Page) => JSON.parse(page.text).visitor

test('the first login makes the user, later ones find it and take its claims along', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const first = visitorOf(await login(hub))
  t.like(first.user, { name: 'ada', title: 'Ada Lovelace', email: 'ada@example.org', admin: false })
  t.deepEqual(first.groups, ['optics', 'users'])

  provider.person = { ...ada, groups: ['neutrons'], preferred_username: 'countess' }
  const second = visitorOf(await login(hub))
  t.is(second.user.id, first.user.id)
  t.is(second.user.name, 'ada', 'paths and accounts hang on the name')
  t.deepEqual(second.groups, ['neutrons'])
  const identity = await hub.db.selectFrom('identities').selectAll().executeTakeFirstOrThrow()
  t.like(identity, { issuer: provider.issuer, subject: ada.sub, user_id: first.user.id })
})

test('another identity with the same name is refused, at the same provider and at another', async (t) => {
  const hub = await startHub(t, {
    async providers(url) {
      const [site, umbrella] = [
        await startProvider(t, { hub: url, name: 'site' }),
        await startProvider(t, { hub: url, name: 'umbrella' }),
      ]
      umbrella.person = { ...ada, sub: 'an impostor' }
      return { site, umbrella }
    },
  })
  t.is(visitorOf(await login(hub)).user.name, 'ada')
  const page = await login(hub, createJar(), 'umbrella')
  t.is(page.status, 403)
  t.regex(page.text, /The name “ada” already belongs to somebody who logs in another way/)
  t.regex(page.text, /help@example\.org/)
  t.deepEqual(hub.refusals, ['nameTaken'])
  t.is((await hub.db.selectFrom('users').selectAll().execute()).length, 1)
  t.is((await hub.db.selectFrom('identities').selectAll().execute()).length, 1)
})

test('the same subject at two issuers is two identities', async (t) => {
  const hub = await startHub(t, {
    async providers(url) {
      const [site, umbrella] = [
        await startProvider(t, { hub: url, name: 'site' }),
        await startProvider(t, { hub: url, name: 'umbrella' }),
      ]
      umbrella.person = { ...ada, preferred_username: 'ada.l' }
      return { site, umbrella }
    },
  })
  const [one, two] = [visitorOf(await login(hub)), visitorOf(await login(hub, createJar(), 'umbrella'))]
  t.not(one.user.id, two.user.id, 'the e-mail address is the same, and joins nobody')
  t.is(one.user.email, two.user.email)
})

test('a new identity that comes twice at once is one user', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const pages = await Promise.all(Array.from({ length: 6 }, () => login(hub)))
  t.deepEqual(new Set(pages.map((page) => page.status)), new Set([200]))
  t.is(new Set(pages.map((page) => visitorOf(page).user.id)).size, 1)
})

test('two new identities that race for one name: one has it, the other is refused', async (t) => {
  const hub = await startHub(t, {
    async providers(url) {
      const [site, umbrella] = [
        await startProvider(t, { hub: url, name: 'site' }),
        await startProvider(t, { hub: url, name: 'umbrella' }),
      ]
      umbrella.person = { ...ada, sub: 'another' }
      return { site, umbrella }
    },
  })
  const pages = await Promise.all([login(hub), login(hub, createJar(), 'umbrella')])
  t.deepEqual(
    pages.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 403],
  )
  t.deepEqual(hub.refusals, ['nameTaken'])
})

test('who is blocked reads why, and nothing else opens; logging out does', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  await login(hub, browser)
  await hub.db.updateTable('users').set({ blocked_reason: 'Left the facility in May' }).execute()
  hub.clock.offsetMs += 2_000
  const page = await browser.ask(`${hub.url}/hub/who`)
  t.is(page.status, 403)
  t.is(JSON.parse(page.text).type, 'blocked')
  t.is(JSON.parse(page.text).detail, 'Left the facility in May. Ask help@example.org.')
  const [{ id } = { id: '' }] = await hub.identity.logins.list(await userId(hub))
  t.false(await hub.identity.logins.stillValid(id))

  t.is((await browser.ask(`${hub.url}/hub/login`)).status, 200, 'to log in as somebody else')

  const again = await login(hub)
  t.is(again.status, 403)
  t.regex(again.text, /Left the facility in May\. Ask help@example\.org/)
  t.deepEqual(hub.refusals, ['blocked'])
  t.is((await hub.db.selectFrom('logins').select('id').execute()).length, 1, 'no other login began')
  t.is((await browser.ask(`${hub.url}/hub/logout`, { method: 'POST' })).status, 200)
})

test('administrators are those whom the configuration names, by subject and provider', async (t) => {
  const hub = await startHub(t, {
    async providers(url) {
      const [site, umbrella] = [
        await startProvider(t, { hub: url, name: 'site' }),
        await startProvider(t, { hub: url, name: 'umbrella' }),
      ]
      umbrella.person = { ...ada, preferred_username: 'impostor' }
      return { site, umbrella }
    },
    configurations: ({ site, umbrella }) => ({
      ...(site && { site: site.configuration({ administrators: [ada.sub] }) }),
      ...(umbrella && { umbrella: umbrella.configuration() }),
    }),
  })
  const browser = createJar()
  t.true(visitorOf(await login(hub, browser)).user.admin)
  t.false(visitorOf(await login(hub, createJar(), 'umbrella')).user.admin)
  const { token } = await hub.identity.tokens.create({ userId: await userId(hub, 'ada'), scopes: ['self'], note: '' })
  const who = await createJar().ask(`${hub.url}/hub/who`, { headers: { authorization: `Bearer ${token}` } })
  t.true(visitorOf(who).user.admin)
})

test('who is taken off the list of administrators is none from the next start on, logged in or not', async (t) => {
  let administrators = [ada.sub]
  const { hub, provider } = await startHubAndProvider(t, {
    configurations: ({ site }) => ({ ...(site && { site: site.configuration({ administrators }) }) }),
  })
  t.truthy(provider)
  const browser = createJar()
  t.true(visitorOf(await login(hub, browser)).user.admin)
  administrators = []
  hub.restart()
  t.false(visitorOf(await browser.ask(`${hub.url}/hub/who`)).user.admin)
})

test('where UserInfo and the ID token disagree, what is signed counts', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  provider.forge.token = async (answer) => ({
    ...answer,
    id_token: await provider.resign(answer.id_token, { preferred_username: 'signed' }),
  })
  t.is(visitorOf(await login(hub)).user.name, 'signed')
})

interface Row {
  readonly claims: string
  readonly person: TestPerson
  readonly name?: string
  readonly groups?: readonly string[]
  readonly title?: string
}
const rows: readonly Row[] = [
  { claims: 'a name in capitals', person: { ...ada, preferred_username: 'Ada' }, name: 'ada' },
  { claims: 'a name with dots', person: { ...ada, preferred_username: 'ada.l_2-x' }, name: 'ada.l_2-x' },
  { claims: 'no name', person: { sub: 'x' } },
  { claims: 'a name that is a number', person: { ...ada, preferred_username: 42 } },
  { claims: 'a name that is an array', person: { ...ada, preferred_username: ['ada'] } },
  { claims: 'an e-mail address as name', person: { ...ada, preferred_username: 'ada@example.org' } },
  { claims: 'a path as name', person: { ...ada, preferred_username: '../root' } },
  { claims: 'an empty name', person: { ...ada, preferred_username: '' } },
  { claims: 'a name of 65 letters', person: { ...ada, preferred_username: 'a'.repeat(65) } },
  { claims: 'a name with a line end', person: { ...ada, preferred_username: 'ada\n' } },
  { claims: 'a name in another script', person: { ...ada, preferred_username: 'аda' } },
  { claims: 'a name with NUL', person: { ...ada, preferred_username: 'ada\u0000' } },
  { claims: 'no groups', person: { sub: 'x', preferred_username: 'x' }, name: 'x', groups: [], title: 'x' },
  { claims: 'groups as one string', person: { ...ada, groups: 'optics' }, name: 'ada', groups: ['optics'] },
  {
    claims: 'groups of all kinds',
    person: { ...ada, groups: ['optics', 1, null, { a: 1 }] },
    name: 'ada',
    groups: ['optics'],
  },
  { claims: 'groups as an object', person: { ...ada, groups: { optics: true } }, name: 'ada', groups: [] },
  {
    claims: 'a title with control characters',
    person: { ...ada, name: 'Ada\u0007\n<b>' },
    name: 'ada',
    title: 'Ada <b>',
  },
  { claims: 'a title that is an object', person: { ...ada, name: { given: 'Ada' } }, name: 'ada', title: 'ada' },
  {
    claims: '20,000 groups',
    person: { ...ada, groups: Array.from({ length: 9_000 }, (_, number) => `g${number}`) },
    name: 'ada',
    groups: Array.from({ length: 1_000 }, (_, number) => `g${number}`),
  },
]

for (const { claims, person, name, groups, title } of rows) {
  test(`claims: ${claims} → ${name ?? 'refused'}`, async (t) => {
    const { hub, provider } = await startHubAndProvider(t)
    provider.person = person
    const page = await login(hub)
    if (name === undefined) {
      t.is(page.status, 403)
      t.deepEqual(hub.refusals, ['name'])
      t.regex(page.text, /the claim is “preferred_username”/)
      return
    }
    t.is(page.status, 200, page.text)
    t.is(visitorOf(page).user.name, name)
    if (title !== undefined) t.is(visitorOf(page).user.title, title)
    if (groups !== undefined) t.deepEqual(visitorOf(page).groups, groups)
  })
}

async function userId(hub: TestHub, name = 'ada'): Promise<string> {
  return (await hub.db.selectFrom('users').select('id').where('name', '=', name).executeTakeFirstOrThrow()).id
}
