/** From an identity that anyone can have to an account of the facility: by proof, by an administrator, by a match. */
import test, { type ExecutionContext } from 'ava'
import { createJar, type Jar, type Page } from '../support/browser-jar.ts'
import { startHub, type TestHub, type TestHubOptions } from '../support/identity.ts'
import { ada, startProvider, type TestPerson, type TestProvider } from '../support/oidc.ts'
import { available } from '../support/component.ts'
import { postgresServer, type PostgresServer } from '../support/postgres.ts'

const hash = '0a1b2c3d-0000-4000-8000-123456789abc'
/** Same name and e-mail address as the account: neither may ever link. */
const stranger: TestPerson = { ...ada, sub: 'hex@umbrella', voperson_id: 'v-1', eaa_hash: hash, name: 'A. Lovelace' }

interface Site {
  readonly hub: TestHub
  readonly site: TestProvider
  readonly umbrella: TestProvider
}

async function start(t: ExecutionContext, options: TestHubOptions = {}): Promise<Site> {
  const made: { site?: TestProvider; umbrella?: TestProvider } = {}
  const hub = await startHub(t, {
    async providers(url) {
      made.site = await startProvider(t, { hub: url, name: 'site' })
      made.umbrella = await startProvider(t, { hub: url, name: 'umbrella', claims: ['voperson_id', 'eaa_hash'] })
      made.umbrella.person = stranger
      return { site: made.site, umbrella: made.umbrella }
    },
    configurations: ({ site, umbrella }) => ({
      ...(site && { site: site.configuration({ proves: 'account', administrators: ['boss'] }) }),
      ...(umbrella && {
        umbrella: umbrella.configuration({
          proves: 'identity',
          claims: { ...umbrella.configuration().claims, subject: 'voperson_id', legacyHash: 'eaa_hash' },
        }),
      }),
    }),
    ...options,
  })
  if (!made.site || !made.umbrella) throw new Error('no providers')
  return { hub, site: made.site, umbrella: made.umbrella }
}

const by = (hub: TestHub, provider: string, browser: Jar, query = ''): Promise<Page> =>
  browser.open(`${hub.url}/hub/login/${provider}${query}`)
const who = async (hub: TestHub, browser: Jar) => JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text).visitor
const post = (hub: TestHub, browser: Jar, path: string, form: Record<string, string> = {}) =>
  browser.open(`${hub.url}${path}`, { method: 'POST', form })
const links = (hub: TestHub) => hub.db.selectFrom('identities').selectAll().orderBy('linked_at').execute()
const did = async (hub: TestHub) =>
  (await hub.db.selectFrom('audit').select('did').orderBy('id').execute()).map((row) => row.did)

/** Shows the outside identity, then the account, in one browser. */
async function proveBoth(hub: TestHub, browser = createJar()): Promise<Jar> {
  await by(hub, 'umbrella', browser)
  await by(hub, 'site', browser, '?prompt=login&next=/hub/link')
  return browser
}

async function administrator(hub: TestHub, site: TestProvider): Promise<Jar> {
  const before = site.person
  site.person = { sub: 'boss', preferred_username: 'boss', name: 'Boss' }
  const browser = createJar()
  await by(hub, 'site', browser, '?next=/hub/who')
  site.person = before
  return browser
}

test('the first login with an unknown identity makes nobody; it tells what to do and whom to ask', async (t) => {
  const { hub } = await start(t)
  const browser = createJar()
  const page = await by(hub, 'umbrella', browser)
  t.is(page.url, `${hub.url}/hub/link`)
  t.is(page.status, 200)
  for (const says of [/The umbrella login says that you are/, /A\. Lovelace/, /v-1/, /help@example\.org/])
    t.regex(page.text, says)
  t.regex(page.text, /\/hub\/login\/site\?prompt=login&amp;next=%2Fhub%2Flink/)
  t.is(await who(hub, browser), null)
  t.is(browser.cookie('hutch-login'), undefined)
  t.deepEqual(await hub.db.selectFrom('users').selectAll().execute(), [])
  t.deepEqual(await hub.db.selectFrom('link_requests').selectAll().execute(), [], 'who only looks leaves nothing')
})

