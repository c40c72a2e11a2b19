/** The way there and back: only the browser that began a login may end it, once, soon, and with the right provider. */
import test from 'ava'
import type { FailureReason } from '../../hub/identity/failure.ts'
import { createJar, type Jar } from '../support/browser-jar.ts'
import { startHub, startHubAndProvider, type TestHub } from '../support/identity.ts'
import { ada, startProvider, type TestProvider } from '../support/oidc.ts'

const isCallback = (url: URL): boolean => url.pathname.endsWith('/callback')

/** Goes to the provider and back, but stops before the hub sees the answer. */
async function answerFor(browser: Jar, hub: TestHub, query = '', provider = 'site'): Promise<URL> {
  const page = await browser.open(`${hub.url}/hub/login/${provider}${query}`, { until: isCallback })
  return new URL(page.url)
}

async function whoIs(browser: Jar, hub: TestHub): Promise<string | undefined> {
  const page = await browser.ask(`${hub.url}/hub/who`)
  return JSON.parse(page.text).visitor?.user.name
}

interface Row {
  readonly answer: string
  readonly reason: FailureReason
  /** Changes the address that the browser is sent back to, or the browser. */
  readonly change: (url: URL, browser: Jar, hub: TestHub) => void
}

const set =
  (changes: Record<string, string | undefined>): Row['change'] =>
  (url) => {
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) url.searchParams.delete(name)
      else url.searchParams.set(name, value)
    }
  }

const pendingCookie = (browser: Jar): string => browser.names().find((name) => name.includes('hutch-pending-')) ?? ''

const rows: readonly Row[] = [
  { answer: 'without a state', reason: 'state', change: set({ state: undefined }) },
  { answer: 'with an empty state', reason: 'state', change: set({ state: '' }) },
  { answer: 'with an invented state', reason: 'state', change: set({ state: 'A'.repeat(32) }) },
  { answer: 'with a state of 8 kB', reason: 'state', change: set({ state: 'A'.repeat(8_000) }) },
  { answer: 'with a state that names something of every object', reason: 'state', change: set({ state: '__proto__' }) },
  {
    answer: 'with its state twice',
    reason: 'repeatedParameter',
    change: (url) => url.searchParams.append('state', url.searchParams.get('state') ?? ''),
  },
  { answer: 'with its code twice', reason: 'repeatedParameter', change: (url) => url.searchParams.append('code', 'x') },
  { answer: 'with iss twice', reason: 'repeatedParameter', change: (url) => url.searchParams.append('iss', 'x') },
  {
    answer: 'of another issuer',
    reason: 'issuerMixUp',
    change: set({ iss: 'https://evil.example.org' }),
  },
  { answer: 'without the issuer that the provider promises', reason: 'issuerMixUp', change: set({ iss: undefined }) },
  { answer: 'without a code', reason: 'code', change: set({ code: undefined }) },
  { answer: 'with an empty code', reason: 'code', change: set({ code: '' }) },
  { answer: 'with an invented code', reason: 'code', change: set({ code: 'invented' }) },
  { answer: 'with error and code', reason: 'providerRefused', change: set({ error: 'server_error' }) },
  {
    answer: 'with an error and a right state',
    reason: 'cancelled',
    change: set({ error: 'access_denied', code: undefined }),
  },
  {
    answer: 'with an error and an invented state',
    reason: 'state',
    change: set({ error: 'access_denied', code: undefined, state: 'invented' }),
  },
  {
    answer: 'eleven minutes later',
    reason: 'state',
    change(_url, _browser, hub) {
      hub.clock.offsetMs = 11 * 60_000
    },
  },
  {
    answer: 'in a browser that has forgotten',
    reason: 'state',
    change: (_url, browser) => browser.delete(pendingCookie(browser)),
  },
  {
    answer: 'with a cookie that was made up',
    reason: 'state',
    change: (_url, browser) => browser.set(pendingCookie(browser), 'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA'),
  },
  {
    answer: 'with a cookie of which one letter was changed',
    reason: 'state',
    change(_url, browser) {
      const name = pendingCookie(browser)
      const value = browser.cookie(name) ?? ''
      const at = value.length - 30
      browser.set(name, value.slice(0, at) + (value[at] === 'A' ? 'B' : 'A') + value.slice(at + 1))
    },
  },
  {
    answer: 'with the cookie of another login under its name',
    reason: 'state',
    change(url, browser) {
      const value = browser.cookie(pendingCookie(browser)) ?? ''
      url.searchParams.set('state', 'B'.repeat(32))
      browser.set(`hutch-pending-${'B'.repeat(32)}`, value)
    },
  },
]

for (const { answer, reason, change } of rows) {
  test(`refused: an answer ${answer}`, async (t) => {
    const { hub } = await startHubAndProvider(t)
    const browser = createJar()
    const url = await answerFor(browser, hub)
    change(url, browser, hub)
    const page = await browser.open(url.href)
    t.deepEqual(hub.refusals, [reason])
    t.is(page.status, 403)
    t.regex(page.text, /role="alert"/)
    t.is(browser.cookie('hutch-login'), undefined)
    t.is(await whoIs(browser, hub), undefined)
  })
}

