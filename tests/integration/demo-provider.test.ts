import { readFile, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import test from 'ava'
import { createDemoProvider, type DemoOptions } from '../../hub/identity/demo/index.ts'
import { browser as startBrowser, visitor } from '../support/browser.ts'
import { createJar } from '../support/browser-jar.ts'
import { startHub } from '../support/identity.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('a demo person logs in end to end and out again', async (t) => {
  const demoFolder = await temporaryFolder(t)
  const hub = await startHub(t, { demoFolder })
  const [ada] = hub.demo?.people ?? []
  t.is(ada?.name, 'ada')
  const browser = createJar()

  const before = await browser.ask(`${hub.url}/hub/who`)
  t.deepEqual(JSON.parse(before.text), { visitor: null })

  const form = await browser.open(`${hub.url}/hub/login/demo?next=${encodeURIComponent('/hub/who?after=1')}`)
  t.is(form.status, 200)
  t.regex(form.text, /This is a demo/)
  const after = await browser.open(form.url, {
    method: 'POST',
    form: { name: 'ada', password: ada?.password ?? '' },
  })
  t.is(after.url, `${hub.url}/hub/who?after=1`)
  const { visitor } = JSON.parse(after.text)
  t.like(visitor, { by: 'cookie', provider: 'demo', groups: ['demo'] })
  t.like(visitor.user, { name: 'ada', title: 'Ada Lovelace', admin: false })

  const out = await browser.open(`${hub.url}/hub/logout`, { method: 'POST' })
  t.regex(out.text, /You are logged out here/)
  t.is(hub.revocations.length, 1)
  t.deepEqual(JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text), { visitor: null })

  for (const file of ['demo-people.json', 'demo-keys.json']) {
    t.is((await stat(join(demoFolder, file))).mode & 0o777, 0o600, file)
  }
})

const quiet = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet }
const options = (stateFolder: string, changes: Partial<DemoOptions> = {}): DemoOptions => ({
  stateFolder,
  publicUrl: new URL('http://127.0.0.1:9'),
  listenHost: '127.0.0.1',
  now: () => new Date(),
  log: quiet,
  ...changes,
})

for (const [listenHost, publicUrl, allowed] of [
  ['127.0.0.1', 'http://127.0.0.1:8000', true],
  ['127.0.0.1', 'http://localhost:8000', true],
  ['127.8.8.8', 'http://hutch.localhost:8000', true],
  ['::1', 'http://[::1]:8000', true],
  ['localhost', 'https://localhost:8443', true],
  ['0.0.0.0', 'http://127.0.0.1:8000', false],
  ['::', 'http://[::1]:8000', false],
  ['192.168.1.5', 'http://127.0.0.1:8000', false],
  ['127.0.0.1', 'https://hutch.example.org', false],
  ['127.0.0.1', 'http://192.168.1.5:8000', false],
  ['127.0.0.1', 'http://127.0.0.1.evil.example:8000', false],
  ['127.0.0.1', 'http://localhost.evil.example:8000', false],
  ['127.evil.example', 'http://127.0.0.1:8000', false],
] as const) {
  test(`the demo is ${allowed ? 'allowed' : 'refused'} at ${listenHost} as ${publicUrl}`, async (t) => {
    const folder = await temporaryFolder(t)
    const made = createDemoProvider(options(folder, { listenHost, publicUrl: new URL(publicUrl) }))
    if (allowed) await t.notThrowsAsync(made)
    else await t.throwsAsync(made, { message: /^login\.demo: refused/ })
  })
}

test('on another port people stay who they are: the issuer is what it was', async (t) => {
  const here = await temporaryFolder(t)
  const first = await createDemoProvider(options(here))
  const moved = await createDemoProvider(options(here, { publicUrl: new URL('http://127.0.0.1:10/') }))
  t.is(moved.issuer, first.issuer)
  const discovery = await moved.fetch(`${moved.issuer}/.well-known/openid-configuration`)
  const metadata = (await discovery.json()) as Record<string, string>
  t.is(metadata['issuer'], first.issuer)
  t.is(metadata['authorization_endpoint'], 'http://127.0.0.1:10/hub/demo/auth')
  t.is((await moved.fetch(metadata['jwks_uri'] ?? '')).status, 200)
})

test('passwords are of this installation, and the same after a restart', async (t) => {
  const [here, there] = [await temporaryFolder(t), await temporaryFolder(t)]
  const [one, again, other] = [
    await createDemoProvider(options(here)),
    await createDemoProvider(options(here)),
    await createDemoProvider(options(there)),
  ]
  t.deepEqual(one.people, again.people)
  t.deepEqual(
    one.people.map(({ name }) => name),
    ['ada', 'marie', 'rosalind'],
  )
  const passwords = [...one.people, ...other.people].map(({ password }) => password)
  t.is(new Set(passwords).size, 6)
  for (const password of passwords) t.regex(password, /^([a-z2-9]{4}-){2}[a-z2-9]{4}$/)
  t.not(one.client.secret, again.client.secret)
})

test('who edits the people is believed; a damaged file is named, and is not overwritten', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'demo-people.json')
  await writeFile(
    path,
    JSON.stringify([{ name: 'lise', title: 'Lise Meitner', email: 'l@x', password: 'long enough' }]),
  )
  t.is((await createDemoProvider(options(folder))).people[0]?.name, 'lise')
  t.is((await stat(path)).mode & 0o777, 0o600)
  await writeFile(path, '[{"name": "lise"')
  await t.throwsAsync(createDemoProvider(options(folder)), { message: /demo-people\.json is damaged; remove it/ })
  t.is(await readFile(path, 'utf8'), '[{"name": "lise"')
})