test('by proof: logging in at both, then saying yes; from then on either leads to the account', async (t) => {
  const { hub, umbrella, site } = await start(t)
  const browser = await proveBoth(hub)
  t.is((await links(hub)).length, 1, 'nothing is linked before it is confirmed')
  const asking = await browser.ask(`${hub.url}/hub/link`)
  t.regex(asking.text, /Connect to ada/)
  t.true(site.asked.length > 0)
  const done = await post(hub, browser, '/hub/link/confirm')
  t.is(done.url, `${hub.url}/hub/identities`)
  t.regex(done.text, /v-1/)
  t.is(browser.cookie('hutch-outsider'), undefined)
  const [, link] = await links(hub)
  t.like(link, { issuer: umbrella.issuer, subject: 'v-1', linked_by: 'proof', legacy_hash: hash })

  const second = createJar()
  await by(hub, 'umbrella', second, '?next=/hub/who')
  const visitor = await who(hub, second)
  t.is(visitor.user.name, 'ada')
  t.deepEqual(visitor.groups, ['optics', 'users'])
  t.deepEqual(await did(hub), ['login.began', 'link.made', 'login.began'])
})

test('the provider is asked to see the person again, although it remembers them', async (t) => {
  const { hub } = await start(t)
  const browser = createJar()
  await by(hub, 'umbrella', browser)
  const page = await browser.ask(`${hub.url}/hub/login/site?prompt=login&next=/hub/link`)
  t.is(new URL(page.headers.get('location') ?? '').searchParams.get('prompt'), 'login')
  const other = await browser.ask(`${hub.url}/hub/login/site?prompt=none&next=/hub/link`)
  t.is(new URL(other.headers.get('location') ?? '').searchParams.get('prompt'), null)
})

test('a login of long ago is no proof, nor is one by an identity alone', async (t) => {
  const { hub, umbrella } = await start(t)
  const browser = await proveBoth(hub)
  hub.clock.offsetMs += 11 * 60_000
  const late = await browser.ask(`${hub.url}/hub/link/confirm`, { method: 'POST', form: {} })
  t.is(late.status, 403)
  t.regex(late.text, /Log in with your facility account again/)
  hub.clock.offsetMs = 0
  await post(hub, browser, '/hub/link/confirm')
  // Logged in by the linked identity, with another outside identity at hand.
  const linked = createJar()
  await by(hub, 'umbrella', linked)
  umbrella.person = { ...stranger, sub: 'other', voperson_id: 'v-2' }
  for (const name of linked.names()) if (!name.startsWith('hutch')) linked.delete(name)
  t.is((await by(hub, 'umbrella', linked, '/link')).url, `${hub.url}/hub/link`)
  t.is((await who(hub, linked)).user.name, 'ada', 'whoever links stays who they are')
  t.is((await linked.ask(`${hub.url}/hub/link/confirm`, { method: 'POST', form: {} })).status, 403)
  t.is((await links(hub)).length, 2)
})

test('who has an account links further identities; one that is another’s is refused with a sentence', async (t) => {
  const { hub, umbrella, site } = await start(t)
  const browser = createJar()
  await by(hub, 'site', browser)
  await by(hub, 'umbrella', browser, '/link')
  await post(hub, browser, '/hub/link/confirm')
  umbrella.person = { ...stranger, sub: 'other', voperson_id: 'v-2' }
  for (const name of browser.names()) if (!name.startsWith('hutch')) browser.delete(name)
  await by(hub, 'umbrella', browser, '/link')
  await post(hub, browser, '/hub/link/confirm')
  t.is((await links(hub)).length, 3, 'one person, several identities')
  t.is((await by(hub, 'umbrella', browser, '/link')).url, `${hub.url}/hub/identities`, 'it is theirs already')

  site.person = { sub: 'marie', preferred_username: 'marie' }
  const marie = createJar()
  await by(hub, 'site', marie)
  const page = await by(hub, 'umbrella', marie, '/link')
  t.is(page.status, 403)
  t.regex(page.text, /linked to another account already/)
  t.deepEqual(hub.refusals, ['linkedElsewhere'])
  t.is((await who(hub, marie)).user.name, 'marie')
})

