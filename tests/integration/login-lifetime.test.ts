/** How a login ends: by itself, by its owner, by the provider. What it opened at the proxies ends with it. */
import test from 'ava'
import { decodeJwt, type JWTPayload } from 'jose'
import { createJar, type Jar } from '../support/browser-jar.ts'
import { startHub, startHubAndProvider, type TestHub } from '../support/identity.ts'
import { ada, startProvider } from '../support/oidc.ts'
import { until } from '../support/until.ts'

const day = 86_400_000

async function visitorOf(browser: Jar, hub: TestHub) {
  const page = await browser.ask(`${hub.url}/hub/who`)
  return JSON.parse(page.text).visitor
}

async function loggedIn(hub: TestHub, browser = createJar()): Promise<Jar> {
  const page = await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
  if (page.url !== `${hub.url}/hub/who`) throw new Error(page.text)
  return browser
}

test('a login that is not used ends after the idle time; one that is used goes on', async (t) => {
  const { hub } = await startHubAndProvider(t, { login: { idle: 2 * 3_600_000, lifetime: 7 * day } })
  const [used, idle] = [await loggedIn(hub), await loggedIn(hub)]
  for (let hour = 0; hour < 3; hour += 1) {
    hub.clock.offsetMs += 3_600_000
    t.truthy(await visitorOf(used, hub), `hour ${hour}`)
  }
  t.is(await visitorOf(idle, hub), null)
  t.is(hub.revocations.length, 0, 'an end by itself closes no notebook')
})

test('a login ends after its lifetime, however much it is used', async (t) => {
  const { hub } = await startHubAndProvider(t, { login: { idle: day, lifetime: 2 * day } })
  const browser = await loggedIn(hub)
  for (let half = 0; half < 3; half += 1) {
    hub.clock.offsetMs += day / 2
    t.truthy(await visitorOf(browser, hub))
  }
  const visitor = await visitorOf(browser, hub)
  const began = (await hub.db.selectFrom('logins').select('created_at').executeTakeFirstOrThrow()).created_at
  t.is(Date.parse(visitor.expiresAt), began + 2 * day)
  t.true(await hub.identity.stillValid(visitor))
  hub.clock.offsetMs += day / 2 + 60_000
  t.is(await visitorOf(browser, hub), null)
  t.false(await hub.identity.stillValid(visitor))
})

test('the end that a visitor is told is the earlier of idle and lifetime', async (t) => {
  const { hub } = await startHubAndProvider(t, { login: { idle: 3_600_000, lifetime: day } })
  const visitor = await visitorOf(await loggedIn(hub), hub)
  const row = await hub.db.selectFrom('logins').selectAll().executeTakeFirstOrThrow()
  t.is(Date.parse(visitor.expiresAt), row.seen_at + 3_600_000)
})

test('being seen is written at most once a minute', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = await loggedIn(hub)
  const seen = async () => (await hub.db.selectFrom('logins').select('seen_at').executeTakeFirstOrThrow()).seen_at
  const first = await seen()
  hub.clock.offsetMs += 30_000
  await visitorOf(browser, hub)
  t.is(await seen(), first)
  hub.clock.offsetMs += 31_000
  await visitorOf(browser, hub)
  t.true((await seen()) > first)
})

test('a revoked login is refused at once, cached or not, and the proxies are told', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = await loggedIn(hub)
  const visitor = await visitorOf(browser, hub)
  t.true(await hub.identity.stillValid(visitor))
  await hub.identity.logins.revoke(visitor.login)
  t.is(await visitorOf(browser, hub), null)
  t.false(await hub.identity.stillValid(visitor))
  const [revocation] = hub.revocations
  const { expires_at } = await hub.db.selectFrom('logins').select('expires_at').executeTakeFirstOrThrow()
  // `at` is its very end: a login never comes back, so nothing that it opens, then or later, may count.
  t.deepEqual(revocation, { kind: 'login', subject: visitor.login, at: expires_at, until: expires_at })
})

test('a request under way does not bring a revoked login back into the cache', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = await loggedIn(hub)
  const { login } = await visitorOf(browser, hub)
  hub.clock.offsetMs += 5_000
  const under = Array.from({ length: 20 }, () => visitorOf(browser, hub))
  await hub.identity.logins.revoke(login)
  await Promise.all(under)
  t.is(await visitorOf(browser, hub), null)
})

