/** The whole of Hutch on a real PostgreSQL: deaths, an outage, two hubs on one database, and starts that must fail. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { Client } from 'pg'
import { fails, startCommand } from '../support/failing-start.ts'
import { startFakeBackend, type FakeBackend } from '../support/fakeBackend.ts'
import { fakeSite } from '../support/fakeSite.ts'
import { freePort, startHutch } from '../support/hutch.ts'
import { startPostgresServer, type PostgresServer } from '../support/postgres.ts'
import { logInAs, scientistWith, type Launched, type Scientist } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const patience = { timeoutMs: 120_000, everyMs: 100 }
const outageMs = 15_000
const choices = (profile: string) => ({ profile, flavour: 'small', title: profile })

interface Site {
  readonly server: PostgresServer
  readonly password: string
  readonly backend: FakeBackend
}

/** Undefined: PostgreSQL is not installed, and the test has said so. */
async function newSite(t: ExecutionContext): Promise<Site | undefined> {
  t.timeout(600_000, 'a database and hubs start')
  const password = randomBytes(18).toString('base64url')
  const server = await startPostgresServer(t, password)
  if (server === undefined) return undefined
  const backend = await startFakeBackend()
  t.teardown(() => backend.close())
  return { server, password, backend }
}

/** One more hub of this site, with folders of its own. */
async function newHub(
  t: ExecutionContext,
  { server, password, backend }: Site,
  other: { password?: string; port?: number; database?: string } = {},
): Promise<{ state: string; args: readonly string[] }> {
  const folder = await temporaryFolder(t)
  const { password: given = password, ...elsewhere } = other
  const database = { ...server.tcp, ...elsewhere }
  const args = await fakeSite({ folder, backend: backend.url, database, password: given })
  return { state: join(folder, 'state'), args }
}

const ready = async (scientist: Scientist, { id }: Launched): Promise<unknown> =>
  await until(`${id} is ready`, async () => (await scientist.state(id)) === 'ready', patience)

async function live(scientist: Scientist): Promise<string[]> {
  const { body } = await scientist.api<{ items: { id: string; state: string }[] }>('GET', '/environments')
  return body.items
    .filter(({ state }) => state !== 'ended')
    .map(({ id }) => id)
    .toSorted()
}

/** A WebSocket to the environment: says whether it still answers. */
async function openEcho(
  t: ExecutionContext,
  scientist: Scientist,
  launched: Launched,
): Promise<() => Promise<boolean>> {
  await scientist.enter(launched)
  const socket = scientist.socket(launched, 'echo')
  t.teardown(() => socket.terminate())
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const closed = once(socket, 'close').then(() => false)
  return async () => {
    const sent = randomBytes(6).toString('hex')
    if (socket.readyState !== socket.OPEN) return false
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
    socket.send(sent)
    const answered = answer.then(
      ([data]: Buffer[]) => data?.toString() === sent,
      () => false,
    )
    return await Promise.race([answered, closed])
  }
}

test.serial('a hub on PostgreSQL is killed and found again: nothing is lost or doubled', async (t) => {
  const site = await newSite(t)
  if (site === undefined) return
  const hub = await newHub(t, site)
  const hutch = await startHutch(t, hub)
  const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
  const fake = await ada.launch(choices('good'))
  const local = await ada.launch(choices('terminal'))
  const echoes = await openEcho(t, ada, fake)
  await ada.enter(local)
  await hutch.kill()
  t.true(await echoes(), 'the open WebSocket goes on')

  const again = await startHutch(t, { ...hub, port: Number(new URL(hutch.url).port) })
  t.deepEqual(await live(ada), [fake.id, local.id].toSorted())
  for (const launched of [fake, local]) await ready(ada, launched)
  const third = await ada.launch(choices('good'))
  await ready(ada, third)
  t.true(await echoes())
  t.deepEqual(site.backend.state().ensured, { [fake.id]: 1, [third.id]: 1 })
  t.deepEqual(site.backend.state().removed, {})
  t.deepEqual(await live(ada), [fake.id, local.id, third.id].toSorted())
  for (const { id } of [fake, local, third]) {
    t.is((await ada.api('POST', `/environments/${id}/stop`)).status, 202)
  }
  await until('all have ended', async () => (await live(ada)).length === 0, patience)
  t.is(await again.stop(), 0)
})

test.serial('PostgreSQL is away for 15 s: what is open goes on, pages say so, all comes back by itself', async (t) => {
  const site = await newSite(t)
  if (site === undefined) return
  const hutch = await startHutch(t, await newHub(t, site))
  const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
  const launched = await ada.launch(choices('good'))
  const echoes = await openEcho(t, ada, launched)

  await site.server.stop()
  const stoppedAt = performance.now()
  await until('the hub says that it is not well', async () => (await statusOf(hutch.url)) === 503, patience)
  // Who somebody is may be known for a moment yet.
  await until('its pages say so', async () => (await ada.jar.ask(`${hutch.url}/hub/home`)).status === 503, patience)
  const page = await ada.jar.ask(`${hutch.url}/hub/home`)
  t.regex(page.text, /can not reach its records/)
  t.regex(page.text, /What is open goes on/)
  t.truthy(page.headers.get('retry-after'))
  const { status, body } = await ada.api<{ type: string }>('POST', '/environments', {
    proposals: [],
    ...choices('good'),
  })
  t.deepEqual([status, body.type], [503, 'urn:hutch:problem:storeUnavailable'])
  t.is((await fetch(`${hutch.url}/hub/login`)).status, 200, 'the login page needs no records')
  while (performance.now() - stoppedAt < outageMs) {
    t.true(await echoes(), 'the open WebSocket goes on')
    t.is((await ada.jar.ask(`${launched.url}page`)).status, 200, 'the route is there')
    await sleep(1_000)
  }
  t.is(hutch.process.exitCode, null)

  await site.server.start()
  await until('the hub is well', async () => (await statusOf(hutch.url)) === 200, patience)
  t.is((await ada.jar.ask(`${hutch.url}/hub/home`)).status, 200)
  t.deepEqual(await live(ada), [launched.id])
  const another = await ada.launch(choices('good'))
  await ready(ada, another)
  t.true(await echoes())
  t.deepEqual(site.backend.state().ensured, { [launched.id]: 1, [another.id]: 1 })
  t.deepEqual(site.backend.state().removed, {})
  t.false(hutch.output().includes(site.password))
  const longest = Math.max(
    ...hutch
      .output()
      .split('\n')
      .map((line) => line.length),
  )
  t.true(longest < 8_000, `a line of the log has ${longest} characters`)
  t.is(await hutch.stop(), 0)
})

