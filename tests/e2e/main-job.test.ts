/** The main job, as a scientist does it: the real hub, proxy and agent, a real Chromium, JupyterLab and kernel. */
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import test from 'ava'
import type { Page } from 'playwright-core'
import { browser, visitor } from '../support/browser.ts'
import { startHutch } from '../support/hutch.ts'
import { until } from '../support/until.ts'
import { temporaryFolder } from '../support/temporary.ts'

const pictures = new URL('../../docs/screenshots/', import.meta.url).pathname
const keepPictures = process.env['HUTCH_SCREENSHOTS'] === 'true'

test('log in, launch with a proposal, plot its data, use a terminal, stop, delete', async (t) => {
  const opened = await browser(t)
  if (opened === undefined) return
  const hutch = await startHutch(t, { state: await temporaryFolder(t) })
  const passwords = await hutch.passwords()
  const { page, errors } = await visitor(opened)

  await logIn(page, hutch.url, 'ada', passwords['ada'] ?? '')
  await page.getByRole('heading', { name: 'My environments' }).waitFor()
  await picture(page, 'home-empty')

  await page.getByRole('link', { name: 'Open an environment with 20150042' }).click()
  await page.getByLabel('JupyterLab').check()
  t.true(await page.locator('input[name=proposals]').first().isChecked())
  await page.getByLabel('What shall it be called?').fill('First look')
  await picture(page, 'launch')
  await page.getByRole('button', { name: 'Launch', exact: true }).last().click()

  await page.waitForURL(/\/user\/ada\/[a-z0-9]+\/lab/, { timeout: 120_000 })
  await page.locator('.jp-Notebook').waitFor({ timeout: 120_000 })
  await runAllCells(page)
  await page.locator('.jp-OutputArea-output img').first().waitFor({ timeout: 120_000 })
  await picture(page, 'notebook')
  const width = await page
    .locator('.jp-OutputArea-output img')
    .first()
    .evaluate((image) => (image as HTMLImageElement).naturalWidth)
  t.true(width > 100, 'the plot of the measured data is drawn')
  t.true(await page.evaluate(`'@hutch/notices' in globalThis._JUPYTERLAB`), 'JupyterLab would warn of its end')

  const environment = new URL(page.url()).pathname.split('/').slice(0, 4).join('/')
  await page.goto(`${hutch.url}${environment}/_hutch/terminal/`)
  const screen = page.locator('.xterm-rows').first()
  await screen.getByText('ada@').waitFor()
  await page.keyboard.type('whoami; id -un; ls ../raw\n')
  await screen.getByText('P123_D2O_10_percent.xml').waitFor()
  t.is((await screen.locator('> div').allTextContents()).filter((line) => line.trim() === 'ada').length, 2)
  await picture(page, 'terminal')
  await staysLoggedIn(page, `${environment}/`)

  await page.goto(`${hutch.url}/hub/home`)
  await page.getByRole('link', { name: 'Open First look' }).waitFor()
  await picture(page, 'home')
  await page.getByRole('button', { name: 'Stop First look' }).click()
  await page.getByRole('button', { name: 'Stop it' }).click()
  await page.getByRole('button', { name: 'Delete First look' }).click({ timeout: 60_000 })
  await page.getByRole('button', { name: 'Delete it' }).click()
  await page.getByRole('heading', { name: 'Nothing is running' }).waitFor()
  t.is(await page.getByText('First look').count(), 0)
  t.deepEqual(errors, [])
  t.is(await hutch.stop(), 0)
})

interface Notices {
  readonly ends?: { inMs: number; cause: string }
  readonly login: { inMs: number }
  readonly renewUrl: string
}

/** What a page inside is told, and the window that it opens: the login and the entry last longer, and it closes. */
async function staysLoggedIn(page: Page, prefix: string): Promise<void> {
  const ask = async (): Promise<Notices> =>
    await page.evaluate(`fetch('${prefix}_hutch/notices').then((answer) => answer.json())`)
  // The hub says it in answer to a report; a click to stay makes the agent send one.
  await page.evaluate(`fetch('${prefix}_hutch/stay', { method: 'POST' }).then(({ status }) => status)`)
  const before = await until(
    'the end is told',
    async () => {
      const told = await ask()
      return told.ends !== undefined && told
    },
    { timeoutMs: 90_000, everyMs: 200 },
  )
  const { ends } = before
  assert.equal(ends?.cause, 'walltime')
  assert.ok(ends !== undefined && ends.inMs > 7 * 3_600_000 && ends.inMs <= 8 * 3_600_000)
  const opening = page.waitForEvent('popup')
  await page.evaluate(
    `void window.open(${JSON.stringify(before.renewUrl)}, 'hutch-renew', 'popup,width=520,height=680')`,
  )
  const popup = await opening
  if (!popup.isClosed()) await popup.waitForEvent('close', { timeout: 60_000 })
  const after = await ask()
  assert.ok(after.login.inMs > before.login.inMs, `${before.login.inMs} → ${after.login.inMs}`)
}

async function logIn(page: Page, url: string, name: string, password: string): Promise<void> {
  await page.goto(url)
  await picture(page, 'login')
  await page.getByRole('link', { name: 'Demo people' }).click()
  await page.getByLabel('User name').fill(name)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.waitForURL(/\/hub\/home/)
}

async function runAllCells(page: Page): Promise<void> {
  await page.getByText('Python 3 (ipykernel) | Idle').waitFor({ timeout: 120_000 })
  await page.getByRole('menuitem', { name: 'Run' }).click()
  await page.getByRole('menuitem', { name: 'Run All Cells', exact: true }).click()
}

/** With HUTCH_SCREENSHOTS=true the pictures of the README are made anew. */
async function picture(page: Page, name: string): Promise<void> {
  if (!keepPictures) return
  await mkdir(pictures, { recursive: true })
  await page.screenshot({ path: `${pictures}${name}.png` })
}