test('the hub reaches it without any network, under the address that browsers see', async (t) => {
  // Nothing listens on port 9.
  const demo = await createDemoProvider(options(await temporaryFolder(t)))
  const answer = await demo.fetch(`${demo.issuer}/.well-known/openid-configuration`)
  const metadata = (await answer.json()) as Record<string, string>
  t.is(metadata['issuer'], 'http://127.0.0.1:9/hub/demo')
  t.is(metadata['token_endpoint'], 'http://127.0.0.1:9/hub/demo/token')
  await t.throwsAsync(demo.fetch('http://127.0.0.1:9/hub/other'), { message: /only .* is inside/ })
  await t.throwsAsync(demo.fetch(`${demo.issuer}/auth?client_id=hutch`, { signal: AbortSignal.abort() }))
  const form = await demo.fetch(`${demo.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'authorization_code', code: 'x', client_id: 'hutch' }),
  })
  t.is(form.status, 401, 'the client has a secret')
})

test('its links carry the public address, whatever Host arrives behind the proxy', async (t) => {
  const hub = await startHub(t, { demoFolder: await temporaryFolder(t) })
  const { port } = new URL(hub.url)
  const location = await new Promise<string | undefined>((resolve, reject) => {
    const path = '/hub/demo/.well-known/openid-configuration'
    request({ host: '127.0.0.1', port, path, headers: { host: 'evil.example' } }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => resolve(Buffer.concat(chunks).toString()))
    })
      .on('error', reject)
      .end()
  })
  t.false(location?.includes('evil'))
  t.true(location?.includes(`${hub.url}/hub/demo/auth`))
})

test('a wrong password, an unknown name, a foreign form and an invented login get nowhere', async (t) => {
  const hub = await startHub(t, { demoFolder: await temporaryFolder(t) })
  const [ada] = hub.demo?.people ?? []
  const good = { name: 'ada', password: ada?.password ?? '' }
  const browser = createJar()
  const { url } = await browser.open(`${hub.url}/hub/login/demo?next=/hub/who`)
  const post = (form: Record<string, string>, headers: Record<string, string> = {}, address = url) =>
    browser.ask(address, { method: 'POST', form, headers })
  t.is((await post({ ...good, password: 'wrong' })).status, 403)
  t.is((await post({ ...good, password: '' })).status, 403)
  t.is((await post({ ...good, name: 'nobody' })).status, 403)
  t.is((await post({ ...good, name: '__proto__' })).status, 403)
  t.is((await post({ name: 'ada' })).status, 400)
  t.is((await post({ ...good, password: 'x'.repeat(201) })).status, 400)
  t.is((await post(good, { 'sec-fetch-site': 'cross-site' })).status, 403)
  t.is((await post(good, { origin: 'https://evil.example' })).status, 403)
  t.is((await createJar().ask(url, { method: 'POST', form: good })).status, 400, 'another browser')
  const escaped = await post({ name: '"><script>', password: 'x' })
  t.false(escaped.text.includes('<script>'))
  t.is((await browser.open(url, { method: 'POST', form: { name: ' ADA ', password: good.password } })).status, 200)
})

test('two tabs log in at the demo without breaking each other', async (t) => {
  const hub = await startHub(t, { demoFolder: await temporaryFolder(t) })
  const [ada] = hub.demo?.people ?? []
  const browser = createJar()
  const form = await browser.open(`${hub.url}/hub/login/demo`)
  await browser.open(form.url, { method: 'POST', form: { name: 'ada', password: ada?.password ?? '' } })
  const back = (url: URL): boolean => url.pathname.endsWith('/callback')
  const first = await browser.open(`${hub.url}/hub/login/demo?next=/hub/first`, { until: back })
  const second = await browser.open(`${hub.url}/hub/login/demo?next=/hub/second`, { until: back })
  t.is((await browser.open(second.url)).url, `${hub.url}/hub/second`)
  t.is((await browser.open(first.url)).url, `${hub.url}/hub/first`)
})

test('in Chromium: log in, be who you are, log out at both; light, dark, with the keyboard, and readable for all', async (t) => {
  const chromium = await startBrowser(t)
  if (!chromium) return
  const hub = await startHub(t, { demoFolder: await temporaryFolder(t) })
  const [, marie] = hub.demo?.people ?? []
  const { page, errors } = await visitor(chromium)
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const refusedByPolicy: string[] = []
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) refusedByPolicy.push(message.text())
  })

  await page.goto(`${hub.url}/hub/login?next=/hub/who`)
  await page.getByRole('link', { name: 'Demo people' }).click()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.evaluate(axe)
    const { violations } = await page.evaluate<{ violations: { id: string; help: string }[] }>('axe.run()')
    t.deepEqual(
      violations.map(({ id, help }) => `${colorScheme}: ${id}: ${help}`),
      [],
    )
  }
  t.true(await page.getByText('This is a demo').isVisible())
  await page.keyboard.type('marie')
  await page.keyboard.press('Tab')
  await page.keyboard.type('wrong')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').waitFor()
  t.is(await page.getByLabel('User name').inputValue(), 'marie')
  await page.keyboard.type(marie?.password ?? '')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${hub.url}/hub/who`)
  t.regex(await page.innerText('body'), /"name":"marie"/)
  const [login] = (await page.context().cookies()).filter(({ name }) => name === 'hutch-login')
  t.like(login, { httpOnly: true, sameSite: 'Lax', path: '/hub/' })

  await page.setContent(`<form method="post" action="${hub.url}/hub/logout"><button>Log out</button></form>`)
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('button', { name: 'Log out here too' }).click()
  await page.waitForURL(`${hub.url}/hub/login`)
  t.is(hub.revocations.length, 1)
  t.deepEqual(errors, [])
  t.deepEqual(refusedByPolicy, [])
})
