/**
 * A desktop as a scientist uses it, on a host name of its own: the real hub, proxy and agent, Xvnc, XFCE and Chromium;
 * then with somebody who may only look. With HUTCH_SCREENSHOTS=FOLDER it leaves pictures there.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Browser, Page } from 'playwright-core'
import { loadSecrets } from '../../hub/setup/secrets.ts'
import { signEntry } from '../../proxy/ticket.ts'
import { browser, visitor } from '../support/browser.ts'
import { available, program } from '../support/component.ts'
import {
  asks,
  begins,
  canvasSize,
  clickAt,
  download,
  hasDesktop,
  openTerminal,
  patience,
  runs,
  trying,
  untilConnected,
  untilXfce,
} from '../support/desktopPage.ts'
import {
  choosesKeyboard,
  choosesQuality,
  closes,
  fillsTheScreen,
  holdsKeys,
  opens,
  pressesOfPanel,
  savesScreenshot,
  watchPage,
} from '../support/desktopView.ts'
import { freePort, startHutch, type RunningHutch } from '../support/hutch.ts'
import { personAt } from '../support/person.ts'
import { processesOf } from '../support/processes.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

test('XFCE is drawn; typing, clipboard, 3-D, files, size, a lost connection, and who may only look', async (t) => {
  t.timeout(15 * 60_000)
  const hasGears = available(t, 'glxgears', program('glxgears'), 'apt-get install mesa-utils')
  const opened = hasGears && hasDesktop(t) ? await browser(t) : undefined
  if (opened === undefined) return
  const folder = await temporaryFolder(t)
  const hutch = await startSite(t, folder)
  const ada = await personAt(opened, hutch, 'ada')
  const id = await ada.launch('desktop', 'Desk')
  const context = ada.hub.context()
  context.setDefaultTimeout(patience.timeoutMs)
  await context.addInitScript(watchPage)
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const errors: string[] = []
  context.on('weberror', (error) => errors.push(String(error.error())))
  const page = await ada.open(id)
  const from = performance.now()
  await untilConnected(page)
  t.log(`first picture after ${Math.round(performance.now() - from)} ms`)
  await untilXfce(page)
  t.log(`XFCE after ${Math.round(performance.now() - from)} ms`)
  await picture(page, 'desktop')

  await openTerminal(page).catch(async (e: unknown) => {
    await picture(page, 'failed')
    throw e
  })
  await runs(page, 'X=still; id -un > who.txt; glxinfo -B > glx.txt 2>&1')
  t.is((await download(page, 'who.txt')).trim(), 'ada')
  t.regex(await download(page, 'glx.txt'), /llvmpipe|softpipe|swrast/)
  await clipboardBothWays(page)
  await filesBothWays(t, page, folder)
  await choosesQuality(page)
  await choosesKeyboard(t, page)
  await savesScreenshot(t, page)
  await fillsTheScreen(page)
  await holdsKeys(page)
  await warnsOfTheEnd(t, page)

  await page.setViewportSize({ width: 1000, height: 700 })
  await until(
    'it is as large as the window',
    async () => (await canvasSize(page)) === `1000x${700 - barPixels}`,
    patience,
  )
  await losesItsConnection(page)
  await page.reload()
  await runs(page, 'echo $X > still.txt')
  t.is((await download(page, 'still.txt')).trim(), 'still', 'the shell is the one from before')
  t.is(await page.locator('#layout').inputValue(), 'de', 'what was chosen is kept')

  await onlyLooks(t, { opened, folder, page, id })
  await closesGears(page, id)
  await until('JupyterLab is beside it', async () => (await asks(page, '../../api')).status === 200, patience)
  t.deepEqual(errors, [])
})

/** As in the terminal, whose tests have the words and times: here it lies over the desktop, and one click stays. */
async function warnsOfTheEnd(t: ExecutionContext, page: Page): Promise<void> {
  const ends = { inMs: 700_000, cause: 'idle', why: 'It is not being used.', canExtend: true }
  const json = { ends, canStay: true, warnMs: 1_800_000, loginWarnMs: 600_000 }
  await page.route('**/_hutch/notices', (route) => route.fulfill({ json }))
  await page.evaluate('dispatchEvent(new Event("focus"))')
  const bar = page.getByRole('region', { name: 'Time of this environment' })
  await bar
    .getByText(/^Unused, this environment is stopped in 12 min\.$/)
    .first()
    .waitFor()
  await picture(page, 'desktop-notices')
  await page.unroute('**/_hutch/notices')
  const stayed = page.waitForResponse((answer) => answer.url().endsWith('_hutch/stay'))
  await bar.getByRole('button', { name: 'Keep it running' }).click()
  t.is((await stayed).status(), 204)
  await bar.getByRole('button', { name: 'Keep it running' }).waitFor({ state: 'detached' })
}

