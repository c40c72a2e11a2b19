/**
 * Page code of an environment as a hostile browser, on the real hub and proxy in a real Chromium: where users have host
 * names of their own it can do nothing in its visitor's name; on a single origin what ARCHITECTURE.md says holds.
 */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Browser, Page } from 'playwright-core'
import { browser } from '../support/browser.ts'
import { available, program } from '../support/component.ts'
import { hostileConfiguration } from '../support/hostile-application.ts'
import { attack, type Targets } from '../support/hostile-page.ts'
import { freePort, startHutch, type RunningHutch } from '../support/hutch.ts'
import { personAt, type Person } from '../support/person.ts'
import { temporaryFolder } from '../support/temporary.ts'

interface Site {
  readonly hutch: RunningHutch
  readonly ada: Person
  readonly marie: Person
  readonly targets: Targets
  /** The hostile environment's page. */
  readonly page: Page
  /** What every POST to the hub and to marie's environment was answered with. */
  readonly answers: { readonly what: string; readonly status: number }[]
}

const rows = [
  // To a browser these are two sites: cookies that are Lax stay behind, and it keeps Domain=localhost out by itself.
  { name: 'other sites', publicUrl: 'http://localhost', hosts: '{user}.localhost', parent: 'localhost' },
  // One site: the browser sends the hub's Lax cookie along with everything that an environment's page asks.
  {
    name: 'one site with https',
    publicUrl: 'https://hub.hutch.localhost',
    hosts: '{user}.envs.hutch.localhost',
    parent: 'hutch.localhost',
  },
] as const

for (const { name, publicUrl, hosts, parent } of rows) {
  test.serial(`with host names of their own: ${name}`, async (t) => {
    const opened = await browser(t)
    if (opened === undefined) return
    const secure = publicUrl.startsWith('https:')
    if (secure && !available(t, 'openssl', program('openssl'), 'apt-get install openssl')) return
    const site = await started(t, opened, { publicUrl, hosts, parent })
    const { ada, marie, targets, page, answers } = site
    const userHost = hosts.replace('{user}', 'ada')
    t.is(new URL(page.url()).hostname, userHost)
    t.is(new URL(page.url()).pathname, `/user/ada/${targets.ownId}/`)

    const before = [await list(ada), await list(marie)]
    answers.length = 0
    const found = await page.evaluate(attack, targets)
    const { cookies = '', ...tries } = found
    for (const [what, outcome] of Object.entries(tries)) {
      t.regex(outcome, /^(?:threw \w+|opaque|error|closed|nothing)$/, what)
    }
    t.true(answers.length > 10, 'the writes were sent')
    t.deepEqual(
      answers.filter(({ status }) => status !== 403),
      [],
      'and refused',
    )
    // Forged ones that it gave to all hosts are no more than noise: they are not the hub's.
    t.notRegex(cookies.replaceAll('hutch-login=forged', ''), /hutch/i)
    t.deepEqual([await list(ada), await list(marie)], before, 'nothing changed in the hub')
    await ada.hub.reload()
    await ada.hub.getByRole('heading', { name: 'My environments' }).waitFor()
    t.true((await ada.hub.getByText('Victim').count()) > 0, 'and ada is still who she was')

    await seesNoCookieOfOurs(t, site)
    if (!secure) await workersStayInside(t, page, targets.own)
    await terminalOpens(t, ada, targets.victim)
    t.is(await site.hutch.stop(), 0)
  })
}

test.serial('on a single origin the owner acts, and nobody else gets in', async (t) => {
  const opened = await browser(t)
  if (opened === undefined) return
  const site = await started(t, opened, {})
  const { marie, targets, page } = site
  const before = await list(marie)
  const ask = async (url: string, method = 'GET'): Promise<{ status: number; text: string }> =>
    await page.evaluate(
      async ([url, method]) => {
        const answer = await fetch(url, { method })
        return { status: answer.status, text: await answer.text() }
      },
      [url, method] as const,
    )

  const own = await ask('/hub/api/v1/environments')
  t.is(own.status, 200, 'page code of an environment acts as its visitor towards the hub')
  t.regex(own.text, /Victim/)
  const marieId = targets.others.split('/').at(-2) ?? ''
  t.is((await ask(`/hub/api/v1/environments/${marieId}`)).status, 404)
  t.is((await ask(`/hub/api/v1/environments/${marieId}/stop`, 'POST')).status, 404)
  t.is((await ask(`/hub/enter?environment=${marieId}&nonce=${'n'.repeat(43)}`)).status, 404)
  t.is((await ask(targets.others)).status, 401)
  t.is((await ask(`${targets.others}_hutch/enter`, 'POST')).status, 403)
  t.is((await ask(`${targets.own}_hutch/../../../marie/${marieId}/`)).status, 401)
  t.is((await ask(`${targets.own}..%2f..%2fmarie%2f${marieId}/`)).status, 400)
  await seesNoCookieOfOurs(t, site)
  await workersStayInside(t, page, targets.own)
  const found = await page.evaluate(attack, targets)
  for (const what of ["read another's", "frame another's", "open another's", "enter another's"]) {
    t.notRegex(found[what] ?? '', /READ 200|The terminal|xterm|Connected/, what)
  }
  t.is(found["open a socket to another's"], 'error')
  t.is(found['open a socket to the hub'], 'error')
  t.not(found['frame the home page']?.includes('My environments'), true, 'the hub is in no frame')
  t.regex(found['a worker for all'] ?? '', /^threw SecurityError$/)
  t.regex(found['a worker for the hub'] ?? '', /^threw SecurityError$/)
  t.deepEqual(await list(marie), before, 'nothing of hers changed')
  t.is(await site.hutch.stop(), 0)
})