test('logging out ends this login alone; everywhere ends all of mine and nobody else’s', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  provider.forge.discovery = ({ end_session_endpoint: _none, ...metadata }) => metadata
  const [one, two, three] = [await loggedIn(hub), await loggedIn(hub), await loggedIn(hub)]
  provider.person = { ...ada, sub: 'marie', preferred_username: 'marie' }
  const other = await loggedIn(hub)

  const list = await hub.identity.logins.list((await visitorOf(one, hub)).user.id)
  t.is(list.length, 3)
  t.like(list[0], { userAgent: 'test browser', address: '127.0.0.1' })

  const out = await one.ask(`${hub.url}/hub/logout`, { method: 'POST' })
  t.is(out.status, 303)
  t.is(out.headers.get('location'), '/hub/login')
  t.is(one.cookie('hutch-login'), undefined)
  t.is(await visitorOf(one, hub), null)
  t.truthy(await visitorOf(two, hub))

  await two.ask(`${hub.url}/hub/logout/everywhere`, { method: 'POST' })
  for (const browser of [two, three]) t.is(await visitorOf(browser, hub), null)
  t.truthy(await visitorOf(other, hub))
  const told = new Set(hub.revocations.map(({ subject }) => subject))
  t.deepEqual([...told].toSorted(), list.map(({ id }) => id).toSorted())
})

test('a stolen cookie is worth nothing after the logout', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = await loggedIn(hub)
  const thief = browser.copy()
  await browser.ask(`${hub.url}/hub/logout`, { method: 'POST' })
  t.is(await visitorOf(thief, hub), null)
})

for (const path of ['/hub/logout', '/hub/logout/everywhere']) {
  test(`${path} that failed half-way can be repeated, and tells the proxies then`, async (t) => {
    const { hub } = await startHubAndProvider(t)
    const [browser, other] = [await loggedIn(hub), await loggedIn(hub)]
    hub.faults.revoke = true
    t.is((await browser.ask(hub.url + path, { method: 'POST' })).status, 500)
    hub.faults.revoke = false
    t.is(await visitorOf(browser, hub), null)
    t.is((await browser.ask(hub.url + path, { method: 'POST' })).status, 200)
    const everywhere = path.endsWith('everywhere')
    t.is((await visitorOf(other, hub)) === null, everywhere)
    t.is(hub.revocations.length, everywhere ? 2 : 1)
  })
}

test('an old cookie of a login that was revoked ends nothing of what came later', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const [old, current] = [await loggedIn(hub), await loggedIn(hub)]
  const thief = old.copy()
  await old.ask(`${hub.url}/hub/logout`, { method: 'POST' })
  hub.clock.offsetMs += 11 * 60_000
  await thief.ask(`${hub.url}/hub/logout/everywhere`, { method: 'POST' })
  t.truthy(await visitorOf(current, hub))
})

test('more than fifty logins of one person end the oldest', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const first = await loggedIn(hub)
  const { user } = await visitorOf(first, hub)
  const { issuer, subject } = await hub.db.selectFrom('identities').selectAll().executeTakeFirstOrThrow()
  for (let number = 0; number < 50; number += 1) {
    hub.clock.offsetMs += 1
    await hub.identity.logins.begin({ user, signedIn: { issuer, subject }, userAgent: '', address: '' })
  }
  t.is((await hub.identity.logins.list(user.id)).length, 50)
  t.is(await visitorOf(first, hub), null)
})

test('logins that are long over leave the table', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const { user } = await visitorOf(await loggedIn(hub), hub)
  const { issuer, subject } = await hub.db.selectFrom('identities').selectAll().executeTakeFirstOrThrow()
  await hub.db
    .updateTable('logins')
    .set({ expires_at: Date.now() - 31 * day })
    .execute()
  // They are looked for once an hour.
  for (const [hours, left] of [
    [0, 2],
    [2, 2],
  ] as const) {
    hub.clock.offsetMs += hours * 3_600_000
    await hub.identity.logins.begin({ user, signedIn: { issuer, subject }, userAgent: '', address: '' })
    t.is((await hub.db.selectFrom('logins').select('id').execute()).length, left)
  }
})