async function race(t: ExecutionContext, { hub, site }: Site): Promise<void> {
  const [one, two] = [createJar(), createJar()]
  await by(hub, 'umbrella', one)
  await by(hub, 'umbrella', two)
  await by(hub, 'site', one, '?next=/hub/link')
  site.person = { sub: 'marie', preferred_username: 'marie' }
  await by(hub, 'site', two, '?next=/hub/link')
  const ask = (browser: Jar) => browser.ask(`${hub.url}/hub/link/confirm`, { method: 'POST', form: {} })
  const pages = await Promise.all([ask(one), ask(two)])
  t.deepEqual(
    pages.map(({ status }) => status).toSorted((a, b) => a - b),
    [303, 409],
  )
  const loser = pages.find(({ status }) => status === 409)
  t.regex(loser?.text ?? '', /was linked to another account a moment ago/)
  t.is((await links(hub)).filter(({ subject }) => subject === 'v-1').length, 1)
  // The winner's second click is no error.
  const winner = pages[0]?.status === 303 ? one : two
  t.is((await did(hub)).filter((each) => each === 'link.made').length, 1)
  t.truthy(await who(hub, winner))
}

test('two browsers that link one identity to two accounts: one wins, the other reads why', async (t) => {
  await race(t, await start(t))
})

let postgres: PostgresServer | undefined
test.before(async () => {
  postgres = await postgresServer()
})
test.after.always(() => postgres?.close())

test('the same on PostgreSQL, where both run at once', async (t) => {
  if (!available(t, 'PostgreSQL', postgres, 'apt-get install postgresql')) return
  const database = await postgres?.database()
  if (database) await race(t, await start(t, { database }))
})

test('on PostgreSQL: asking, approving, unlinking', async (t) => {
  if (!available(t, 'PostgreSQL', postgres, 'apt-get install postgresql')) return
  const database = await postgres?.database()
  if (database) await approval(t, await start(t, { database }))
})

test('by an administrator: the request waits, is seen with what it says, and is approved for an account', async (t) => {
  await approval(t, await start(t))
})

async function approval(t: ExecutionContext, { hub, site, umbrella }: Site): Promise<void> {
  const browser = createJar()
  await by(hub, 'umbrella', browser)
  const asked = await post(hub, browser, '/hub/link/ask', { note: 'I am on proposal 42' })
  t.regex(asked.text, /Your request is waiting/)
  t.regex((await by(hub, 'umbrella', createJar())).text, /Your request is waiting/, 'in another browser too')
  t.is((await browser.ask(`${hub.url}/hub/admin/link-requests`)).status, 401)

  const boss = await administrator(hub, site)
  const list = await boss.ask(`${hub.url}/hub/admin/link-requests`)
  for (const says of [/A\. Lovelace/, /ada@example\.org/, /v-1/, /I am on proposal 42/, new RegExp(hash)])
    t.regex(list.text, says)
  const id = /link-requests\/([^/]+)\/approve/.exec(list.text)?.[1] ?? ''
  const bad = await boss.ask(`${hub.url}/hub/admin/link-requests/${id}/approve`, {
    method: 'POST',
    form: { user: '../root' },
  })
  t.is(bad.status, 400)
  t.regex(bad.text, /can not be an account/)
  const approved = await boss.ask(`${hub.url}/hub/admin/link-requests/${id}/approve`, {
    method: 'POST',
    form: { user: 'ada' },
  })
  t.is(approved.status, 303)
  t.regex((await boss.ask(`${hub.url}/hub/admin/link-requests`)).text, /Nobody waits/)
  await by(hub, 'umbrella', browser, '?next=/hub/who')
  t.is((await who(hub, browser)).user.name, 'ada')

  // The same person's first login at the facility itself: the account is theirs.
  const local = createJar()
  await by(hub, 'site', local, '?next=/hub/who')
  t.is((await who(hub, local)).user.id, (await who(hub, browser)).user.id)
  // And a stranger whom the facility's login calls the same is not.
  site.person = { ...ada, sub: 'another ada' }
  const other = await by(hub, 'site', createJar(), '?next=/hub/who')
  t.is(other.status, 403)
  t.regex(other.text, /already belongs to somebody/)
  const lines = await hub.db.selectFrom('audit').selectAll().where('did', 'like', 'link.%').orderBy('id').execute()
  t.deepEqual(
    lines.map((line) => [line.did, line.who, line.whom, line.what]),
    [
      ['link.requested', 'nobody', null, 'v-1'],
      ['link.made', 'boss', 'ada', 'v-1'],
      ['link.made', 'ada', 'ada', ada.sub],
    ],
  )
  const unlinked = await local.ask(`${hub.url}/hub/identities/unlink`, {
    method: 'POST',
    form: { issuer: umbrella.issuer, subject: 'v-1' },
  })
  t.is(unlinked.status, 303)
  t.is(await who(hub, browser), null, 'the login that came by it is over')
  t.truthy(await who(hub, local))
  t.is(hub.revocations.length, 1)
}

