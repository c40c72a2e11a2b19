/** What identity keeps, on PostgreSQL: where transactions run beside each other and several hubs share one database. */
import test from 'ava'
import { available } from '../support/component.ts'
import { createJar, type Jar } from '../support/browser-jar.ts'
import { startHub, type TestHub } from '../support/identity.ts'
import { ada, startProvider, type TestProvider } from '../support/oidc.ts'
import { postgresServer, type PostgresServer } from '../support/postgres.ts'

let server: PostgresServer | undefined

test.before(async () => {
  server = await postgresServer()
})
test.after.always(() => server?.close())

async function hubs(t: Parameters<typeof startHub>[0]): Promise<[TestHub, TestHub] | undefined> {
  if (!available(t, 'PostgreSQL', server, 'apt-get install postgresql')) return undefined
  const database = await server?.database()
  if (!database) return undefined
  let made: Readonly<Record<string, TestProvider>> | undefined
  const start = () =>
    startHub(t, {
      database,
      async providers(url) {
        if (made) return made
        const [site, umbrella] = [
          await startProvider(t, { hub: url, name: 'site' }),
          await startProvider(t, { hub: url, name: 'umbrella' }),
        ]
        umbrella.person = { ...ada, sub: 'another' }
        return (made = { site, umbrella })
      },
    })
  return [await start(), await start()]
}

const login = (hub: TestHub, browser: Jar = createJar(), provider = 'site') =>
  browser.open(`${hub.url}/hub/login/${provider}?next=/hub/who`)

async function who(hub: TestHub, browser: Jar) {
  return JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text).visitor
}

test('a new identity that comes many times at once is one user', async (t) => {
  const [hub] = (await hubs(t)) ?? []
  if (!hub) return
  const pages = await Promise.all(Array.from({ length: 8 }, () => login(hub)))
  t.deepEqual([...new Set(pages.map(({ status }) => status))], [200])
  t.is((await hub.db.selectFrom('users').select('id').execute()).length, 1)
  t.is((await hub.db.selectFrom('logins').select('id').execute()).length, 8)
})

test('two new identities that race for one name: one has it, the other is refused', async (t) => {
  const [hub] = (await hubs(t)) ?? []
  if (!hub) return
  const pages = await Promise.all([login(hub), login(hub, createJar(), 'umbrella')])
  t.deepEqual(
    pages.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 403],
  )
  t.deepEqual(hub.refusals, ['nameTaken'])
  t.is((await hub.db.selectFrom('identities').select('subject').execute()).length, 1)
})

test('a login that one hub ends is ended at the other within a second, and tokens too', async (t) => {
  const [one, two] = (await hubs(t)) ?? []
  if (!one || !two) return
  const browser = createJar()
  await login(one, browser)
  const { id } = await one.db.selectFrom('users').select('id').executeTakeFirstOrThrow()
  const { token } = await one.identity.tokens.create({ userId: id, scopes: ['self'], note: '' })
  const bearer = { headers: { authorization: `Bearer ${token}` } }
  t.is((await createJar().ask(`${two.url}/hub/who`, bearer)).status, 200)
  t.truthy(await who(one, browser))

  const { login: loginId } = await who(one, browser)
  await two.identity.logins.revoke(loginId)
  await one.identity.tokens.revoke(id, (await one.identity.tokens.list(id))[0]?.id ?? '')
  one.clock.offsetMs += 1_000
  two.clock.offsetMs += 1_000
  t.is(await who(one, browser), null)
  t.is((await createJar().ask(`${two.url}/hub/who`, bearer)).status, 401)
  t.is(two.revocations.length, 1)
})

test('everywhere, idle, lifetime: times are numbers there too', async (t) => {
  const [hub] = (await hubs(t)) ?? []
  if (!hub) return
  const [one, two] = [createJar(), createJar()]
  await login(hub, one)
  await login(hub, two)
  const { user, expiresAt } = await who(hub, one)
  t.true(Date.parse(expiresAt) > Date.now())
  const [newest] = await hub.identity.logins.list(user.id)
  t.true(newest?.expiresAt instanceof Date && newest.expiresAt.getTime() > Date.now())
  hub.clock.offsetMs += 120_000
  t.truthy(await who(hub, one))
  await one.ask(`${hub.url}/hub/logout/everywhere`, { method: 'POST' })
  t.is(await who(hub, two), null)
  t.is(hub.revocations.length, 2)
  const three = createJar()
  await login(hub, three)
  hub.clock.offsetMs += 86_400_000
  t.is(await who(hub, three), null)
})
