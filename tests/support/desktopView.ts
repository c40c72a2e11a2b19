/** What the bar of a desktop's page offers besides the picture: sharpness, keyboard, screenshot, full screen, keys. */
import { readFile } from 'node:fs/promises'
import type { ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { begins, canvasSize, download, patience, runs, trying } from './desktopPage.ts'
import { until } from './until.ts'

/**
 * For a page that is still to come: its WebSockets, so that one of them can be lost (and the next `testRefused` find
 * nobody), the last wishes about pictures that went to the desktop (SetEncodings, RFC 6143, 7.5.2), and the states that
 * the page was in.
 */
export const watchPage = `
  globalThis.testSockets = []
  globalThis.testRefused = 0
  globalThis.testStates = []
  globalThis.WebSocket = new Proxy(WebSocket, {
    construct(target, args) {
      const isRefused = globalThis.testRefused > 0
      if (isRefused) globalThis.testRefused -= 1
      const socket = new target(isRefused ? new URL('nowhere', args[0]) : args[0])
      const send = socket.send.bind(socket)
      socket.send = (data) => {
        const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        if (bytes[0] === 2 && bytes.length > 4 && bytes.length === 4 + 4 * view.getUint16(2)) {
          globalThis.testEncodings = Array.from({ length: view.getUint16(2) }, (_, index) => view.getInt32(4 + 4 * index))
        }
        send(data)
      }
      globalThis.testSockets.push(socket)
      return socket
    },
  })
  new MutationObserver(() => globalThis.testStates.push(document.body?.dataset.state))
    .observe(document, { subtree: true, attributes: true, attributeFilter: ['data-state'] })`

/** A picture that is to be sharper or leaner is asked for so, at once. */
export async function choosesQuality(page: Page): Promise<void> {
  await opens(page, 'View')
  for (const [choice, quality, compression] of [
    ['lean', 2, 8],
    ['sharp', 9, 1],
  ] as const) {
    await page.getByLabel('Picture').selectOption(choice)
    // JPEG quality and compression levels are encodings that are none: -32 to -23, and -256 to -247.
    await until(
      `the desktop is told ${choice}`,
      async () => {
        const told = (await page.evaluate<number[] | undefined>('globalThis.testEncodings')) ?? []
        return told.includes(quality - 32) && told.includes(compression - 256)
      },
      patience,
    )
  }
  await closes(page, 'View')
}

/** The desktop's own layout is another one then; what is typed arrives as it is. */
export async function choosesKeyboard(t: ExecutionContext, page: Page): Promise<void> {
  await opens(page, 'View')
  await page.getByLabel('Keyboard of the desktop').selectOption('de')
  await closes(page, 'View')
  await until(
    'the desktop has the layout',
    async () => {
      await runs(page, 'setxkbmap -query > layout.txt')
      return /^layout: +de$/m.test(await download(page, 'layout.txt'))
    },
    patience,
  )
  await runs(page, 'echo "yz-/[" > letters.txt')
  t.is((await download(page, 'letters.txt')).trim(), 'yz-/[')
}

export async function savesScreenshot(t: ExecutionContext, page: Page): Promise<void> {
  await opens(page, 'View')
  const [got] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save a screenshot' }).click(),
  ])
  t.regex(got.suggestedFilename(), /^desktop-\d{4}-\d\d-\d\dT[\d-]+\.png$/)
  const png = await readFile(await got.path())
  t.is(png.toString('latin1', 1, 4), 'PNG')
  t.is(`${png.readUInt32BE(16)}x${png.readUInt32BE(20)}`, await canvasSize(page), 'the desktop alone, whole')
  await closes(page, 'View')
}

export async function fillsTheScreen(page: Page): Promise<void> {
  for (const [label, isFull] of [
    ['Full screen', true],
    ['Leave full screen', false],
  ] as const) {
    await page.getByRole('button', { name: label, exact: true }).click()
    await page.waitForFunction(`(document.fullscreenElement !== null) === ${isFull}`)
  }
  await page.getByRole('button', { name: 'Full screen', exact: true }).waitFor()
}

/** Ctrl is held by the page, D is the keyboard's: the end of what a program reads. */
export async function holdsKeys(page: Page): Promise<void> {
  await begins(page, 'cat > held.txt; echo over >> held.txt')
  await page.keyboard.type('text\n')
  await trying('Ctrl+D was pressed', {
    async begin() {
      await opens(page, 'Keys')
      const ctrl = page.getByRole('button', { name: 'Ctrl', exact: true })
      await ctrl.click()
      await page.locator('#holds [aria-pressed=true]').waitFor()
      await page.keyboard.press('d')
      await ctrl.click()
      await page.locator('#holds [aria-pressed=true]').waitFor({ state: 'detached' })
      await closes(page, 'Keys')
    },
    isDone: async () => /over/.test(await download(page, 'held.txt')),
  })
}

export async function pressesOfPanel(page: Page, combination: string): Promise<void> {
  await opens(page, 'Keys')
  await page.getByRole('button', { name: combination, exact: true }).click()
  await closes(page, 'Keys')
}

export async function opens(page: Page, name: string): Promise<void> {
  const button = page.getByRole('button', { name, exact: true })
  if ((await button.getAttribute('aria-expanded')) !== 'true') await button.click()
  await page.getByRole('heading', { name, exact: true }).waitFor()
}

/** And the keys are the desktop's again. */
export async function closes(page: Page, name: string): Promise<void> {
  const button = page.getByRole('button', { name, exact: true })
  if ((await button.getAttribute('aria-expanded')) === 'true') await button.click()
  await page.getByRole('heading', { name, exact: true }).waitFor({ state: 'hidden' })
  await page.locator('#screen canvas').focus()
}