test('a request that is refused shows the reason, and can’t be asked again; by the API as well', async (t) => {
  const { hub, site } = await start(t)
  const browser = createJar()
  await by(hub, 'umbrella', browser)
  await post(hub, browser, '/hub/link/ask', { note: '' })
  const boss = await administrator(hub, site)
  const asJson = { headers: { accept: 'application/json' } }
  const { items } = JSON.parse((await boss.ask(`${hub.url}/hub/api/v1/link-requests`, asJson)).text)
  t.like(items[0], { provider: 'umbrella', subject: 'v-1', email: 'ada@example.org', legacyHash: hash, state: 'asked' })
  const { user } = await who(hub, boss)
  const scopes = ['admin:users']
  const { token } = await hub.identity.tokens.create({ userId: user.id, scopes, note: '' })
  const { token: weak } = await hub.identity.tokens.create({ userId: user.id, scopes: ['read:users'], note: '' })
  const refuse = (bearer: string, body: object) =>
    fetch(`${hub.url}/hub/api/v1/link-requests/${items[0].id}/refuse`, {
      method: 'POST',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  t.is((await refuse(weak, { reason: 'x' })).status, 403)
  t.is((await refuse(token, { reason: ' ' })).status, 400)
  t.is((await refuse(token, { reason: 'You left in May.' })).status, 204)
  t.is((await refuse(token, { reason: 'You left in May.' })).status, 404)
  const page = await by(hub, 'umbrella', browser)
  t.regex(page.text, /Your request was refused/)
  t.regex(page.text, /You left in May\./)
  t.is((await browser.ask(`${hub.url}/hub/link/ask`, { method: 'POST', form: {} })).status, 409)
})

test('requests expire, and are limited for each address', async (t) => {
  const { hub, umbrella } = await start(t)
  const ask = async (number: number) => {
    umbrella.person = { ...stranger, sub: `s${number}`, voperson_id: `v-${number}` }
    const browser = createJar()
    await by(hub, 'umbrella', browser)
    return await browser.ask(`${hub.url}/hub/link/ask`, { method: 'POST', form: { note: '' } })
  }
  for (let number = 0; number < 10; number += 1) t.is((await ask(number)).status, 303)
  const eleventh = await ask(10)
  t.is(eleventh.status, 429)
  t.truthy(eleventh.headers.get('retry-after'))
  t.is((await hub.db.selectFrom('link_requests').select('id').execute()).length, 10)
  t.is((await hub.identity.linking.requests.waiting()).length, 10)
  hub.clock.offsetMs += 15 * 86_400_000
  t.is((await hub.identity.linking.requests.waiting()).length, 0)
})

test('what a cookie says of an identity is believed only under the hub’s seal, for an hour, and a proof is this browser’s', async (t) => {
  const { hub } = await start(t)
  const browser = await proveBoth(hub)
  const sealed = browser.cookie('hutch-outsider') ?? ''
  const local = createJar()
  await by(hub, 'site', local)
  local.set('hutch-outsider', `${sealed.slice(0, -4)}AAAA`)
  t.is((await local.ask(`${hub.url}/hub/link/confirm`, { method: 'POST', form: {} })).status, 409)
  const foreign = await browser.ask(`${hub.url}/hub/link/confirm`, {
    method: 'POST',
    form: {},
    headers: { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example.org' },
  })
  t.is(foreign.status, 403)
  hub.clock.offsetMs += 3_700_000
  await by(hub, 'site', browser, '?next=/hub/link')
  t.is((await browser.ask(`${hub.url}/hub/link/confirm`, { method: 'POST', form: {} })).status, 409)
  t.is((await links(hub)).length, 1)
})

test('unlinking: the account’s own and the last one stay, another’s is not there', async (t) => {
  const { hub, site, umbrella } = await start(t)
  const browser = await proveBoth(hub)
  await post(hub, browser, '/hub/link/confirm')
  const unlink = (jar: Jar, form: Record<string, string>) =>
    jar.ask(`${hub.url}/hub/identities/unlink`, { method: 'POST', form })
  t.is((await unlink(browser, { issuer: site.issuer, subject: ada.sub })).status, 409)
  const outside = { issuer: umbrella.issuer, subject: 'v-1' }
  site.person = { sub: 'marie', preferred_username: 'marie' }
  const marie = createJar()
  await by(hub, 'site', marie)
  t.is((await unlink(marie, outside)).status, 404)
  t.is((await unlink(browser, outside)).status, 303)
  t.is((await unlink(browser, outside)).status, 404)
  const page = await by(hub, 'umbrella', createJar())
  t.is(page.url, `${hub.url}/hub/link`, 'a stranger again')
  t.is((await did(hub)).filter((each) => each === 'link.removed').length, 1)
})

test('the facility’s own matching links without a question; an account it names wrongly is refused', async (t) => {
  const seen: object[] = []
  let account = 'ada'
  const { hub, umbrella } = await start(t, {
    async matchIdentity(identity) {
      seen.push(identity)
      return identity.legacyHash === hash ? { account } : undefined
    },
  })
  const browser = createJar()
  await by(hub, 'umbrella', browser, '?next=/hub/who')
  t.is((await who(hub, browser)).user.name, 'ada')
  t.like(seen[0], { provider: 'umbrella', subject: 'v-1', legacyHash: hash })
  t.is((await links(hub))[0]?.linked_by, 'match')
  umbrella.person = { ...stranger, sub: 'x', voperson_id: 'v-9', eaa_hash: 'not a hash' }
  t.is((await by(hub, 'umbrella', createJar())).url, `${hub.url}/hub/link`)
  umbrella.person = { ...stranger, sub: 'y', voperson_id: 'v-8' }
  account = '../root'
  t.is((await by(hub, 'umbrella', createJar())).status, 403)
  t.is((await hub.db.selectFrom('users').select('id').execute()).length, 1)
})

for (const [what, value] of [
  ['is missing', undefined],
  ['is a number', 17],
  ['is a list', ['v-1']],
  ['is empty', ''],
  ['is too long', 'v'.repeat(256)],
  ['is not ASCII', 'v-\u0131'],
] as const) {
  test(`the claim that says who it is ${what}: refused, and nobody else is let in for it`, async (t) => {
    const { hub, umbrella } = await start(t)
    const browser = await proveBoth(hub)
    await post(hub, browser, '/hub/link/confirm')
    umbrella.person = { ...stranger, voperson_id: value }
    const page = await by(hub, 'umbrella', createJar())
    t.is(page.status, 403)
    t.regex(page.text, /the claim “voperson_id” is missing or is no short text/)
    t.deepEqual(hub.refusals, ['subject'])
  })
}

test('a logout token names the provider’s sub, whatever somebody is known again by', async (t) => {
  const { hub, umbrella } = await start(t)
  await post(hub, await proveBoth(hub), '/hub/link/confirm')
  const browser = createJar()
  await by(hub, 'umbrella', browser, '?next=/hub/who')
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
  const call = async (sub: string) => {
    const claims = {
      iss: umbrella.issuer,
      aud: umbrella.clientId,
      iat: Math.floor(Date.now() / 1000),
      jti: sub,
      sub,
      events,
    }
    const body = new URLSearchParams({ logout_token: await umbrella.sign(claims, { typ: 'logout+jwt' }) })
    return (await fetch(`${hub.url}/hub/login/umbrella/backchannel`, { method: 'POST', body })).status
  }
  t.is(await call('v-1'), 200)
  t.truthy(await who(hub, browser))
  t.is(await call(stranger.sub), 200)
  t.is(await who(hub, browser), null)
})