test('a login by a provider that is no longer configured does not count', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = await loggedIn(hub)
  const visitor = await visitorOf(browser, hub)
  await hub.db.updateTable('logins').set({ issuer: 'https://gone.example.org' }).execute()
  hub.clock.offsetMs += 2_000
  t.is(await visitorOf(browser, hub), null)
  t.false(await hub.identity.stillValid(visitor))
})

test('after the logout the browser goes on to the provider, which ends its session', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const browser = await loggedIn(hub)
  const out = await browser.ask(`${hub.url}/hub/logout`, { method: 'POST' })
  t.is(out.status, 200)
  const target = new URL(
    /http-equiv="refresh" content="0; url=([^"]*)"/.exec(out.text)?.[1]?.replaceAll('&amp;', '&') ?? '',
  )
  t.is(target.origin, provider.issuer)
  t.is(target.searchParams.get('client_id'), provider.clientId)
  t.is(target.searchParams.get('post_logout_redirect_uri'), `${hub.url}/hub/login`)
  const hint = decodeJwt(target.searchParams.get('id_token_hint') ?? '')
  t.like(hint, { iss: provider.issuer, aud: provider.clientId, sub: ada.sub })
  t.is(out.headers.get('referrer-policy'), 'no-referrer')
  t.is(await visitorOf(browser, hub), null)
  t.is((await browser.ask(target.href)).status, 200, 'the provider understands it')
})

test('a provider that is down does not keep anybody from logging out', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const browser = await loggedIn(hub)
  await provider.stop()
  hub.restart()
  t.is((await browser.ask(`${hub.url}/hub/logout`, { method: 'POST' })).status, 303)
  t.is(await visitorOf(browser, hub), null)
})

test('back-channel logout: the provider’s own call ends the login of that session', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const [here, there] = [await loggedIn(hub), await loggedIn(hub)]
  const rows = await hub.db.selectFrom('logins').select(['sid', 'created_at']).orderBy('created_at').execute()
  t.is(new Set(rows.map(({ sid }) => sid)).size, 2, 'each session of the provider has its own sid')
  // The browser ends its session at the provider, which calls the hub by itself.
  await here.open(`${provider.issuer}/session/end?client_id=${provider.clientId}`)
  const form = await here.ask(`${provider.issuer}/session/end`)
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(form.text)?.[1] ?? ''
  await here.ask(`${provider.issuer}/session/end/confirm`, { method: 'POST', form: { xsrf, logout: 'yes' } })
  await until('the provider called', async () => (await visitorOf(here, hub)) === null)
  t.truthy(await visitorOf(there, hub))
  t.is(hub.revocations.length, 1)
})

const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
const seconds = (): number => Math.floor(Date.now() / 1000)

interface Row {
  readonly token: string
  readonly ends: boolean
  readonly claims: (made: JWTPayload) => JWTPayload
  readonly header?: { typ?: string; kid?: string }
}
const rows: readonly Row[] = [
  { token: 'with sub', ends: true, claims: (made) => made },
  { token: 'with sid', ends: true, claims: ({ sub: _sub, ...made }) => ({ ...made, sid: 'SID' }) },
  { token: 'with sub and sid', ends: true, claims: (made) => ({ ...made, sid: 'SID' }) },
  { token: 'without a type', ends: true, claims: (made) => made, header: {} },
  { token: 'of another session', ends: false, claims: (made) => ({ ...made, sid: 'another' }) },
  { token: 'of another subject', ends: false, claims: (made) => ({ ...made, sub: 'another' }) },
]
const refused: readonly Row[] = [
  { token: 'with a nonce', ends: false, claims: (made) => ({ ...made, nonce: 'x' }) },
  { token: 'without the event', ends: false, claims: (made) => ({ ...made, events: {} }) },
  { token: 'whose events are a string', ends: false, claims: (made) => ({ ...made, events: 'backchannel-logout' }) },
  { token: 'for another client', ends: false, claims: (made) => ({ ...made, aud: 'another' }) },
  { token: 'of another issuer', ends: false, claims: (made) => ({ ...made, iss: 'https://login.example.org' }) },
  { token: 'an hour old', ends: false, claims: (made) => ({ ...made, iat: seconds() - 3600 }) },
  { token: 'without jti', ends: false, claims: ({ jti: _jti, ...made }) => made },
  { token: 'whose sid is a number', ends: false, claims: (made) => ({ ...made, sid: 7 }) },
  { token: 'whose jti is a number', ends: false, claims: (made) => ({ ...made, jti: 7 }) as unknown as JWTPayload },
  { token: 'of tomorrow', ends: false, claims: (made) => ({ ...made, iat: seconds() + 86_400 }) },
  { token: 'without sub and sid', ends: false, claims: ({ sub: _sub, ...made }) => made },
  { token: 'with another type', ends: false, claims: (made) => made, header: { typ: 'at+jwt' } },
  { token: 'by an unknown key', ends: false, claims: (made) => made, header: { typ: 'logout+jwt', kid: 'unknown' } },
]

