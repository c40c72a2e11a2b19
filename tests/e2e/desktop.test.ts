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
import { download, hasDesktop, openTerminal, runs, untilXfce } from '../support/desktopPage.ts'
import { freePort, startHutch, type RunningHutch } from '../support/hutch.ts'
import { personAt } from '../support/person.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

test('XFCE is drawn; typing, clipboard, 3-D, files, size, a lost connection, and who may only look', async (t) => {
  t.timeout(300_000)
  const hasGears = available(t, 'glxgears', program('glxgears'), 'apt-get install mesa-utils')
  const opened = hasGears && hasDesktop(t) ? await browser(t) : undefined
  if (opened === undefined) return
  const folder = await temporaryFolder(t)
  const hutch = await startSite(t, folder)
  const ada = await personAt(opened, hutch, 'ada')
  const id = await ada.launch('desktop', 'Desk')
  await ada.hub.context().addInitScript(rememberSockets)
  await ada.hub.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  const errors: string[] = []
  ada.hub.context().on('weberror', (error) => errors.push(String(error.error())))
  const page = await ada.open(id)
  const from = performance.now()
  await page.locator('body[data-state=connected]').waitFor()
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

  await page.setViewportSize({ width: 1000, height: 700 })
  await until('it is as large as the window', async () => (await canvasSize(page)) === `1000x${700 - barPixels}`)
  await page.evaluate('globalThis.testSockets.at(-1).close()')
  await page.locator('body[data-state=lost]').waitFor()
  await page.locator('body[data-state=connected]').waitFor()
  await page.reload()
  await page.locator('body[data-state=connected]').waitFor()
  await page.locator('#screen canvas').click({ position: { x: 500, y: 300 } })
  await runs(page, 'echo $X > still.txt')
  t.is((await download(page, 'still.txt')).trim(), 'still', 'the shell is the one from before')

  await onlyLooks(t, { opened, folder, page, id })

  await page.keyboard.type('glxgears\n')
  await gearsTurn(page)
  await picture(page, 'desktop-gears')
  await page.keyboard.press('Alt+F4')
  await until(
    'JupyterLab is beside it',
    async () => (await page.evaluate("fetch('../../api').then(({ status }) => status, () => 0)")) === 200,
    { timeoutMs: 120_000, everyMs: 200 },
  )
  t.deepEqual(errors, [])
})

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
  await his.addInitScript(rememberSockets)
  const { hostname, href } = new URL(page.url())
  await his.context().addCookies([{ name: 'hutch-entry', value, domain: hostname, path: '/' }])
  await his.goto(href)
  await his.locator('body[data-state=connected]').waitFor()
  await his.getByText('You may only look').waitFor()
  t.is(await his.getByRole('button', { name: 'Files' }).count(), 0)
  await page.getByRole('button', { name: 'Who is here' }).click()
  await page.getByText('ben', { exact: true }).waitFor()
  await picture(page, 'desktop-people')
  await page.keyboard.press('Escape')
  await picture(his, 'desktop-guest')

  // Past his own page, which would not even send it: raw messages of RFB for a line and its end.
  const typed = Array.from(Buffer.from('echo ben > ben.txt\r')).flatMap((key) =>
    [1, 0].map((down) => keyEvent(key, down)),
  )
  await his.evaluate((messages) => {
    const socket = (globalThis as unknown as { testSockets: WebSocket[] }).testSockets.at(-1)
    for (const message of messages) socket?.send(Uint8Array.from(message))
  }, typed)
  const answers = await his.evaluate(async () => {
    const asked = [
      'file?path=who.txt',
      'folder?path=',
      'keyboards',
      '../terminal/',
      '../terminal/sessions',
      '../../api',
    ]
    const put = fetch('file?path=ben.txt', { method: 'PUT', body: 'x' })
    return await Promise.all([
      ...asked.map(async (path) => (await fetch(path)).status),
      put.then(({ status }) => status),
    ])
  })
  t.deepEqual(answers, [403, 403, 403, 403, 403, 403, 403])

  await page.locator('#screen canvas').click({ position: { x: 500, y: 300 } })
  await his.evaluate("navigator.clipboard.writeText('his own')")
  await runs(page, 'clear; echo secret-of-""ada')
  const clip = (at: Page): Promise<string> => at.locator('#clip').inputValue()
  await until(
    'ada has it',
    async () => {
      await copyAll(page)
      return (await clip(page)).includes('secret-of-ada')
    },
    { timeoutMs: 60_000, everyMs: 500 },
  )
  await until('he saw the line', async () => (await differing(page, his)) < 2_000, { timeoutMs: 60_000 })
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
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return Array.from(data.filter((_, index) => index % 4 === 1 && index % 64 < 4))
  })()`
  const [mine, his] = await Promise.all([one.evaluate<number[]>(take), other.evaluate<number[]>(take)])
  if (mine.length !== his.length) return Infinity
  return mine.filter((value, index) => Math.abs(value - (his[index] ?? 0)) > 40).length
}

/** All that the desktop's terminal shows by now. */
async function copyAll(page: Page): Promise<void> {
  await page.keyboard.press('Control+Shift+A')
  await page.keyboard.press('Control+Shift+C')
}

async function clipboardBothWays(page: Page): Promise<void> {
  await page.evaluate("navigator.clipboard.writeText('échappé 42')")
  await page.keyboard.type('cat > pasted.txt\n')
  await page.keyboard.press('Control+Shift+V')
  await until('it is pasted', async () => {
    // The desktop asks for the text when it is wanted: keys may overtake it.
    await page.keyboard.press('Enter')
    return (await download(page, 'pasted.txt')).trim() === 'échappé 42'
  })
  await page.keyboard.press('Control+d')
  await runs(page, 'clear; echo from-the-""desktop')
  await until(
    'the text is in this clipboard',
    async () => {
      await copyAll(page)
      return /from-the-desktop/.test(await page.evaluate<string>('navigator.clipboard.readText()'))
    },
    { timeoutMs: 60_000, everyMs: 500 },
  )
}

async function filesBothWays(t: ExecutionContext, page: Page, folder: string): Promise<void> {
  const file = join(folder, 'scan äü.dat')
  await writeFile(file, 'first')
  await page.getByRole('button', { name: 'Files' }).click()
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
  await page.keyboard.press('Escape')
  await page.locator('#screen canvas').focus()
}

/** The page's own sockets, so that one of them can be lost. */
const rememberSockets = `
  globalThis.testSockets = []
  globalThis.WebSocket = new Proxy(WebSocket, {
    construct(target, args) {
      const socket = new target(...args)
      globalThis.testSockets.push(socket)
      return socket
    },
  })`
async function canvasSize(page: Page): Promise<unknown> {
  return await page.evaluate(`(({ width, height }) => width + 'x' + height)(document.querySelector('#screen canvas'))`)
}

/** glxgears draws a red, a green and a blue one; between two pictures a moment apart they have turned. */
async function gearsTurn(page: Page): Promise<void> {
  const seen = `(async () => {
    const canvas = document.querySelector('#screen canvas')
    const take = () => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
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
  await until('three gears turn', async () => (await page.evaluate<number[]>(seen)).every((pixels) => pixels > 500), {
    timeoutMs: 60_000,
  })
}

async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['HUTCH_SCREENSHOTS']
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) })
}
