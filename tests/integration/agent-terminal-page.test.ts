/** The terminal's page in a real browser. With HUTCH_SCREENSHOTS=FOLDER it leaves pictures there. */
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { startAgent, type RunningAgent } from '../support/agent.ts'
import { bridgeTo, type Bridge } from '../support/agent-bridge.ts'
import { browser, visitor } from '../support/browser.ts'
import { until } from '../support/until.ts'

interface Opened {
  readonly agent: RunningAgent
  readonly bridge: Bridge
  readonly page: Page
  readonly errors: string[]
  /** Waits until the shown terminal holds this. */
  readonly see: (pattern: RegExp) => Promise<void>
}

async function openPage(t: ExecutionContext, options: Parameters<typeof visitor>[1] = {}): Promise<Opened | undefined> {
  t.timeout(240_000)
  const opened = await browser(t)
  if (!opened) return undefined
  const agent = await startAgent(t, { env: { SHELL: '/bin/bash', PS1: '$ ' } })
  const port = await agent.untilReady()
  const bridge = await bridgeTo(t, { id: agent.id, key: agent.key, port })
  const { page, errors } = await visitor(opened, options)
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) errors.push(message.text())
  })
  await page.goto(bridge.url + agent.prefix)
  await page.locator('.screen:not([hidden]) .xterm-helper-textarea').waitFor({ state: 'attached' })
  const shown = async (): Promise<string> => await page.locator('.screen:not([hidden]) .xterm-rows').innerText()
  return {
    agent,
    bridge,
    page,
    errors,
    see: async (pattern) => {
      await until(`the page shows ${pattern}`, async () => pattern.test(await shown()), {
        timeoutMs: 60_000,
        everyMs: 100,
      })
    },
  }
}

test.serial('typing, tabs, a dead shell and a broken connection, by keyboard alone', async (t) => {
  const opened = await openPage(t)
  if (!opened) return
  const { page, bridge, see, errors } = opened
  // Typed before the connection stands: nothing of it may be lost.
  await page.keyboard.type('echo "<$((6 * 7))>" "$(stty size)"\n')
  await see(/<42> \d+ \d+/)

  await page.keyboard.press('Control+Shift+Period')
  t.is(await page.evaluate('document.activeElement.getAttribute("role")'), 'tab')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  t.is(await page.getByRole('tab').count(), 2)
  await page.keyboard.type('echo second; exit 3\n')
  await see(/second[^]*The shell has ended \(code 3\)\. Press any key for a new one\./)
  await page.keyboard.press('Enter')
  await page.keyboard.type('echo th""ird\n')
  await see(/third/)
  await page.keyboard.press('Control+Shift+Period')
  await page.keyboard.press('ArrowLeft')
  await see(/<42>/)

  await page.getByRole('tab').first().click()
  await page.keyboard.type('for i in $(seq 1 60); do echo "step-$i"; sleep 0.1; done; echo do""ne\n')
  await see(/step-5/)
  await bridge.breakDown()
  await page.getByText('The connection is lost. Connecting again…').waitFor()
  await bridge.comeBack()
  await page.getByRole('status').waitFor({ state: 'hidden' })
  await see(/step-58\s+step-59\s+step-60\s+done/)
  t.notRegex(
    await page.locator('.screen:not([hidden]) .xterm-rows').innerText(),
    /step-59[^]*step-59/,
    'nothing came twice',
  )

  await page.reload()
  t.is(await page.getByRole('tab').count(), 2, 'a reload finds its terminals')
  await see(/step-60\s+done/)
  await page.getByRole('button', { name: 'Close this terminal' }).first().click()
  await see(/third/)
  t.is(await page.getByRole('tab').count(), 1)
  t.deepEqual(errors, [])
})

test.serial('the window decides the size; who comes later takes over, and gives back', async (t) => {
  const opened = await openPage(t, { viewport: { width: 1000, height: 600 } })
  if (!opened) return
  const { page, agent, see } = opened
  const size = async (): Promise<string> => {
    const mark = Math.random().toString(36).slice(2)
    await page.keyboard.type(`clear; echo "${mark.slice(0, 3)}""${mark.slice(3)} $(stty size)."\n`)
    const pattern = new RegExp(`${mark} (\\d+ \\d+)\\.`)
    await see(pattern)
    return pattern.exec(await page.locator('.screen:not([hidden]) .xterm-rows').innerText())?.[1] ?? ''
  }
  const [rows = 0, columns = 0] = (await size()).split(' ').map(Number)
  await page.setViewportSize({ width: 500, height: 400 })
  await until(
    'it is smaller',
    async () => {
      const [lessRows = 0, lessColumns = 0] = (await size()).split(' ').map(Number)
      return lessRows < rows && lessColumns < columns
    },
    { timeoutMs: 60_000 },
  )

  const list = JSON.parse((await agent.ask(`${agent.prefix}_hutch/terminal/sessions`)).body) as { id: string }[]
  const thief = await agent.webSocket(`${agent.prefix}_hutch/terminal/ws?session=${list[0]?.id}`)
  await page.getByText('This terminal is open in another window.').waitFor()
  await page.getByRole('button', { name: 'Use it here' }).click()
  await until('the other one is told', () => thief.readyState === thief.CLOSED)
  t.not(await size(), '')
})

for (const colorScheme of ['light', 'dark'] as const) {
  test.serial(`it looks as it should, ${colorScheme}`, async (t) => {
    const opened = await openPage(t, { colorScheme })
    if (!opened) return
    const { page, see, errors } = opened
    const background = await page.evaluate('getComputedStyle(document.body).backgroundColor')
    t.is(background, colorScheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(20, 23, 28)')
    const colours = 'for i in 1 2 3 4 5 6 7; do printf "\\e[3${i}m colour $i \\e[9${i}m bright $i\\e[0m"; done; echo'
    await page.keyboard.type(`clear; ls --color=always /; ${colours}; echo o""k\n`)
    await see(/ok/)
    for (const [name, width] of [
      ['wide', 1280],
      ['narrow', 390],
    ] as const) {
      await page.setViewportSize({ width, height: 700 })
      t.true(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), `${name}: nothing sticks out`)
      const folder = process.env['HUTCH_SCREENSHOTS']
      if (folder) await page.screenshot({ path: join(folder, `terminal-${colorScheme}-${name}.png`) })
    }
    t.deepEqual(errors, [])
  })
}