test('a login answer does nothing in another browser, and still works in its own', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const [attacker, victim] = [createJar(), createJar()]
  const url = await answerFor(attacker, hub)
  const page = await victim.open(url.href)
  t.is(page.status, 403)
  t.deepEqual(hub.refusals, ['state'])
  t.is(await whoIs(victim, hub), undefined)
  await attacker.open(url.href)
  t.is(await whoIs(attacker, hub), 'ada')
})

test('a login answer is good once, also for a browser that kept the cookie', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  const url = await answerFor(browser, hub)
  const kept = browser.copy()
  await browser.open(url.href)
  t.is(await whoIs(browser, hub), 'ada')
  t.is((await browser.open(url.href)).status, 403)
  t.is((await kept.open(url.href)).status, 403)
  t.is(await whoIs(kept, hub), undefined)
  t.deepEqual(hub.refusals, ['state', 'state'])
})

test('a code that was used is refused by the provider, also when another hub sees the answer first', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  const url = await answerFor(browser, hub)
  const kept = browser.copy()
  await browser.open(url.href)
  hub.restart()
  t.is((await kept.open(url.href)).status, 403)
  t.deepEqual(hub.refusals, ['code'])
})

test('a code of another login, injected into one of ours, is refused', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const [attacker, victim] = [createJar(), createJar()]
  const stolen = await answerFor(attacker, hub)
  const own = await answerFor(victim, hub)
  own.searchParams.set('code', stolen.searchParams.get('code') ?? '')
  t.is((await victim.open(own.href)).status, 403)
  // PKCE: the verifier of the victim's login does not fit the attacker's code.
  t.deepEqual(hub.refusals, ['code'])
})

test('two tabs do not break each other, in whatever order they end', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  const first = await answerFor(browser, hub, '?next=/hub/first')
  const second = await answerFor(browser, hub, '?next=/hub/second')
  t.is((await browser.open(second.href)).url, `${hub.url}/hub/second`)
  t.is((await browser.open(first.href)).url, `${hub.url}/hub/first`)
  t.is(await whoIs(browser, hub), 'ada')
})

test('five logins may be pending in one browser; a sixth makes the oldest forgotten', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  const answers: URL[] = []
  for (let tab = 0; tab < 6; tab += 1) {
    answers.push(await answerFor(browser, hub, `?next=/hub/tab-${tab}`))
    hub.clock.offsetMs += 2_000
  }
  t.is(browser.names().filter((name) => name.startsWith('hutch-pending-')).length, 5)
  const [oldest, ...others] = answers
  t.is((await browser.open(oldest?.href ?? '')).status, 403)
  for (const [index, answer] of others.entries()) {
    t.is((await browser.open(answer.href)).url, `${hub.url}/hub/tab-${index + 1}`)
  }
})

test('a login that is under way outlives a restart of the hub', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  const url = await answerFor(browser, hub)
  hub.restart()
  await browser.open(url.href)
  t.is(await whoIs(browser, hub), 'ada')
})

test('no session fixation: what a browser had before is worth nothing after a login', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const [attacker, victim] = [createJar(), createJar()]
  attacker.set('hutch-login', 'planted-by-the-attacker')
  victim.set('hutch-login', 'planted-by-the-attacker')
  await victim.open(`${hub.url}/hub/login/site`)
  t.is(await whoIs(victim, hub), 'ada')
  t.is(await whoIs(attacker, hub), undefined)
  t.not(victim.cookie('hutch-login'), 'planted-by-the-attacker')

  const first = victim.cookie('hutch-login')
  await victim.open(`${hub.url}/hub/login/site`)
  t.not(victim.cookie('hutch-login'), first)
})

test('the cookie holds a random secret of which the store has the hash alone', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const browser = createJar()
  const url = await answerFor(browser, hub)
  const page = await browser.ask(url.href)
  const line = page.headers.getSetCookie().find((one) => one.startsWith('hutch-login='))
  t.regex(line ?? '', /^hutch-login=[\w-]{43}; Path=\/hub\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/)
  const secret = browser.cookie('hutch-login') ?? ''
  const rows = await hub.db.selectFrom('logins').selectAll().execute()
  t.false(JSON.stringify([rows, hub.lines]).includes(secret))
  t.is(page.headers.get('cache-control'), 'no-store')
})

