/**
 * Two real login services (Keycloak), as UmbrellaID and as the facility's own, the real hub and a real Chromium: first
 * login, linking, second login, renewal in a window of its own, and a logout at the provider that closes a notebook.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import type { Page } from 'playwright-core'
import { browser, visitor } from '../support/browser.ts'
import { freePort, runHutch } from '../support/hutch.ts'
import { readyJupyter } from '../support/jupyter-on-path.ts'
import { startKeycloak } from '../support/keycloak.ts'
import { eaaHash, passwords, twoRealms } from '../support/realms.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const pictures = process.env['HUTCH_PICTURES']

test('UmbrellaID is linked to an account by logging in at both; a logout there closes the notebook', async (t) => {
  t.timeout(600_000)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const keycloak = await startKeycloak(t, () => twoRealms(url))
  if (keycloak === undefined) return
  const opened = await browser(t)
  if (opened === undefined) return
  const jupyter = await readyJupyter(t)
  if ('missing' in jupyter) return t.fail(jupyter.missing)
  const folder = await temporaryFolder(t)
  const file = join(folder, 'hutch.json')
  await writeFile(file, JSON.stringify(configuration(keycloak.issuer('umbrella'), keycloak.issuer('facility'))))
  const hutch = await runHutch({
    state: join(folder, 'state'),
    args: ['--config', file],
    port,
    env: { PATH: `${jupyter.binFolder}:${process.env['PATH'] ?? ''}` },
  })
  t.teardown(async () => {
    await hutch.stop()
    if (!t.passed) t.log(hutch.output().slice(-10_000))
  })
  await keycloak.ready
  const { page, errors } = await visitor(opened)

  // First login: nobody knows this identity.
  await page.goto(`${url}/hub/home`)
  await page.getByRole('link', { name: 'UmbrellaID' }).click()
  await atKeycloak(page, 'a.lovelace', passwords.umbrella)
  await page.getByRole('heading', { name: 'Connect your account' }).waitFor()
  t.regex(await page.locator('main').innerText(), /UmbrellaID says that you are:[^]*v-4711@umbrella\.example\.org/)
  await picture(page, 'link')
  await page.getByRole('link', { name: 'Log in with Facility account' }).click()
  await atKeycloak(page, 'ada', passwords.facility)
  await picture(page, 'link-confirm')
  await page.getByRole('button', { name: 'Connect to ada' }).click()
  await page.getByRole('heading', { name: 'How I log in' }).waitFor()
  t.regex(await page.locator('main').innerText(), new RegExp(eaaHash))
  await picture(page, 'identities')

  // Another day: UmbrellaID alone leads to the account.
  const second = await visitor(opened)
  await second.page.goto(`${url}/hub/home`)
  await second.page.getByRole('link', { name: 'UmbrellaID' }).click()
  await atKeycloak(second.page, 'a.lovelace', passwords.umbrella)
  await second.page.getByRole('heading', { name: 'My environments' }).waitFor()
  t.regex(await second.page.locator('.who-name').innerText(), /Ada Lovelace/)

  // A window of its own renews the login; what is in the page stays.
  await second.page.getByRole('searchbox').fill('half a search')
  await picture(second.page, 'renew')
  const endsBefore = await second.page.locator('#renew time').getAttribute('datetime')
  const popup = second.page.waitForEvent('popup')
  await second.page.getByRole('link', { name: 'Stay logged in' }).click()
  const window = await popup
  await until('the window closed itself', () => window.isClosed(), { timeoutMs: 60_000 })
  await until(
    'the page has heard of the later end',
    async () => (await second.page.locator('#renew time').getAttribute('datetime')) !== endsBefore,
    { timeoutMs: 30_000 },
  )
  t.is(await second.page.getByRole('searchbox').inputValue(), 'half a search')

  // A notebook, open and working.
  await second.page.goto(`${url}/hub/launch`)
  await second.page.getByRole('button', { name: 'Launch', exact: true }).last().click()
  const sockets = openSockets(second.page)
  await second.page.waitForURL(/\/user\/ada\/[a-z0-9]+\/lab/, { timeout: 120_000 })
  await second.page.getByRole('menuitem', { name: 'File', exact: true }).waitFor({ timeout: 120_000 })
  const notebook = new URL(second.page.url())
  await second.page.locator('.jp-LauncherCard[data-category=Notebook]').first().click({ timeout: 60_000 })
  await second.page.getByText('| Idle').first().waitFor({ timeout: 120_000 })
  t.true(sockets.open.size > 0, 'the notebook talks to its kernel')
  const cookies = await second.page.context().cookies(notebook.href)

  // The person logs out at UmbrellaID, in another tab; UmbrellaID calls the hub.
  const elsewhere = await second.page.context().newPage()
  await elsewhere.goto(`${keycloak.issuer('umbrella')}/protocol/openid-connect/logout`)
  const before = [...sockets.open]
  const from = performance.now()
  await elsewhere.locator('#kc-logout').click()
  const isClosed = (): boolean => before.every((each) => !sockets.open.has(each))
  await until('the sockets that were open are closed', isClosed, { timeoutMs: 10_000, everyMs: 5 })
  const closedAt = Math.max(...before.map((each) => sockets.closedAt.get(each) ?? 0))
  t.log(`closed ${Math.round(closedAt - from)} ms after the click on “log out” at the provider`)
  const again = await fetch(notebook, {
    headers: { cookie: cookies.map(({ name, value }) => `${name}=${value}`).join('; '), accept: 'application/json' },
  })
  t.is(again.status, 401, 'its entry is worth nothing now')
  // The other browser was logged in at the facility: it is not meant.
  await page.goto(`${url}/hub/home`)
  await page.getByRole('heading', { name: 'My environments' }).waitFor()

  // Logging out here ends the session there too, without a question: the ID token says who leaves.
  await page.getByRole('button', { name: /Ada Lovelace/ }).click()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.waitForURL(`${url}/hub/login*`)
  await page.getByRole('link', { name: 'Facility account' }).click()
  await page.locator('#username').waitFor()
  t.deepEqual(errors, [])
  for (const secret of Object.values(passwords)) t.false(hutch.output().includes(secret))
  t.notRegex(hutch.output(), /eyJ[\w-]{20,}\./, 'no token in the log')
})

function configuration(umbrella: string, facility: string): object {
  return {
    hub: { title: 'Hutch', contact: 'help@example.org' },
    login: {
      // The pages offer to renew all the time.
      warn: '7d',
      providers: {
        umbrella: {
          title: 'UmbrellaID',
          issuer: umbrella,
          clientId: 'hutch',
          proves: 'identity',
          claims: { subject: 'voperson_id', legacyHash: 'eaa_hash' },
        },
        facility: { title: 'Facility account', issuer: facility, clientId: 'hutch', proves: 'account' },
      },
    },
    accounts: { source: 'self' },
    flavours: { small: { title: 'Small', cpu: 1, memory: '2GiB' } },
    spawners: { here: { type: 'local', allowUnsandboxed: true, allowUnlimited: true } },
    profiles: { jupyterlab: { title: 'JupyterLab', kind: 'notebook', flavours: ['small'], on: { here: {} } } },
  }
}

async function atKeycloak(page: Page, name: string, password: string): Promise<void> {
  await page.locator('#username').fill(name)
  await page.locator('#password').fill(password)
  await page.locator('#kc-login').click()
}

/** WebSockets of the page: those that are open now, and when others were closed. */
function openSockets(page: Page): { open: Set<object>; closedAt: Map<object, number> } {
  const [open, closedAt] = [new Set<object>(), new Map<object, number>()]
  page.on('websocket', (socket) => {
    open.add(socket)
    socket.on('close', () => {
      open.delete(socket)
      closedAt.set(socket, performance.now())
    })
  })
  return { open, closedAt }
}

/** With HUTCH_PICTURES=<folder> the pages are kept to be looked at. */
async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return
  await mkdir(pictures, { recursive: true })
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme })
    await page.screenshot({ path: join(pictures, `${name}-${scheme}.png`) })
  }
  await page.emulateMedia({ colorScheme: null })
}
