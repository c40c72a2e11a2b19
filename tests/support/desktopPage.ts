/**
 * A desktop's page as somebody at it sees and uses it: what is drawn, its terminal, its files. Nothing is typed before it
 * is seen that there is who reads it, and what was typed in vain (a connection was lost, a window came in front) is typed
 * again: each line is one that may be typed twice.
 */
import { randomUUID } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { available, program } from './component.ts'
import { until } from './until.ts'

const slate = [0x2c, 0x3a, 0x47]
/** For whatever is to come: a test machine may be very busy. */
export const patience = { timeoutMs: 300_000, everyMs: 250 }
/** What was typed and shows nothing for so long is typed again. */
const firstLostMs = 20_000

export function hasDesktop(t: ExecutionContext): boolean {
  return (
    available(t, 'Xvnc', program('Xvnc'), 'apt-get install tigervnc-standalone-server') &&
    available(t, 'XFCE', program('xfce4-session'), 'apt-get install xfce4-session xfwm4 xfce4-panel xfdesktop4') &&
    available(t, 'a terminal', program('xfce4-terminal'), 'apt-get install xfce4-terminal exo-utils')
  )
}

/** The picture is there, whatever became of the connection meanwhile: the page comes back by itself. */
export async function untilConnected(page: Page): Promise<void> {
  await page.locator('body[data-state=connected]').waitFor({ timeout: patience.timeoutMs })
}

/** Its ground and its panels: pictures come, and they are not all the same. */
export async function untilXfce(page: Page): Promise<void> {
  await untilPixel(page, 'the background', { x: 0.5, y: 0.5 }, (colour) => isNear(colour, slate))
  await untilPixel(page, 'the panel', { x: 0.3, y: 0.012 }, isLight)
}

/** Windows and icons have more colours than an empty screen. */
export async function untilDrawn(page: Page, colours: number): Promise<void> {
  await page.locator('body[data-state=connected]').waitFor({ timeout: 300_000 })
  await until(
    'it is drawn',
    async () => {
      const seen = await page.evaluate<number>(`(() => {
        const canvas = document.querySelector('#screen canvas')
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
        const seen = new Set()
        for (let at = 0; at < data.length; at += 64) seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2])
        return seen.size
      })()`)
      return seen > colours
    },
    { timeoutMs: 300_000, everyMs: 200 },
  )
}

/**
 * By its icon in XFCE's second panel, which is there once it is drawn. Its window comes in the upper left corner, and is
 * the only thing there that is not of the ground's colour.
 */
export async function openTerminal(page: Page): Promise<void> {
  await until('the desktop is as large as its window', async () => (await canvasSize(page)) === '1280x760', patience)
  const [panel, icon] = [592, 568].map((x) => ({ x: x / 1280, y: 736 / 760 }))
  if (panel === undefined || icon === undefined) return
  await untilPixel(page, 'the second panel', panel, isLight)
  const isOpen = async (): Promise<boolean> => {
    const colour = await pixel(page, { x: inTerminal.x / 1280, y: inTerminal.y / 760 })
    return colour.length > 0 && !isNear(colour, slate)
  }
  await trying('a terminal is drawn', {
    begin: async () => await clickAt(page, { x: 1280 * icon.x, y: 760 * icon.y }),
    isDone: isOpen,
  })
  // A Ctrl+D too many must not end it.
  await runs(page, 'cd; IGNOREEOF=1000')
}

/** Types the line at the terminal and waits until the shell has done it. It may be typed twice, and done once or twice. */
export async function runs(page: Page, line: string): Promise<void> {
  const tag = randomUUID().slice(0, 8)
  await types(page, `${line}; echo ${tag} > told.txt`, tag)
}

/** As `runs`, for a line that goes on: until the shell has begun it. */
export async function begins(page: Page, line: string): Promise<void> {
  const tag = randomUUID().slice(0, 8)
  await types(page, `echo ${tag} > told.txt; ${line}`, tag)
}

async function types(page: Page, line: string, tag: string): Promise<void> {
  let tries = 0
  await trying(`the shell does ${line}`, {
    async begin() {
      await clickAt(page, inTerminal)
      // Half a line may be there.
      if (tries > 0) await page.keyboard.press('Control+C')
      tries += 1
      await page.keyboard.type(`${line}\n`)
    },
    isDone: async () => (await download(page, 'told.txt')).trim() === tag,
  })
}

/** Begins, and again when nothing came of it for a while, and again a longer while later. */
export async function trying(
  what: string,
  { begin, isDone }: { begin: () => Promise<void>; isDone: () => Promise<boolean> },
): Promise<void> {
  let nextAt = 0
  let lostMs = firstLostMs
  await until(
    what,
    async () => {
      if (nextAt > 0 && (await isDone())) return true
      if (performance.now() > nextAt) {
        await begin()
        nextAt = performance.now() + lostMs
        lostMs *= 2
      }
      return false
    },
    patience,
  )
}

/** Within the terminal's window, however large the desktop is. */
const inTerminal = { x: 400, y: 300 }

/** Who clicks where a window is has its focus. */
export async function clickAt(page: Page, position: { x: number; y: number }): Promise<void> {
  await untilConnected(page)
  await page.locator('#screen canvas').click({ position })
}

/**
 * As the page itself asks. Empty when it is not there. Chromium breaks off what it asks when a network interface of this
 * machine comes or goes, as other tests have them do.
 */
export async function download(page: Page, path: string): Promise<string> {
  return (await asks(page, `file?${new URLSearchParams({ path }).toString()}`)).text
}

/** What an address beside the page answers, asked until it does. The text of a refusal is empty. */
export async function asks(
  page: Page,
  address: string,
  init: { method?: string; body?: string } = {},
): Promise<{ status: number; text: string }> {
  return await until(
    `${address} is answered`,
    async () =>
      await page.evaluate(
        async ([address, init]) => {
          const answer = await fetch(address, init).catch(() => undefined)
          const text = await answer?.text().catch(() => undefined)
          return answer && text !== undefined && { status: answer.status, text: answer.ok ? text : '' }
        },
        [address, init] as const,
      ),
    patience,
  )
}

export async function canvasSize(page: Page): Promise<string> {
  return await page.evaluate<string>(
    `(({ width, height }) => width + 'x' + height)(document.querySelector('#screen canvas') ?? {})`,
  )
}

/** `x` and `y` in parts of the picture. Empty while there is none. */
async function pixel(page: Page, { x, y }: { x: number; y: number }): Promise<readonly number[]> {
  return await page.evaluate<number[]>(`(() => {
    const canvas = document.querySelector('#screen canvas')
    if (!canvas?.width) return []
    const at = [canvas.width * ${x}, canvas.height * ${y}].map(Math.floor)
    return Array.from(canvas.getContext('2d').getImageData(at[0], at[1], 1, 1).data.slice(0, 3))
  })()`)
}

async function untilPixel(
  page: Page,
  what: string,
  at: { x: number; y: number },
  isRight: (colour: readonly number[]) => boolean,
): Promise<void> {
  await until(`${what} is drawn`, async () => isRight(await pixel(page, at)), patience)
}

function isLight(colour: readonly number[]): boolean {
  return colour.length > 0 && Math.min(...colour) > 200
}

function isNear(colour: readonly number[], wanted: readonly number[]): boolean {
  return colour.length > 0 && colour.every((part, index) => Math.abs(part - (wanted[index] ?? 0)) < 12)
}
