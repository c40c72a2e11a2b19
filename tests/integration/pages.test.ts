/** Every page in a real Chromium: no accessibility violation, light and dark, wide and narrow; and what scripts do. */
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { AxeResults } from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { Problem } from '../../hub/domain/problem.ts'
import { browser, visitor } from '../support/browser.ts'
import { type FakeHub, fakeEnvironment, fakeHub } from '../support/fakeHub.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Where pictures go, for looking at; absent: none are taken. */
const pictures = process.env['HUTCH_PICTURES']
const hour = 3_600_000

/** A page and what must be in place for it; `as` is who looks. */
interface Scene {
  readonly name: string
  readonly path: string
  readonly as?: string
  /** Whether environments have host names of their own. */
  readonly hosts?: true
  readonly arrange?: (hub: FakeHub) => void
  readonly act?: (page: Page) => Promise<unknown>
}

const scenes: readonly Scene[] = [
  { name: 'login', path: '/hub/login' },
  { name: 'login-failed', path: '/hub/login?failed=1' },
  { name: 'password', path: '/hub/login?form=1' },
  { name: 'password-failed', path: '/hub/login?form=1&failed=1' },
  { name: 'sessions', path: '/hub/sessions', as: 'alice' },
  { name: 'home', path: '/hub/home', as: 'alice', arrange: fillHome },
  { name: 'home-empty', path: '/hub/home', as: 'bob' },
  {
    name: 'home-stop',
    path: '/hub/home',
    as: 'alice',
    arrange: fillHome,
    act: (page) => page.click('#stop-ready1'),
  },
  {
    name: 'home-rename',
    path: '/hub/home',
    as: 'alice',
    arrange: fillHome,
    act: (page) => page.click('#rename-ready1'),
  },
  {
    name: 'home-renamed',
    path: '/hub/home',
    as: 'alice',
    arrange: fillHome,
    act: async (page) => {
      await page.click('#rename-ready1')
      await page.fill('#title-ready1', 'Silica, second look')
      await Promise.all([page.waitForURL(/home/), page.keyboard.press('Enter')])
      await page.waitForSelector('#undo-rename')
    },
  },
  { name: 'home-menu', path: '/hub/home', as: 'alice', arrange: fillHome, act: (page) => page.click('.who-button') },
  { name: 'home-search', path: '/hub/home?search=nothing+such', as: 'alice' },
  { name: 'launch', path: '/hub/launch?proposals=20261042', as: 'alice' },
  {
    name: 'launch-datasets',
    path: '/hub/launch?proposals=20261042&datasets=20261042/20.500.12345/fa0&notebook=processed/plot.ipynb',
    as: 'alice',
  },
  { name: 'launch-link', path: '/hub/launch?profile=matlab&proposal=20269999&notebook=../../.bashrc', as: 'alice' },
  { name: 'proposal', path: '/hub/proposals/20261042?offset=20', as: 'alice' },
  { name: 'proposal-none', path: '/hub/proposals/20261035', as: 'alice' },
  { name: 'launch-terminal', path: '/hub/launch?profile=terminal', as: 'bob' },
  {
    name: 'launch-refused',
    path: '/hub/launch',
    as: 'alice',
    arrange: (hub) => {
      hub.failing.launch = new Problem('overQuota', 'You have 10 environments, the most there may be. Stop one first.')
    },
    act: async (page) => {
      await page.fill('#title', 'Silica, first look')
      await Promise.all([page.waitForURL(/launch/), page.click('.launch-bar .primary')])
      await page.waitForSelector('#problem')
    },
  },
  { name: 'waiting', path: '/hub/environments/starting1', as: 'alice', arrange: fillHome },
  { name: 'waiting-queued', path: '/hub/environments/queued1', as: 'alice', arrange: fillHome },
  { name: 'waiting-unreachable', path: '/hub/environments/lost1', as: 'alice', arrange: fillHome },
  { name: 'waiting-failed', path: '/hub/environments/failed1', as: 'alice', arrange: fillHome },
  { name: 'waiting-ended', path: '/hub/environments/ended1', as: 'alice', arrange: fillHome },
  { name: 'time', path: '/hub/environments/ready1/time', as: 'alice', arrange: fillHome },
  { name: 'usage-full-home', path: '/hub/usage', as: 'alice', arrange: fillHomeStorage },
  { name: 'home-full', path: '/hub/home', as: 'alice', arrange: fillHomeStorage },
  { name: 'home-shared', path: '/hub/home', as: 'alice', arrange: fillShared },
  { name: 'sharing', path: '/hub/environments/ready1/sharing', as: 'alice', hosts: true, arrange: fillShared },
  { name: 'sharing-closed', path: '/hub/environments/ready1/sharing', as: 'alice', arrange: fillHome },
  {
    name: 'sharing-link',
    path: '/hub/environments/desk1/sharing',
    as: 'alice',
    hosts: true,
    arrange: fillShared,
    act: async (page) => {
      await page.getByRole('button', { name: 'Make a link' }).click()
      await page.waitForSelector('#new-link')
    },
  },
  {
    name: 'enter-guest',
    path: `/hub/enter?environment=others1&nonce=${'n'.repeat(43)}`,
    as: 'alice',
    arrange: asGuest,
  },
  { name: 'enter-staff', path: `/hub/enter?environment=others1&nonce=${'n'.repeat(43)}`, as: 'ada', arrange: asStaff },
  { name: 'people', path: '/hub/admin/people', as: 'ada', hosts: true, arrange: fillHome },
  {
    name: 'people-stop',
    path: '/hub/admin/people?search=ali',
    as: 'ada',
    arrange: fillHome,
    act: (page) => page.getByRole('button', { name: 'Keep out' }).first().click(),
  },
  { name: 'people-none', path: '/hub/admin/people?search=zzz', as: 'ada' },
  { name: 'accept-share', path: '/hub/accept-share?code=link2', as: 'bob', arrange: fillShared },
  { name: 'error-404', path: '/hub/nothing/here', as: 'alice' },
  { name: 'error-403', path: '/hub/open?next=/user/bob/x/', as: 'alice' },
  {
    name: 'error-500',
    path: '/hub/home',
    as: 'alice',
    arrange: (hub) => {
      hub.failing.store = new Error('the disk is gone')
    },
  },
]