for (const [status, table] of [
  [200, rows],
  [400, refused],
] as const) {
  for (const { token, ends, claims, header = { typ: 'logout+jwt' } } of table) {
    test(`back-channel logout: a token ${token} is answered with ${status} and ends ${ends ? 'the login' : 'nothing'}`, async (t) => {
      const { hub, provider } = await startHubAndProvider(t)
      const browser = await loggedIn(hub)
      await hub.db.updateTable('logins').set({ sid: 'SID' }).execute()
      const { issuer, clientId } = provider
      const made = { iss: issuer, aud: clientId, iat: seconds(), jti: 'once', sub: ada.sub, events }
      const logout_token = await provider.sign(claims(made), header)
      // As a provider's server calls: no cookie, no Origin, no Sec-Fetch-Site.
      const answer = await fetch(`${hub.url}/hub/login/site/backchannel`, {
        method: 'POST',
        body: new URLSearchParams({ logout_token }),
      })
      t.is(answer.status, status)
      t.is((await visitorOf(browser, hub)) === null, ends)
      t.is(hub.revocations.length, ends ? 1 : 0)
    })
  }
}

test('back-channel logout: a replay does not end what began later, and another provider can’t speak for this one', async (t) => {
  const hub = await startHub(t, {
    providers: async (url) => ({
      site: await startProvider(t, { hub: url, name: 'site' }),
      evil: await startProvider(t, { hub: url, name: 'evil' }),
    }),
  })
  const browser = await loggedIn(hub)
  const { issuer } = await hub.db.selectFrom('identities').selectAll().executeTakeFirstOrThrow()
  t.truthy(issuer)
  await hub.identity.logins.revokeFromProvider({ issuer, subject: ada.sub, at: Date.now() - 3_600_000 })
  t.truthy(await visitorOf(browser, hub))
  const call = await fetch(`${hub.url}/hub/login/site/backchannel`, { method: 'POST', body: new URLSearchParams() })
  t.is(call.status, 400)
})

test('back-channel logout: a logout token is taken once, by whichever hub; one that came to nothing may come again', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const { issuer, clientId } = provider
  const logout_token = await provider.sign(
    { iss: issuer, aud: clientId, iat: seconds(), jti: 'j1', sub: ada.sub, events },
    { typ: 'logout+jwt' },
  )
  const call = () =>
    fetch(`${hub.url}/hub/login/site/backchannel`, { method: 'POST', body: new URLSearchParams({ logout_token }) })
  const first = await loggedIn(hub)
  hub.faults.revoke = true
  t.is((await call()).status, 500)
  hub.faults.revoke = false
  t.is((await call()).status, 200)
  t.is(await visitorOf(first, hub), null)
  const second = await loggedIn(hub)
  hub.restart()
  t.is((await call()).status, 400)
  t.truthy(await visitorOf(second, hub))
  const lines = await hub.db.selectFrom('audit').selectAll().where('did', '=', 'login.ended').execute()
  t.deepEqual(
    lines.map(({ who, whom }) => [who, whom]),
    [['service:site', 'ada']],
  )
})

test('the ID token is kept sealed: nobody who reads the database or the log can use it', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  let idToken = ''
  provider.forge.token = (answer) => {
    idToken = answer.id_token
    return answer
  }
  const browser = await loggedIn(hub)
  const row = await hub.db.selectFrom('logins').selectAll().executeTakeFirstOrThrow()
  t.true(row.id_token !== null && row.id_token.length > 100)
  await browser.ask(`${hub.url}/hub/logout`, { method: 'POST' })
  for (const part of idToken.split('.')) t.false(JSON.stringify([row, hub.lines]).includes(part))
})