/** Nothing in the desktop is lost with it, and the page comes back by itself, also when nobody answers for a while. */
async function losesItsConnection(page: Page): Promise<void> {
  await untilConnected(page)
  await page.route(page.url(), (route) => route.fulfill({ status: 503 }))
  await page.evaluate(`
    globalThis.testStates.length = 0
    globalThis.testRefused = 3
    globalThis.testSockets.at(-1).close()`)
  await until(
    'it was lost, and is back',
    async () => /lost.*connected$/.test((await page.evaluate<string[]>('globalThis.testStates')).join(' ')),
    patience,
  )
  await page.unroute(page.url())
}

const gears = { left: 680, top: 320, size: 300 }

/** A 3-D program draws, and is closed by a combination that browsers keep for themselves. */
async function closesGears(page: Page, id: string): Promise<void> {
  await begins(page, `glxgears -geometry ${gears.size}x${gears.size}+${gears.left}+${gears.top}`)
  await gearsTurn(page)
  await trying('the window is closed', {
    async begin() {
      await clickAt(page, { x: gears.left + gears.size / 2, y: gears.top + gears.size / 2 })
      await pressesOfPanel(page, 'Alt + F4')
    },
    isDone: async () => !(await processesOf(id)).some(({ command }) => command.startsWith('glxgears\0')),
  })
}

/** The bar above, which is not the desktop's. */
const barPixels = 40

/** The demo with host names for environments, without which nobody else is let in. */
async function startSite(t: ExecutionContext, folder: string): Promise<RunningHutch> {
  const port = await freePort()
  const publicUrl = `http://localhost:${port}`
  const common = { flavours: ['small'], on: { here: {} } }
  const configuration = {
    publicUrl,
    environments: { hosts: '{user}.localhost' },
    proxy: { drain: '1s' },
    login: { demo: true },
    catalogue: { type: 'demo' },
    accounts: { source: 'demo' },
    flavours: { small: { title: 'Small', cpu: 2, memory: '2GiB' } },
    spawners: { here: { type: 'local', allowUnsandboxed: true, allowUnlimited: true } },
    profiles: {
      desktop: { title: 'Desktop', kind: 'desktop', ...common },
      jupyterlab: { title: 'JupyterLab', kind: 'notebook', ...common },
    },
  }
  const file = join(folder, 'hutch.json')
  await writeFile(file, JSON.stringify(configuration))
  return await startHutch(t, { state: join(folder, 'state'), args: ['--config', file], jupyter: true, port, publicUrl })
}

/** Ben has an entry as a share would give him: he sees what ada sees, and who is there, and can do nothing. */
async function onlyLooks(
  t: ExecutionContext,
  { opened, folder, page, id }: { opened: Browser; folder: string; page: Page; id: string },
): Promise<void> {
  const { admissionKey } = await loadSecrets(join(folder, 'state'))
  const [issuedAt, expiresAt] = [Date.now(), Date.now() + 600_000]
  const who = { login: 'l-ben', user: { id: 'u-ben', name: 'ben' }, role: 'viewer', share: 's-1' } as const
  const value = signEntry(admissionKey, { environment: id, ...who, issuedAt, expiresAt })
  const { page: his } = await visitor(opened, { permissions: ['clipboard-read', 'clipboard-write'] })
  his.setDefaultTimeout(patience.timeoutMs)
  await his.addInitScript(watchPage)
  const { hostname, href } = new URL(page.url())
  await his.context().addCookies([{ name: 'hutch-entry', value, domain: hostname, path: '/' }])
  await his.goto(href)
  await untilConnected(his)
  await his.getByText('You may only look').waitFor()
  t.is(await his.getByRole('button', { name: 'Files' }).count(), 0)
  await page.getByRole('button', { name: 'Who is here' }).click()
  await page.getByText('ben', { exact: true }).waitFor()
  await picture(page, 'desktop-people')
  await page.keyboard.press('Escape')
  await page.locator('#people').waitFor({ state: 'hidden' })
  await picture(his, 'desktop-guest')

  // Past his own page, which would not even send it: raw messages of RFB for a line and its end.
  const typed = Array.from(Buffer.from('echo ben > ben.txt\r')).flatMap((key) =>
    [1, 0].map((down) => keyEvent(key, down)),
  )
  await his.evaluate((messages) => {
    const socket = (globalThis as unknown as { testSockets: WebSocket[] }).testSockets.at(-1)
    for (const message of messages) socket?.send(Uint8Array.from(message))
  }, typed)
  const places = ['file?path=who.txt', 'folder?path=', 'keyboards', '../terminal/', '../terminal/sessions', '../../api']
  for (const place of places) t.is((await asks(his, place)).status, 403, place)
  t.is((await asks(his, 'file?path=ben.txt', { method: 'PUT', body: 'x' })).status, 403)

  await his.evaluate("navigator.clipboard.writeText('his own')")
  await runs(page, 'clear; echo secret-of-""ada')
  const clip = (at: Page): Promise<string> => at.locator('#clip').inputValue()
  await copies(page, async () => (await clip(page)).includes('secret-of-ada'))
  const looksAlike = async (): Promise<boolean> => (await differing(page, his)) < 2_000
  await until('he saw the line', looksAlike, patience)
  t.is(await clip(his), '', 'the text stays hers')
  t.is(await download(page, 'ben.txt'), '')
  await his.close()
}

