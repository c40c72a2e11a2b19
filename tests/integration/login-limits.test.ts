/** Too many tries are refused with 429 and Retry-After, by address and by person; nobody else is kept out. */
import test from 'ava'
import { createJar } from '../support/browser-jar.ts'
import { startHub, startHubAndProvider } from '../support/identity.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('forged callbacks from one address are refused after thirty, 10,000 or not', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const statuses: number[] = []
  for (let number = 0; number < 60; number += 1) {
    const page = await createJar().ask(`${hub.url}/hub/login/site/callback?code=x&state=y`)
    statuses.push(page.status)
    if (page.status === 429) t.regex(page.headers.get('retry-after') ?? '', /^\d+$/)
  }
  t.deepEqual(statuses, [...Array.from({ length: 30 }, () => 403), ...Array.from({ length: 30 }, () => 429)])
})

test('after too many forged answers a good one from there has to wait too, and the provider is not asked', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const browser = createJar()
  const page = await browser.open(`${hub.url}/hub/login/site`, { until: (url) => url.pathname.endsWith('/callback') })
  for (let number = 0; number < 30; number += 1) await createJar().ask(`${hub.url}/hub/login/site/callback?state=x`)
  t.is((await browser.ask(page.url)).status, 429)
  t.false(provider.asked.includes('POST /token'))
})

test('one address that fails keeps nobody else out, whatever it writes into X-Forwarded-For', async (t) => {
  const { hub } = await startHubAndProvider(t)
  // As the proxy writes it: what came before, then the address that it saw.
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })
  const bad = `${hub.url}/hub/login/site/callback?code=x&state=y`
  for (let number = 0; number < 30; number += 1) await createJar().ask(bad, from(`10.0.0.${number}, 192.0.2.66`))
  t.is((await createJar().ask(bad, from('10.9.9.9, 192.0.2.66'))).status, 429)
  t.is((await createJar().ask(bad, from('192.0.2.7'))).status, 403)
})

test('logins that succeed are not counted as failures', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  for (let number = 0; number < 35; number += 1) {
    provider.person = { sub: `person-${number}`, preferred_username: `person${number}` }
    t.is((await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)).status, 200)
  }
})

test('one person who logs in without end is slowed down', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const statuses: number[] = []
  for (let number = 0; number < 31; number += 1) {
    const page = await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)
    statuses.push(page.status)
  }
  t.is(statuses.indexOf(429), 30)
})

test('starts without end from one address are refused', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const pages = await Promise.all(Array.from({ length: 310 }, () => createJar().ask(`${hub.url}/hub/login/site`)))
  t.is(pages.filter(({ status }) => status === 302).length, 300)
  const refused = pages.find(({ status }) => status === 429)
  t.truthy(refused?.headers.get('retry-after'))
})

test('guessing the password of a demo person ends after ten tries, and the others still get in', async (t) => {
  const hub = await startHub(t, { demoFolder: await temporaryFolder(t) })
  const browser = createJar()
  const form = await browser.open(`${hub.url}/hub/login/demo?next=/hub/who`)
  const guess = (name: string, password: string) => browser.open(form.url, { method: 'POST', form: { name, password } })
  for (let number = 0; number < 10; number += 1) {
    const page = await guess('ada', `wrong-${number}`)
    t.is(page.status, 403)
    t.regex(page.text, /The name or the password is not right/)
  }
  const [ada, marie] = hub.demo?.people ?? []
  const late = await guess('ada', ada?.password ?? '')
  t.is(late.status, 429)
  t.true(Number(late.headers.get('retry-after')) > 0)
  t.is((await guess('marie', marie?.password ?? '')).url, `${hub.url}/hub/who`)
})
