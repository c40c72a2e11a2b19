/** A desktop's page as somebody at it sees and uses it: what is drawn, its terminal, its files. */
import { randomUUID } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { available, program } from './component.ts'
import { until } from './until.ts'

const slate = [0x2c, 0x3a, 0x47]

export function hasDesktop(t: ExecutionContext): boolean {
  return (
    available(t, 'Xvnc', program('Xvnc'), 'apt-get install tigervnc-standalone-server') &&
    available(t, 'XFCE', program('xfce4-session'), 'apt-get install xfce4-session xfwm4 xfce4-panel xfdesktop4') &&
    available(t, 'a terminal', program('xfce4-terminal'), 'apt-get install xfce4-terminal exo-utils')
  )
}

/** Its ground and its panel: pictures come, and they are not all the same. */
export async function untilXfce(page: Page): Promise<void> {
  await untilPixel(page, 'the background', { x: 0.5, y: 0.5 }, (colour) => isNear(colour, slate))
  await untilPixel(page, 'the panel', { x: 0.3, y: 0.012 }, (colour) => Math.min(...colour) > 200)
}

/** By its icon in XFCE's second panel, which is there once it is drawn. Once: two terminals would share the keys. */
export async function openTerminal(page: Page): Promise<void> {
  const [panel, icon] = [592, 568].map((x) => ({ x: x / 1280, y: 736 / 760 }))
  if (panel === undefined || icon === undefined) return
  await untilPixel(page, 'the second panel', panel, (colour) => Math.min(...colour) > 200)
  await page.locator('#screen canvas').click({ position: { x: 1280 * icon.x, y: 760 * icon.y } })
  await until(
    'a terminal reads what is typed',
    async () => {
      await page.keyboard.type('cd; echo ok > typed.txt\n')
      return (await download(page, 'typed.txt')).trim() === 'ok'
    },
    { timeoutMs: 60_000, everyMs: 500 },
  )
}

/** Types the line and waits until the shell has done it. */
export async function runs(page: Page, line: string): Promise<void> {
  const tag = randomUUID().slice(0, 8)
  await page.keyboard.type(`${line}; echo ${tag} > done.txt\n`)
  await until(`the shell did ${line}`, async () => (await download(page, 'done.txt')).trim() === tag, {
    timeoutMs: 60_000,
    everyMs: 100,
  })
}

/** As the page itself asks. Empty when it is not there. Chromium breaks off what it asks when a network comes or goes. */
export async function download(page: Page, path: string): Promise<string> {
  return await page.evaluate(async (query) => {
    for (let tries = 0; ; tries += 1) {
      const answer = await fetch(`file?${query}`).catch((error: unknown) => {
        if (tries === 10) throw error
      })
      if (answer) return answer.ok ? await answer.text() : ''
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }, new URLSearchParams({ path }).toString())
}

/** `x` and `y` in parts of the picture. */
async function pixel(page: Page, { x, y }: { x: number; y: number }): Promise<readonly number[]> {
  return await page.evaluate<number[]>(`(() => {
    const canvas = document.querySelector('#screen canvas')
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
  await until(`${what} is drawn`, async () => isRight(await pixel(page, at)), { timeoutMs: 60_000, everyMs: 50 })
}

function isNear(colour: readonly number[], wanted: readonly number[]): boolean {
  return colour.every((part, index) => Math.abs(part - (wanted[index] ?? 0)) < 12)
}
