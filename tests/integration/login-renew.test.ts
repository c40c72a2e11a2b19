/** A login that runs out is renewed in a window of its own: in silence where that can be, by the same person alone. */
import test from 'ava'
import { createJar, type Jar } from '../support/browser-jar.ts'
import { startHubAndProvider, type TestHub } from '../support/identity.ts'

const who = async (hub: TestHub, browser: Jar) => JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text).visitor

async function start(t: Parameters<typeof startHubAndProvider>[0]) {
  const { hub, provider } = await startHubAndProvider(t)
  const browser = createJar()
  await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
  return { hub, provider, browser }
}

const prompts = (trail: readonly string[]): (string | null)[] =>
  trail.filter((url) => url.includes('/auth?')).map((url) => new URL(url).searchParams.get('prompt'))

test('in silence: the provider is asked to show nothing, and the login goes on with a later end', async (t) => {
  const { hub, browser } = await start(t)
  const before = await who(hub, browser)
  const secret = browser.cookie('hutch-login')
  hub.clock.offsetMs += 30_000
  const page = await browser.open(`${hub.url}/hub/login/renew`)
  t.is(page.url, `${hub.url}/hub/login/renewed`)
  t.is(page.status, 200)
  t.deepEqual(prompts(page.trail), ['none'])
  t.false(page.trail.some((url) => url.includes('/interaction/')))
  const after = await who(hub, browser)
  t.is(after.login, before.login)
  t.true(Date.parse(after.expiresAt) > Date.parse(before.expiresAt))
  t.not(browser.cookie('hutch-login'), secret)
  t.is(hub.revocations.length, 0)
  const did = await hub.db.selectFrom('audit').select('did').orderBy('id').execute()
  t.deepEqual(
    did.map((row) => row.did),
    ['login.began', 'login.renewed'],
  )
})

test('the provider wants to see the person: then it is asked again, without silence', async (t) => {
  const { hub, browser } = await start(t)
  const before = await who(hub, browser)
  for (const name of browser.names()) if (!name.startsWith('hutch')) browser.delete(name)
  const page = await browser.open(`${hub.url}/hub/login/renew`)
  t.is(page.url, `${hub.url}/hub/login/renewed`)
  t.deepEqual(prompts(page.trail), ['none', null])
  t.is((await who(hub, browser)).login, before.login)
  t.deepEqual(hub.refusals, [])
})

test('another person at the provider renews nothing and gets nothing', async (t) => {
  const { hub, provider, browser } = await start(t)
  const before = await who(hub, browser)
  for (const name of browser.names()) if (!name.startsWith('hutch')) browser.delete(name)
  provider.person = { sub: 'marie', preferred_username: 'marie' }
  const page = await browser.open(`${hub.url}/hub/login/renew`)
  t.is(page.status, 403)
  t.regex(page.text, /another person than the one whose login is to be renewed/)
  t.deepEqual(await who(hub, browser), before)
  t.is((await hub.db.selectFrom('users').select('id').execute()).length, 1, 'nobody is made')
  t.is(hub.revocations.length, 0)
})

test('who is not logged in has nothing to renew; a revoked login is not renewed but begins anew', async (t) => {
  const { hub, browser } = await start(t)
  t.is((await createJar().ask(`${hub.url}/hub/login/renew`)).status, 401)
  const { login } = await who(hub, browser)
  // Revoked while the window is at the provider.
  const at = await browser.open(`${hub.url}/hub/login/renew`, { until: (url) => url.pathname.endsWith('/callback') })
  await hub.identity.logins.revoke(login)
  await browser.open(at.url)
  const after = await who(hub, browser)
  t.not(after?.login, login)
  t.is((await hub.db.selectFrom('logins').selectAll().where('revoked_at', 'is', null).execute()).length, 1)
})