const statusOf = async (url: string): Promise<number> =>
  await fetch(`${url}/hub/health`).then(
    ({ status }) => status,
    () => 0,
  )

test.serial('two hubs on one PostgreSQL: both serve, one reconciles, the other takes over when it dies', async (t) => {
  const site = await newSite(t)
  if (site === undefined) return
  const [one, two] = [await newHub(t, site), await newHub(t, site)]
  const leader = await startHutch(t, one)
  // The second machine gets the one secret of the installation, and here the demo's login provider.
  for (const part of ['secrets', 'demo-people.json', 'demo-keys.json', 'demo-issuer.json']) {
    await cp(join(one.state, part), join(two.state, part), { recursive: true })
  }
  const follower = await startHutch(t, two)
  const ada = await logInAs(leader.url, 'ada', (await leader.passwords())['ada'] ?? '')
  const there = scientistWith(ada.jar, follower.url, 'ada')
  t.is((await ada.jar.ask(`${follower.url}/hub/home`)).status, 200, 'one login for both')
  t.regex(leader.output(), /this hub reconciles the spawner/)
  t.notRegex(follower.output(), /this hub reconciles the spawner/)

  const first = await ada.launch(choices('good'))
  const second = await there.launch(choices('good'))
  for (const scientist of [ada, there]) {
    await ready(scientist, first)
    await ready(scientist, second)
    t.deepEqual(await live(scientist), [first.id, second.id].toSorted())
  }
  t.notRegex(follower.output(), /this hub reconciles the spawner/)
  const through = { id: first.id, url: first.url.replace(leader.url, follower.url) }
  const echoes = await openEcho(t, there, through)
  t.true(await echoes(), 'the proxy of the other hub knows the way')

  await leader.kill()
  const killedAt = performance.now()
  const third = await there.launch(choices('good'))
  await ready(there, third)
  const tookMs = performance.now() - killedAt
  t.log(`launched by the other hub ${(tookMs / 1_000).toFixed(1)} s after the death of the first`)
  t.true(await echoes())
  t.deepEqual(site.backend.state().ensured, { [first.id]: 1, [second.id]: 1, [third.id]: 1 })
  t.deepEqual(site.backend.state().removed, {})

  const back = await startHutch(t, one)
  t.notRegex(back.output(), /this hub reconciles the spawner/, 'the other one goes on')
  const here = scientistWith(ada.jar, back.url, 'ada')
  t.deepEqual(await live(here), [first.id, second.id, third.id].toSorted())
  t.true(await echoes())
  // At the one hub; the WebSocket hangs on the other's proxy.
  const out = await here.jar.ask(`${back.url}/hub/logout`, { method: 'POST' })
  t.true(out.status < 400)
  const loggedOutAt = performance.now()
  await until('the other proxy has closed it', async () => !(await echoes()), patience)
  t.log(`closed at the other proxy within ${((performance.now() - loggedOutAt) / 1_000).toFixed(1)} s of the logout`)
  t.not((await ada.jar.ask(`${follower.url}/hub/home`)).status, 200)
  t.is(await back.stop(), 0)
  t.is(await follower.stop(), 0)
})

test.serial('a start without a usable PostgreSQL ends with one line, the right code, and no secret', async (t) => {
  const site = await newSite(t)
  if (site === undefined) return
  const wrong = 'a-wrong-password-that-nobody-must-see'
  const nobody = await freePort()
  const { database } = await site.server.database()
  const later = await newHub(t, site, { database })
  t.is(await (await startHutch(t, later)).stop(), 0)
  await addStep(site, database)
  const starts = [
    [await newHub(t, site, { password: wrong }), /refuses the role.*passwordFile/],
    [await newHub(t, site, { port: nobody }), new RegExp(`127\\.0\\.0\\.1:${nobody}: nothing listens there`)],
    [await newHub(t, site, { database: 'absent' }), /there is no such database/],
    [later, /written by a newer Hutch/],
  ] as const
  for (const [{ state, args }, said] of starts) {
    const listen = `127.0.0.1:${await freePort()}`
    const { code, lines, errors } = await fails(t, startCommand(...args, '--state', state, '--listen', listen))
    const [line = '', ...more] = lines.filter((each) => !each.startsWith('warning: '))
    t.is(code, 69, errors)
    t.regex(line, said)
    t.deepEqual(more, [])
    for (const secret of [wrong, site.password]) t.false(errors.includes(secret))
  }
})

/** What a newer release leaves behind. */
async function addStep({ server, password }: Site, database: string): Promise<void> {
  const { host, port, user } = server.tcp
  const client = new Client({ host, port, user, password, database })
  await client.connect()
  await client.query("insert into kysely_migration (name, timestamp) values ('9999-later', '')")
  await client.end()
}