async function started(
  t: ExecutionContext,
  opened: Browser,
  { publicUrl, hosts, parent = '127.0.0.1' }: { publicUrl?: string; hosts?: string; parent?: string },
): Promise<Site> {
  const folder = await temporaryFolder(t)
  const port = await freePort()
  const url = publicUrl === undefined ? undefined : `${publicUrl}:${port}`
  const secure = url?.startsWith('https:') === true
  const file = join(folder, 'hutch.json')
  const tls = secure ? await certificate(folder) : undefined
  await writeFile(
    file,
    hostileConfiguration({
      ...(url === undefined ? {} : { publicUrl: url, environments: { hosts } }),
      // What the pages follow live would hold up the end.
      proxy: { drain: '1s', ...(tls === undefined ? {} : { tls }) },
    }),
  )
  const hutch = await startHutch(t, {
    state: join(folder, 'state'),
    args: ['--config', file],
    port,
    ...(url === undefined ? {} : { publicUrl: url }),
  })
  const [ada, marie] = [await personAt(opened, hutch, 'ada'), await personAt(opened, hutch, 'marie')]
  const hostile = await ada.launch('hostile', 'Hostile')
  const victim = await ada.launch('terminal', 'Victim')
  const others = await marie.launch('terminal', 'Of marie')
  const answers: { what: string; status: number }[] = []
  ada.hub.context().on('response', (response) => {
    const asked = response.request()
    if (asked.method() !== 'POST' || asked.url().includes('/user/ada/')) return
    answers.push({ what: asked.url(), status: response.status() })
  })
  await (await ada.open(victim)).close()
  const address = new URL((await marie.open(others)).url())
  const page = await ada.open(hostile)
  await page.getByRole('heading', { name: 'The application' }).waitFor()
  const targets: Targets = {
    hub: hutch.url,
    victim,
    own: new URL(`/user/ada/${hostile}/`, page.url()).href,
    ownId: hostile,
    others: new URL(`/user/marie/${others}/`, address).href,
    parent,
  }
  return { hutch, ada, marie, targets, page, answers }
}

async function certificate(folder: string): Promise<{ certificateFile: string; keyFile: string }> {
  const files = { certificateFile: join(folder, 'certificate.pem'), keyFile: join(folder, 'key.pem') }
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hub.hutch.localhost'
  await promisify(execFile)('openssl', [...request.split(' '), '-keyout', files.keyFile, '-out', files.certificateFile])
  return files
}

async function list(person: Person): Promise<unknown> {
  const { status, body } = await person.api('GET', '/environments')
  const { items } = body as { items: { id: string; title: string; state: string }[] }
  return { status, items: items.map(({ id, title, state }) => ({ id, title, state })) }
}

/** The application behind is sent none, and none that it may not set arrived in the browser. */
async function seesNoCookieOfOurs(t: ExecutionContext, { page, targets, ada }: Site): Promise<void> {
  await page.goto(`${targets.own}headers`)
  const sent = JSON.parse(await page.locator('body').innerText()) as [string, string][]
  const cookies = sent.filter(([name]) => name.toLowerCase() === 'cookie').map(([, value]) => value)
  t.deepEqual(cookies, ['own=1'])
  t.false(sent.some(([name]) => name.toLowerCase() === 'authorization'))
  const kept = await ada.hub.context().cookies()
  t.deepEqual(
    kept.filter(({ name }) => !/hutch-/.test(name)).map(({ name, path }) => [name, path]),
    [['own', new URL(targets.own).pathname]],
  )
  const logins = kept.filter(({ name, value }) => /^(?:__Host-)?hutch-login$/.test(name) && value !== 'forged')
  t.is(logins.length, 1)
  t.true(logins.every(({ httpOnly, sameSite, domain }) => httpOnly && sameSite === 'Lax' && !domain.startsWith('.')))
  t.is(logins[0]?.name, targets.hub.startsWith('https:') ? '__Host-hutch-login' : 'hutch-login')
  for (const { name, httpOnly, path } of kept.filter(({ name }) => /^hutch-(?:entry|nonce)$/.test(name))) {
    t.true(httpOnly && path.startsWith('/user/'), name)
  }
}

async function workersStayInside(t: ExecutionContext, page: Page, own: string): Promise<void> {
  const register = async (scope?: string): Promise<string> =>
    await page.evaluate(
      async ([script, scope]) => {
        const made = navigator.serviceWorker.register(script, scope === undefined ? {} : { scope })
        return await made.then(
          ({ scope }) => scope,
          (error: unknown) => (error instanceof Error ? error.name : 'refused'),
        )
      },
      [`${own}worker.js`, scope] as const,
    )
  t.is(await register(), own)
  t.is(await register('/user/'), 'SecurityError')
}

async function terminalOpens(t: ExecutionContext, ada: Person, id: string): Promise<void> {
  const page = await ada.open(id)
  const screen = page.locator('.xterm-rows').first()
  await screen.getByText('ada@').waitFor()
  await page.keyboard.type('echo $((6*7))\n')
  await screen.getByText('42', { exact: true }).waitFor()
  t.is(new URL(page.url()).pathname, `/user/ada/${id}/_hutch/terminal/`)
}