test.serial(
  'every page is free of accessibility violations, fits, and runs its scripts without an error',
  async (t) => {
    const opened = await browser(t)
    if (!opened) return
    for (const scene of chosen()) {
      for (const width of [1_280, 390]) await look(t, opened, scene, width)
    }
  },
)

/** HUTCH_SCENES=home,launch looks at these alone. */
function chosen(): readonly Scene[] {
  const names = process.env['HUTCH_SCENES']?.split(',')
  return names ? scenes.filter((each) => names.includes(each.name)) : scenes
}

async function look(t: ExecutionContext, opened: Browser, scene: Scene, width: number): Promise<void> {
  const hub = await fakeHub(t, scene.hosts ? { environments: { hosts: '{user}.envs.example.org' } } : {})
  scene.arrange?.(hub)
  const { page, errors } = await visitor(opened, { viewport: { width, height: 900 } })
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (?:4|5)\d\d/.test(message.text())) complaints.push(message.text())
  })
  if (scene.as) await page.context().addCookies([{ name: 'fake-user', value: scene.as, url: hub.url }])
  await page.goto(hub.url + scene.path)
  await scene.act?.(page)
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await picture(page, `${scene.name}-${width}-${colorScheme}`)
    t.deepEqual(await violations(page), [], `${scene.name}, ${width}, ${colorScheme}`)
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
    t.true(Number(overflow) <= 0, `${scene.name} is wider than ${width} px by ${String(overflow)}`)
  }
  t.deepEqual([...errors, ...complaints], [], `${scene.name}: errors of scripts and of the content security policy`)
  await page.context().close()
}

async function violations(page: Page): Promise<string[]> {
  // Evaluated over the debugger: the page's own policy would refuse a script tag.
  await page.evaluate(axe)
  const run = `axe.run(document, { resultTypes: ['violations'] })`
  const results: AxeResults = await page.evaluate(run)
  return results.violations.map((each) => `${each.id}: ${each.help} (${each.nodes.map((node) => node.html).join(' ')})`)
}

async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return
  await mkdir(pictures, { recursive: true })
  // What sticks to the bottom of the window would cover a picture of the whole page.
  if (/^(launch|proposal-1|proposal-3)/.test(name))
    await page.setViewportSize({ width: page.viewportSize()?.width ?? 0, height: 2_000 })
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: !/menu|stop|rename/.test(name) })
}

function fillHomeStorage(hub: FakeHub): void {
  fillHome(hub)
  hub.home.use = { usedBytes: 10 * 2 ** 30, limitBytes: 10 * 2 ** 30, share: 1 }
}

