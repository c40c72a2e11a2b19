/** A provider that is slow, dead or talks nonsense: one clear sentence, the hub goes on, and it works again by itself. */
import test from 'ava'
import { createJar } from '../support/browser-jar.ts'
import { startHub, startHubAndProvider } from '../support/identity.ts'
import type { Forgeries, TestProvider } from '../support/oidc.ts'

interface Row {
  readonly provider: string
  readonly forge: (provider: TestProvider) => Forgeries
}

const discovery = (body: string, status = 200, type?: string): Row['forge'] => {
  return () => ({ discovery: () => ({ body, status, ...(type === undefined ? {} : { type }) }) })
}

const metadata =
  (changes: Record<string, unknown>): Row['forge'] =>
  () => ({ discovery: (answer) => ({ ...answer, ...changes }) })

const rows: readonly Row[] = [
  { provider: 'answers 500', forge: discovery('oops', 500) },
  { provider: 'answers 404', forge: discovery('{}', 404) },
  { provider: 'answers HTML', forge: discovery('<html>Welcome to nginx', 200, 'text/html') },
  { provider: 'answers null', forge: discovery('null') },
  { provider: 'answers without end', forge: discovery('x'.repeat(5_000_000)) },
  { provider: 'redirects', forge: () => ({ discovery: () => ({ body: '', status: 302, location: '/elsewhere' }) }) },
  {
    provider: 'hangs up',
    forge: () => ({
      everything(_req, res) {
        res.destroy()
        return true
      },
    }),
  },
  { provider: 'says it is another issuer', forge: metadata({ issuer: 'https://login.example.org' }) },
  { provider: 'has no token endpoint', forge: metadata({ token_endpoint: undefined }) },
  { provider: 'wants the code in the clear', forge: metadata({ token_endpoint: 'http://login.example.org/token' }) },
  { provider: 'sends browsers to a script', forge: metadata({ authorization_endpoint: 'javascript:alert(1)' }) },
  { provider: 'has its keys in a file', forge: metadata({ jwks_uri: 'file:///etc/passwd' }) },
]

for (const { provider: what, forge } of rows) {
  test(`a provider that ${what} is named as not answering, and asked again later`, async (t) => {
    const { hub, provider } = await startHubAndProvider(t)
    Object.assign(provider.forge, forge(provider))
    const browser = createJar()
    const page = await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
    t.is(page.status, 502)
    t.regex(page.text, /The site login does not answer as it should/)
    t.is(page.headers.get('retry-after'), '60')
    t.deepEqual(hub.refusals, ['providerUnreachable'])

    const asked = provider.asked.length
    await browser.open(`${hub.url}/hub/login/site`)
    t.is(provider.asked.length, asked, 'it is not asked again at once')

    delete provider.forge.discovery
    delete provider.forge.everything
    hub.clock.offsetMs += 3_000
    t.is((await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)).url, `${hub.url}/hub/who`)
  })
}

test('a provider that is not there at all', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  await provider.stop()
  const page = await createJar().open(`${hub.url}/hub/login/site`)
  t.is(page.status, 502)
  t.is((await createJar().ask(`${hub.url}/hub/login`)).status, 200)
})

test('an http provider on another machine is refused before anything is sent', async (t) => {
  const asked: string[] = []
  const hub = await startHub(t, {
    configurations: () => ({
      site: {
        title: 'The site login',
        issuer: 'http://login.example.org',
        clientId: 'hutch',
        scopes: [],
        claims: { name: 'preferred_username', title: 'name', email: 'email', groups: 'groups', subject: 'sub' },
        administrators: [],
        refresh: 600_000,
      },
    }),
    async fetch() {
      asked.push('something')
      throw new Error('not reached')
    },
  })
  t.is((await createJar().open(`${hub.url}/hub/login/site`)).status, 502)
  t.deepEqual(asked, [])
})

test('a provider that never answers is given up after ten seconds, and everybody waits for the same question', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  provider.forge.everything = () => true
  const began = performance.now()
  const pages = await Promise.all([1, 2, 3].map(() => createJar().open(`${hub.url}/hub/login/site`)))
  t.true(performance.now() - began >= 9_500)
  t.deepEqual(
    pages.map(({ status }) => status),
    [502, 502, 502],
  )
  t.is(provider.asked.length, 1)
})

test('a provider that answers a byte a second is given up as well', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  provider.forge.everything = (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' })
    const drip = setInterval(() => res.write(' '), 1_000)
    res.on('close', () => clearInterval(drip))
    return true
  }
  t.is((await createJar().open(`${hub.url}/hub/login/site`)).status, 502)
})

test('a provider whose keys change is believed again without a restart', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const { keys } = { keys: (answer: Record<string, unknown>) => ({ ...answer, keys: [] }) }
  provider.forge.keys = keys
  const browser = createJar()
  t.is((await browser.open(`${hub.url}/hub/login/site`)).status, 403)
  t.deepEqual(hub.refusals, ['signature'])
  t.is(provider.asked.filter((line) => line === 'GET /jwks').length, 1)
})

test('what was learnt goes on serving while the discovery document alone is gone', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  await createJar().open(`${hub.url}/hub/login/site`)
  provider.forge.discovery = () => ({ body: 'gone', status: 503 })
  hub.clock.offsetMs += 2 * 3_600_000
  const page = await createJar().open(`${hub.url}/hub/login/site`, { until: (url) => url.pathname.endsWith('/auth') })
  t.true(page.url.startsWith(provider.issuer))
})

test('a provider that does not know the hub says so in words for the administrator', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  provider.forge.everything = (req, res) => {
    if (req.url !== '/token') return false
    res.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"invalid_client"}')
    return true
  }
  const page = await createJar().open(`${hub.url}/hub/login/site`)
  t.is(page.status, 403)
  t.regex(page.text, /does not accept this hub&#39;s own credentials/)
  t.deepEqual(hub.refusals, ['clientCredentials'])
})

test('two providers with one issuer are refused at the start', async (t) => {
  await t.throwsAsync(
    startHub(t, {
      configurations: () => {
        const one = {
          title: 'One',
          issuer: 'https://login.example.org',
          clientId: 'hutch',
          scopes: [],
          claims: { name: 'sub', title: 'name', email: 'email', groups: 'groups', subject: 'sub' },
          administrators: [],
          refresh: 600_000,
        }
        return { one, two: { ...one, title: 'Two' } }
      },
    }),
    { message: /an issuer of its own/ },
  )
})