test('who logs in where somebody else was logged in ends that login; the same person’s goes on, with another secret', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  const browser = createJar()
  await browser.open(`${hub.url}/hub/login/site`)
  const older = browser.copy()
  const first = await hub.db.selectFrom('logins').selectAll().executeTakeFirstOrThrow()
  await browser.open(`${hub.url}/hub/login/site`)
  t.is(await whoIs(browser, hub), 'ada')
  t.is(await whoIs(older, hub), undefined)
  t.is(hub.revocations.length, 0, 'what hangs on it stays open')
  const [second, ...more] = await hub.db.selectFrom('logins').selectAll().execute()
  t.deepEqual(more, [])
  t.is(second?.id, first.id)
  t.is(second?.created_at, first.created_at)
  t.true((second?.expires_at ?? 0) > first.expires_at)

  provider.person = { sub: 'marie', preferred_username: 'marie' }
  const shared = browser.copy()
  for (const name of shared.names()) if (!name.startsWith('hutch')) shared.delete(name)
  await shared.open(`${hub.url}/hub/login/site`)
  t.is(await whoIs(shared, hub), 'marie')
  t.is(await whoIs(browser, hub), undefined)
  t.is(hub.revocations.length, 1)
})

for (const promised of [true, false]) {
  test(`an answer brought to another provider is refused, and that one learns no code (${promised ? 'with' : 'without'} iss)`, async (t) => {
    const made = new Map<string, TestProvider>()
    const hub = await startHub(t, {
      async providers(hub) {
        for (const name of ['honest', 'evil']) {
          const provider = await startProvider(t, { hub, name })
          if (!promised) provider.forge.discovery = withoutIss
          made.set(name, provider)
        }
        return Object.fromEntries(made)
      },
    })
    const browser = createJar()
    const url = await answerFor(browser, hub, '', 'honest')
    url.pathname = '/hub/login/evil/callback'
    if (!promised) url.searchParams.delete('iss')
    t.is((await browser.open(url.href)).status, 403)
    t.deepEqual(hub.refusals, ['issuerMixUp'])
    t.false(made.get('evil')?.asked.includes('POST /token'))
  })
}

const withoutIss = ({ authorization_response_iss_parameter_supported: _none, ...metadata }: Record<string, unknown>) =>
  metadata

test('a provider that promises no iss may leave it out', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  provider.forge.discovery = withoutIss
  const browser = createJar()
  const url = await answerFor(browser, hub)
  url.searchParams.delete('iss')
  await browser.open(url.href)
  t.is(await whoIs(browser, hub), 'ada')
})

test('a start that carries a code is a start, not a callback', async (t) => {
  const { hub } = await startHubAndProvider(t)
  const page = await createJar().ask(`${hub.url}/hub/login/site?code=x&state=y&error=z`)
  t.is(page.status, 302)
  const url = new URL(page.headers.get('location') ?? '')
  t.is(url.pathname, '/auth')
  t.is(url.searchParams.get('code_challenge_method'), 'S256')
  t.regex(url.searchParams.get('code_challenge') ?? '', /^[\w-]{43}$/)
  t.is(url.searchParams.get('scope'), 'openid profile email')
  t.is(url.searchParams.get('redirect_uri'), `${hub.url}/hub/login/site/callback`)
})

test('who cancels at the provider reads so', async (t) => {
  const { hub, provider } = await startHubAndProvider(t)
  provider.person = undefined
  const browser = createJar()
  const page = await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
  t.is(page.status, 403)
  t.regex(page.text, /cancelled at The site login/)
  t.regex(page.text, /href="\/hub\/login\/site\?next=%2Fhub%2Fwho"/, 'trying again leads where the first try did')
  provider.person = ada
  await browser.open(`${hub.url}/hub/login/site`)
  t.is(await whoIs(browser, hub), 'ada')
})

test('next leads to the hub alone', async (t) => {
  const { hub } = await startHubAndProvider(t)
  for (const [next, expected] of [
    ['/hub/who?a=1#b', '/hub/who?a=1#b'],
    ['/user/ada/lab/tree', '/user/ada/lab/tree'],
    ['//evil.example.org/hub/', '/hub/'],
    ['https://evil.example.org/hub/', '/hub/'],
    ['/\\evil.example.org/', '/hub/'],
    ['/hub/\\..\\..\\evil', '/hub/'],
  ]) {
    const page = await createJar().open(`${hub.url}/hub/login/site?next=${encodeURIComponent(next ?? '')}`)
    t.is(page.url, hub.url + (expected ?? ''))
  }
})

test('with several providers each login page entry leads to its own', async (t) => {
  const hub = await startHub(t, {
    providers: async (hub) => ({
      umbrella: await startProvider(t, { hub, name: 'umbrella' }),
      site: await startProvider(t, { hub, name: 'site' }),
    }),
  })
  const browser = createJar()
  const page = await browser.open(`${hub.url}/hub/login?next=/hub/who`)
  t.regex(page.text, /href="\/hub\/login\/umbrella\?next=%2Fhub%2Fwho"/)
  t.regex(page.text, /href="\/hub\/login\/site\?next=%2Fhub%2Fwho"/)
  const after = await browser.open(`${hub.url}/hub/login/umbrella?next=/hub/who`)
  t.is(JSON.parse(after.text).visitor.provider, 'umbrella')
  t.is((await browser.open(`${hub.url}/hub/login?next=/hub/who`)).url, `${hub.url}/hub/who`)
  t.is((await browser.ask(`${hub.url}/hub/login/nobody`)).status, 404)
})