function fillHome({ environments }: FakeHub): void {
  const ago = (ms: number): Date => new Date(Date.now() - ms)
  const proposals = ['20261042', '20261035']
  environments.put({
    id: 'ready1',
    title: 'Silica aerogels, first look',
    proposals,
    requestedAt: ago(2.4 * hour),
    endsAt: ago(-5.6 * hour),
  })
  environments.use('ready1', { cpu: 1.37, memoryBytes: 2.6 * 2 ** 30 })
  environments.put({
    id: 'starting1',
    title: 'Terminal',
    profile: 'terminal',
    state: { is: 'starting', stage: 'starting', message: 'The application is starting.' },
    requestedAt: ago(4_000),
    proposals: ['20261042'],
  })
  environments.put({
    id: 'queued1',
    title: 'A long one with 😀 and <b>markup</b> that nobody asked for, to see how a title wraps on a narrow screen',
    flavour: 'large',
    image: 'registry.example.org/analysis/notebook:2026.11',
    state: {
      is: 'starting',
      stage: 'queued',
      message: 'The cluster is full just now.',
      position: 12,
      startEstimateAt: ago(-0.4 * hour),
    },
    requestedAt: ago(300_000),
  })
  environments.put({
    id: 'lost1',
    title: 'Fitting',
    state: { is: 'unreachable', message: 'The cluster has not answered for 40 s.' },
    requestedAt: ago(26 * hour),
  })
  environments.put({
    id: 'failed1',
    title: 'Reduction of run 71234',
    proposals,
    state: {
      is: 'ended',
      reason: 'outOfMemory',
      message: 'It used more than its 4 GiB of memory. Launch it again with a larger flavour.',
      at: ago(hour),
      log: 'Reading /data/20261042/raw/71234.nxs\nLoading 2.1e9 events …\n<script>alert(1)</script>\nKilled\n',
    },
    requestedAt: ago(3 * hour),
  })
  environments.put({
    id: 'ended1',
    title: 'Notebook of yesterday',
    state: { is: 'ended', reason: 'cancelled', message: 'You stopped it.', at: ago(20 * hour), log: '' },
    requestedAt: ago(28 * hour),
  })
  environments.put({ ...fakeEnvironment(environments.put({ id: 'others1' }).id, 'bob'), userId: 'u-bob' })
}

function fillShared(hub: FakeHub): void {
  fillHome(hub)
  const { environments, shared } = hub
  const [ready, others] = [environments.put({ id: 'ready1' }), environments.put({ id: 'others1' })]
  const { spec } = ready
  const desktop = { ...spec, application: { ...spec.application, kind: 'desktop' as const } }
  const desk = environments.put({ id: 'desk1', title: 'Desktop', spec: desktop })
  const at = (ms: number): Date => new Date(Date.now() + ms)
  const bob = { id: 'u-bob', name: 'bob', title: 'Bob Brandt' }
  const share = { id: 's1', environment: ready.id, role: 'guest', createdAt: at(-hour) } as const
  shared.shares.push(
    { ...share, with: { kind: 'user', ...bob }, expiresAt: at(5 * hour) },
    { ...share, id: 's2', role: 'viewer', with: { kind: 'group', name: 'instrument scientists of SANS2D' } },
    { ...share, id: 's3', with: { kind: 'group', name: 'reduction' }, endedAt: at(-1_000) },
  )
  shared.codes.push({
    id: 'link2',
    environment: desk.id,
    role: 'viewer',
    createdAt: at(-hour),
    expiresAt: at(23 * hour),
    uses: 2,
  })
  const alice = { id: 'u-alice', name: 'alice' }
  const visit = { environment: ready.id, owner: alice, beganAt: at(-0.2 * hour), expiresAt: at(0.8 * hour) }
  shared.visits.push(
    {
      ...visit,
      id: 'v1',
      visitor: { id: 'u-ada', name: 'ada', title: 'Ada Admin' },
      role: 'administrator',
      reason: 'Ticket 4711: the kernel dies when it reads run 71234, and you asked us to look',
    },
    { ...visit, id: 'v2', visitor: bob, role: 'guest', reason: '', endedAt: at(-0.1 * hour) },
  )
  const mine = { ...share, with: { kind: 'user' as const, id: 'u-alice', name: 'alice', title: 'Alice Amberg' } }
  shared.openTo.push(
    { share: { ...mine, expiresAt: at(3 * hour) }, environment: others },
    { share: { ...mine, role: 'viewer', with: { kind: 'group', name: 'reduction' } }, environment: desk },
  )
}

function asGuest(hub: FakeHub): void {
  fillShared(hub)
  const [first] = hub.shared.openTo
  if (first) hub.shared.way = { by: 'share', ...first }
}

function asStaff(hub: FakeHub): void {
  fillShared(hub)
  const [first] = hub.shared.openTo
  if (first) hub.shared.way = { by: 'reason', environment: first.environment }
}
