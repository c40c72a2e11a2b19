/** Entitlement stays true while somebody is logged in: the provider is asked again, and only its own no ends a login. */
import test from 'ava'
import { decodeJwt } from 'jose'
import type { Refresher } from '../../hub/identity/refresher.ts'
import { createJar, type Jar } from '../support/browser-jar.ts'
import { startHubAndProvider, type TestHub } from '../support/identity.ts'
import { ada, type Forged, type TestProvider } from '../support/oidc.ts'

const scopes = ['openid', 'profile', 'email', 'offline_access']

async function start(t: Parameters<typeof startHubAndProvider>[0]) {
  const made = await startHubAndProvider(t, {
    configurations: ({ site }) => ({ ...(site && { site: site.configuration({ scopes, refresh: 600_000 }) }) }),
  })
  const { hub, provider } = made
  provider.refreshTokens = true
  const browser = createJar()
  const page = await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
  if (page.url !== `${hub.url}/hub/who`) throw new Error(page.text)
  return { hub, provider, browser, refresher: hub.identity.refresher }
}

const who = async (hub: TestHub, browser: Jar) => JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text).visitor
const asked = (provider: TestProvider) => provider.asked.filter((each) => each === 'POST /token').length

/** As if the interval were over, and what a hub that failed claims for itself; the provider's clock stays as it is. */
async function becomeDue(hub: TestHub): Promise<void> {
  await hub.db
    .updateTable('logins')
    .set((row) => ({ refreshed_at: row('refreshed_at', '-', 601_000), refreshing_until: null }))
    .execute()
}

async function later(hub: TestHub, refresher: Refresher): Promise<void> {
  await becomeDue(hub)
  await refresher.refresh()
  hub.clock.offsetMs += 2_000
}

test('groups that change at the provider change here, without a new login; before the time nobody is asked', async (t) => {
  const { hub, provider, browser, refresher } = await start(t)
  t.deepEqual((await who(hub, browser)).groups, ada['groups'])
  const before = asked(provider)
  provider.person = { ...ada, groups: ['neutrons'] }
  provider.change(provider.person)
  await refresher.refresh()
  t.is(asked(provider), before)
  await later(hub, refresher)
  t.is(asked(provider), before + 1)
  t.deepEqual((await who(hub, browser)).groups, ['neutrons'])
  provider.change({ ...ada, groups: [] })
  await later(hub, refresher)
  t.deepEqual((await who(hub, browser)).groups, [], 'with the new refresh token')
  t.is(hub.revocations.length, 0)
})

test('invalid_grant ends the login, and what it opened', async (t) => {
  const { hub, provider, browser, refresher } = await start(t)
  const { login } = await who(hub, browser)
  provider.forge.everything = (req, res) => {
    if (req.url !== '/token') return false
    res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_grant"}')
    return true
  }
  await later(hub, refresher)
  t.is(await who(hub, browser), null)
  t.deepEqual(
    hub.revocations.map(({ subject }) => subject),
    [login],
  )
  const line = await hub.db.selectFrom('audit').selectAll().where('did', '=', 'login.ended').executeTakeFirstOrThrow()
  t.like(line, { who: 'service:site', whom: 'ada', login })
})

interface Row {
  readonly answer: string
  readonly forged?: Forged
  readonly forge?: (provider: TestProvider) => void
}
const json = (status: number, body: object): Forged => ({ status, body: JSON.stringify(body) })
const rows: readonly Row[] = [
  {
    answer: 'nothing: it is down',
    forge: (provider) => void (provider.forge.everything = (_req, res) => !!res.destroy()),
  },
  { answer: 'an error page', forged: { status: 502, type: 'text/html', body: '<h1>Bad gateway</h1>' } },
  { answer: 'invalid_grant with status 500', forged: json(500, { error: 'invalid_grant' }) },
  { answer: 'invalid_client', forged: json(401, { error: 'invalid_client' }) },
  { answer: 'another error', forged: json(400, { error: 'temporarily_unavailable' }) },
  { answer: 'an error that is no text', forged: json(400, { error: ['invalid_grant'] }) },
  { answer: 'no JSON', forged: { status: 400, body: 'invalid_grant' } },
  { answer: 'success without tokens', forged: json(200, {}) },
  {
    answer: 'an ID token of somebody else',
    forge: (provider) => {
      provider.forge.token = async (answer) => ({
        ...answer,
        id_token: await provider.resign(answer.id_token, { sub: 'mallory' }),
      })
    },
  },
  {
    answer: 'an ID token with a bad signature',
    forge: (provider) => {
      provider.forge.token = (answer) => ({ ...answer, id_token: `${answer.id_token.slice(0, -9)}AAAAAAAA` })
    },
  },
  {
    answer: 'UserInfo of somebody else',
    forge: (provider) => {
      provider.forge.userInfo = (info) => ({ ...info, sub: 'mallory' })
    },
  },
]