/** RFC 6143, 7.5.4; the end of a line is XK_Return. */
function keyEvent(character: number, down: number): number[] {
  return [4, down, 0, 0, 0, 0, character === 13 ? 0xff : 0, character]
}

/** How many pixels of two people's pictures are not the same; a cursor may be. */
async function differing(one: Page, other: Page): Promise<number> {
  const take = `(() => {
    const canvas = document.querySelector('#screen canvas')
    if (!canvas?.width) return []
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return Array.from(data.filter((_, index) => index % 4 === 1 && index % 64 < 4))
  })()`
  const [mine, his] = await Promise.all([one.evaluate<number[]>(take), other.evaluate<number[]>(take)])
  if (mine.length === 0 || mine.length !== his.length) return Infinity
  return mine.filter((value, index) => Math.abs(value - (his[index] ?? 0)) > 40).length
}

/** All that the desktop's terminal shows by now, copied until it has arrived. */
async function copies(page: Page, hasArrived: () => Promise<boolean>): Promise<void> {
  await until(
    'what the desktop copied is here',
    async () => {
      await page.keyboard.press('Control+Shift+A')
      await page.keyboard.press('Control+Shift+C')
      await page.waitForTimeout(300)
      return await hasArrived()
    },
    { ...patience, everyMs: 700 },
  )
}

async function clipboardBothWays(page: Page): Promise<void> {
  await begins(page, 'cat > pasted.txt')
  await trying('it is pasted', {
    async begin() {
      await page.evaluate("navigator.clipboard.writeText('échappé 42')")
      await page.keyboard.press('Control+Shift+V')
    },
    async isDone() {
      // The desktop asks for the text when it is wanted: keys may overtake it.
      await page.keyboard.press('Enter')
      return (await download(page, 'pasted.txt')).includes('échappé 42\n')
    },
  })
  await page.keyboard.press('Control+d')
  await runs(page, 'clear; echo from-the-""desktop')
  await copies(page, async () =>
    /from-the-desktop/.test(await page.evaluate<string>("navigator.clipboard.readText().catch(() => '')")),
  )
}

async function filesBothWays(t: ExecutionContext, page: Page, folder: string): Promise<void> {
  const file = join(folder, 'scan äü.dat')
  await writeFile(file, 'first')
  await opens(page, 'Files')
  await page.setInputFiles('#choose', file)
  await page.getByRole('link', { name: 'scan äü.dat' }).waitFor()
  await picture(page, 'desktop-files')
  await writeFile(file, 'second')
  await page.setInputFiles('#choose', file)
  await page.getByText('It is there already.').waitFor()
  await page.getByRole('button', { name: 'Keep both' }).click()
  await page.getByRole('link', { name: 'scan äü (2).dat' }).waitFor()
  const [got] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'scan äü.dat' }).click(),
  ])
  t.is(got.suggestedFilename(), 'scan äü.dat')
  t.is(await readFile(await got.path(), 'utf8'), 'first', 'nothing was overwritten')
  t.is(await download(page, 'scan äü (2).dat'), 'second')
  await closes(page, 'Files')
}

/** glxgears draws a red, a green and a blue one; between two pictures a moment apart they have turned. */
async function gearsTurn(page: Page): Promise<void> {
  const { left, top, size } = gears
  const seen = `(async () => {
    const canvas = document.querySelector('#screen canvas')
    if (!canvas?.width) return [0]
    const take = () => canvas.getContext('2d').getImageData(${left}, ${top}, ${size}, ${size}).data
    const before = take()
    await new Promise((resolve) => setTimeout(resolve, 200))
    const after = take()
    const counts = [0, 0, 0, 0]
    for (let at = 0; at < after.length; at += 4) {
      const strongest = [0, 1, 2].find((part) =>
        [0, 1, 2].every((other) => other === part || after[at + part] > 2 * after[at + other] + 40))
      if (strongest !== undefined) counts[strongest] += 1
      if (after[at] !== before[at]) counts[3] += 1
    }
    return counts
  })()`
  await until(
    'three gears turn',
    async () => (await page.evaluate<number[]>(seen)).every((pixels) => pixels > 500),
    patience,
  )
}

async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['HUTCH_SCREENSHOTS']
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) })
}
