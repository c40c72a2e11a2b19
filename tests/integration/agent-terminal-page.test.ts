/** The terminal's page in a real browser. With HUTCH_SCREENSHOTS=FOLDER it leaves pictures there. */
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { startAgent, wordOf, type RunningAgent } from '../support/agent.ts'
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

async function openPage(
  t: ExecutionContext,
  { prepare, ...options }: Parameters<typeof visitor>[1] & { prepare?: (agent: RunningAgent) => Promise<void> } = {},
): Promise<Opened | undefined> {
  t.timeout(240_000)
  const opened = await browser(t)
  if (!opened) return undefined
  const agent = await startAgent(t, { env: { SHELL: '/bin/bash', PS1: '$ ' } })
  const port = await agent.untilReady()
  await prepare?.(agent)
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

test.serial('copy and paste by keys, many lines at once; the end of the environment is said', async (t) => {
  const opened = await openPage(t, { permissions: ['clipboard-read', 'clipboard-write'] })
  if (!opened) return
  const { page, agent, see, errors } = opened
  await page.evaluate("navigator.clipboard.writeText('echo pasted-$((40 + 2))\\necho zwei-ü\\n')")
  await see(/[#$%>]/)
  await page.locator('.screen:not([hidden]) textarea').focus()
  await page.keyboard.press('Control+Shift+V')
  // A shell that knows what is pasted from what is typed waits for this.
  await see(/zwei-ü/)
  await page.keyboard.press('Enter')
  await see(/pasted-42\s+zwei-ü/)
  await page.keyboard.type('clear; echo copied-""text\n')
  await see(/^copied-text/m)
  const box = await page.locator('.screen:not([hidden]) .xterm-rows > div').first().boundingBox()
  await page.mouse.dblclick((box?.x ?? 0) + 20, (box?.y ?? 0) + 8)
  await page.keyboard.press('Control+Shift+C')
  const clipboard = async (): Promise<string> => await page.evaluate<string>('navigator.clipboard.readText()')
  await until('it is copied', async () => /copied/.test(await clipboard()), { timeoutMs: 30_000 })
  await agent.stop()
  await page.getByText('This environment was stopped.').waitFor()
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

/** The agent hears it with its next report, which a click to stay makes it send. */
async function tell(agent: RunningAgent, word: ReturnType<typeof wordOf>): Promise<void> {
  agent.hub.word = word
  const before = agent.hub.reports.length
  const { status } = await agent.ask(`${agent.prefix}_hutch/stay`, { method: 'POST' })
  if (status !== 204) throw new Error(`stay was answered with ${status}`)
  await until('it reported', () => agent.hub.reports.length > before, { timeoutMs: 30_000 })
}

const idleFor = (inMs: number) => wordOf({ inMs, cause: 'idle', why: 'It is not being used.', canExtend: true })

test.serial('the page says what ends it; one click keeps it, whatever else is open', async (t) => {
  const headers = { 'x-hutch-until': String(Date.now() + 300_000) }
  const opened = await openPage(t, {
    extraHTTPHeaders: headers,
    prepare: (agent) => tell(agent, idleFor(700_000)),
  })
  if (!opened) return
  const { page, agent, errors } = opened
  const bar = page.getByRole('region', { name: 'Time of this environment' })
  await bar
    .getByText(/^Unused, this environment is stopped in 12 min\.$/)
    .first()
    .waitFor()
  await bar
    .getByText(/^Your login ends in 5 min\.$/)
    .first()
    .waitFor()
  t.is(await bar.getByRole('link', { name: 'Stay logged in' }).getAttribute('href'), 'http://hub.invalid/renew')
  const folder = process.env['HUTCH_SCREENSHOTS']
  if (folder) await page.screenshot({ path: join(folder, 'notices.png') })
  const before = agent.hub.reports.length
  agent.hub.word = idleFor(7_200_000)
  await bar.getByRole('button', { name: 'Keep it running' }).click()
  await bar.getByRole('button', { name: 'Keep it running' }).waitFor({ state: 'detached' })
  await until('the hub hears of it', () => agent.hub.reports.length > before)
  t.true(Date.now() - Date.parse(agent.hub.reports.at(-1)?.lastActivityAt ?? '') < 60_000)
  // Asked again, it is far away; then it is to end for another reason, and the last minutes are told anew.
  await page.waitForResponse((answer) => answer.url().endsWith('_hutch/notices'))
  await tell(
    agent,
    wordOf({ inMs: 1_000_000, cause: 'entitlement', why: 'You are no longer on it.', canExtend: false }),
  )
  await page.evaluate('dispatchEvent(new Event("focus"))')
  await bar
    .getByText(/^This environment ends in 17 min\. You are no longer on it\.$/)
    .first()
    .waitFor()
  await bar.getByRole('button', { name: 'Close' }).first().click()
  await bar
    .getByText(/You are no longer on it/)
    .first()
    .waitFor({ state: 'detached' })
  await tell(agent, wordOf({ inMs: 500_000, cause: 'walltime', why: 'Its time is over then.', canExtend: true }))
  await page.evaluate('dispatchEvent(new Event("focus"))')
  t.is(await bar.getByRole('link', { name: 'Make its time longer' }).getAttribute('href'), 'http://hub.invalid/time')
  t.deepEqual(errors, [])
})

test.serial('who comes from elsewhere, may only look, or asks in another way keeps nothing running', async (t) => {
  const agent = await startAgent(t, { env: { SHELL: '/bin/bash' } })
  await agent.untilReady()
  const stay = async (method: string, headers: Record<string, string>) =>
    (await agent.ask(`${agent.prefix}_hutch/stay`, { method, headers })).status
  t.is(await stay('POST', { origin: 'https://evil.example', host: 'hub.example' }), 403)
  t.is(await stay('POST', { 'x-hutch-role': 'viewer' }), 403)
  t.is(await stay('GET', {}), 405)
  t.is(await stay('POST', { origin: 'https://hub.example', host: 'hub.example' }), 204)
  const asked = JSON.parse((await agent.ask(`${agent.prefix}_hutch/notices`)).body) as object
  t.deepEqual(asked, { warnMs: 600_000, loginWarnMs: 600_000 }, 'an earlier hub says nothing')
  await tell(agent, wordOf({ inMs: 60_000, cause: 'entitlement', why: 'You are no longer on it.', canExtend: true }))
  for (const [role, canStay] of [
    ['guest', true],
    ['viewer', false],
  ] as const) {
    const headers = { 'x-hutch-role': role, 'x-hutch-until': String(Date.now() + 60_000) }
    const { body } = await agent.ask(`${agent.prefix}_hutch/notices`, { headers })
    const told = JSON.parse(body) as { ends: object }
    t.like(told, { ends: { cause: 'entitlement', why: '', canExtend: false }, canStay, warnMs: 1_800_000 })
    t.deepEqual(Object.keys(told).toSorted(), ['canStay', 'ends', 'loginWarnMs', 'warnMs'], 'no more than when it ends')
  }
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