for (const { answer, forged, forge } of rows) {
  test(`a refresh that is answered with ${answer} changes nothing`, async (t) => {
    const { hub, provider, browser, refresher } = await start(t)
    provider.change({ ...ada, groups: ['neutrons'] })
    forge?.(provider)
    if (forged) {
      provider.forge.everything = (req, res) => {
        if (req.url !== '/token') return false
        res.writeHead(forged.status ?? 200, { 'content-type': forged.type ?? 'application/json' }).end(forged.body)
        return true
      }
    }
    await later(hub, refresher)
    const visitor = await who(hub, browser)
    t.deepEqual(visitor?.groups, ada['groups'])
    t.is(hub.revocations.length, 0)
    t.true(JSON.stringify(hub.lines).includes('nothing changes'))
  })
}

test('an outage that is over is as if it had not been', async (t) => {
  const { hub, provider, browser, refresher } = await start(t)
  provider.forge.everything = (_req, res) => !!res.destroy()
  await later(hub, refresher)
  delete provider.forge.everything
  provider.change({ ...ada, groups: ['neutrons'] })
  await later(hub, refresher)
  t.deepEqual((await who(hub, browser)).groups, ['neutrons'])
})

test('a refresh token that is over by its own time is not used: that ends nothing', async (t) => {
  const { hub, provider, browser, refresher } = await start(t)
  await hub.db
    .updateTable('logins')
    .set({ refresh_by: Date.now() - 1 })
    .execute()
  const before = asked(provider)
  await later(hub, refresher)
  t.is(asked(provider), before)
  t.truthy(await who(hub, browser))
})

test('two hubs use a refresh token once; who logged in again meanwhile keeps the newer one', async (t) => {
  const { hub, provider, browser, refresher } = await start(t)
  const before = asked(provider)
  await becomeDue(hub)
  await Promise.all([refresher.refresh(), refresher.refresh(), hub.identity.refresher.refresh()])
  t.is(asked(provider), before + 1)

  // The provider's no to the old token comes while the person logs in again.
  let answerLate = (): void => undefined
  const late = new Promise<void>((resolve) => (answerLate = resolve))
  provider.forge.everything = (req, res) => {
    if (req.url !== '/token') return false
    void late.then(() => res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_grant"}'))
    return true
  }
  await becomeDue(hub)
  const refreshing = refresher.refresh()
  while (asked(provider) === before + 1) await new Promise((resolve) => setTimeout(resolve, 10))
  delete provider.forge.everything
  await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
  answerLate()
  await refreshing
  t.truthy(await who(hub, browser))
  t.is(hub.revocations.length, 0)
})

test('the refresh token is kept sealed', async (t) => {
  const { hub, provider, refresher } = await start(t)
  const seen: string[] = []
  provider.forge.token = (answer) => {
    seen.push(String(answer['refresh_token']))
    return answer
  }
  await later(hub, refresher)
  const row = await hub.db.selectFrom('logins').selectAll().executeTakeFirstOrThrow()
  t.is(seen.length, 1)
  t.true((seen[0] ?? '').length > 20)
  t.false(JSON.stringify([row, hub.lines]).includes(seen[0] ?? ''))
})

test("a person's own ID token: sealed in the store, refreshed before it ends, gone with the login", async (t) => {
  const { hub, provider, browser } = await start(t)
  const { ownTokens } = hub.identity
  const { user } = await who(hub, browser)
  const first = await ownTokens.of(user, 'site', { fresh: false })
  t.like(decodeJwt(first ?? ''), { sub: ada['sub'] })
  t.is(
    await ownTokens.of(user, 'site', { fresh: true }),
    first,
    'one that is younger than a minute is not asked for anew',
  )
  t.is(asked(provider), 1)
  const rows = await hub.db.selectFrom('logins').selectAll().execute()
  t.false(JSON.stringify(rows).includes(first ?? 'none'), 'sealed')
  t.is(await ownTokens.of(user, 'elsewhere', { fresh: false }), undefined)
  t.is(await ownTokens.of({ ...user, id: 'another' }, 'site', { fresh: false }), undefined)

  hub.clock.offsetMs += 120_000
  const second = await ownTokens.of(user, 'site', { fresh: true })
  t.is(asked(provider), 2)
  t.is(await ownTokens.of(user, 'site', { fresh: false }), second)
  t.is(asked(provider), 2)

  provider.forge.everything = (req, res) => {
    if (req.url !== '/token') return false
    res.writeHead(503).end()
    return true
  }
  hub.clock.offsetMs += ((decodeJwt(second ?? '').exp ?? 0) - (decodeJwt(second ?? '').iat ?? 0)) * 1_000
  t.is(await ownTokens.of(user, 'site', { fresh: false }), undefined, 'over, and the provider is down')
  provider.forge.everything = undefined
  await hub.db.updateTable('logins').set({ revoked_at: 1 }).execute()
  t.is(await ownTokens.of(user, 'site', { fresh: false }), undefined, 'logged out')
})
