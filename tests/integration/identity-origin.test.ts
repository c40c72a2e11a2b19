/** What another site makes a browser send changes nothing, whoever is logged in. */
import test from 'ava'
import { createJar } from '../support/browser-jar.ts'
import { startHubAndProvider } from '../support/identity.ts'

interface Row {
  readonly request: string
  readonly method?: string
  readonly headers: Readonly<Record<string, string>>
  readonly cookie?: boolean
  readonly status: number
}
const own = 'the hub itself'

const rows: readonly Row[] = [
  { request: 'the hub’s own page', headers: { 'sec-fetch-site': 'same-origin', origin: own }, status: 200 },
  { request: 'the hub’s own page, without Origin', headers: { 'sec-fetch-site': 'same-origin' }, status: 200 },
  { request: 'another site', headers: { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }, status: 403 },
  {
    request: 'another site that hides its origin',
    headers: { 'sec-fetch-site': 'cross-site', origin: 'null' },
    status: 403,
  },
  { request: 'a sibling host, such as an environment’s', headers: { 'sec-fetch-site': 'same-site' }, status: 403 },
  { request: 'the address bar, which sends no POST', headers: { 'sec-fetch-site': 'none' }, status: 403 },
  { request: 'a value nobody knows', headers: { 'sec-fetch-site': 'SAME-ORIGIN' }, status: 403 },
  { request: 'an old browser, own origin', headers: { origin: own }, status: 200 },
  { request: 'an old browser, other origin', headers: { origin: 'https://evil.example' }, status: 403 },
  { request: 'an old browser, own host on another port', headers: { origin: 'http://127.0.0.1:1' }, status: 403 },
  { request: 'an old browser, opaque origin', headers: { origin: 'null' }, status: 403 },
  { request: 'no browser at all, with the cookie', headers: {}, status: 403 },
  { request: 'an empty origin', headers: { origin: '' }, status: 403 },
  { request: 'no browser and no cookie', headers: {}, cookie: false, status: 200 },
  {
    request: 'another site, without a cookie',
    headers: { 'sec-fetch-site': 'cross-site' },
    cookie: false,
    status: 403,
  },
  { request: 'PUT by another site', method: 'PUT', headers: { 'sec-fetch-site': 'cross-site' }, status: 403 },
  { request: 'DELETE by another site', method: 'DELETE', headers: { 'sec-fetch-site': 'cross-site' }, status: 403 },
  { request: 'GET by another site', method: 'GET', headers: { 'sec-fetch-site': 'cross-site' }, status: 200 },
]

for (const { request, method = 'POST', headers, cookie = true, status } of rows) {
  test(`${method} from ${request}: ${status}`, async (t) => {
    const { hub } = await startHubAndProvider(t)
    const browser = createJar()
    if (cookie) await browser.open(`${hub.url}/hub/login/site`)
    const sent = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value === own ? hub.url : value]),
    )
    const answer = await fetch(`${hub.url}/hub/change`, {
      method,
      headers: { ...sent, ...(cookie ? { cookie: `hutch-login=${browser.cookie('hutch-login')}` } : {}) },
    })
    t.is(answer.status, status)
    if (status === 403) t.is(((await answer.json()) as { type: string }).type, 'foreignOrigin')
  })
}

test('another site can neither log anybody out nor begin a login by POST', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  await browser.open(`${hub.url}/hub/login/site`)
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
  for (const path of ['/hub/logout', '/hub/logout/everywhere', '/hub/login/site']) {
    t.is((await browser.ask(hub.url + path, { method: 'POST', headers })).status, 403, path)
  }
  t.is(JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text).visitor.user.name, 'ada')
})

test('only GET and HEAD open the ways in; logout needs POST', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  await browser.open(`${hub.url}/hub/login/site`)
  const page = await browser.ask(`${hub.url}/hub/logout`)
  t.is(JSON.parse(page.text).visitor.user.name, 'ada', 'a GET ends no login')
})
