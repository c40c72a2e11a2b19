/** What people do on the pages, in a real Chromium: with scripts, without them, and with the keyboard alone. */
import test, { type ExecutionContext } from 'ava'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { browser, visitor } from '../support/browser.ts'
import { type FakeHub, fakeHub } from '../support/fakeHub.ts'
import { until } from '../support/until.ts'

interface Visit {
  readonly hub: FakeHub
  readonly page: Page
  readonly errors: string[]
}

/** Undefined: there is no browser, and the test said so. */
async function visit(
  t: ExecutionContext,
  options: BrowserContextOptions = {},
  arrange?: (hub: FakeHub) => void,
): Promise<Visit | undefined> {
  const opened = await browser(t)
  if (!opened) return undefined
  const hub = await fakeHub(t)
  arrange?.(hub)
  const { page, errors } = await visitor(opened, options)
  await page.context().addCookies([{ name: 'fake-user', value: 'alice', url: hub.url }])
  return { hub, page, errors }
}

test.serial('the waiting page goes through the stages and then in by itself', async (t) => {
  const state = { is: 'starting', stage: 'accepted', message: 'Accepted.' } as const
  const got = await visit(t, {}, ({ environments }) => void environments.put({ id: 'mine1', state }))
  if (!got) return
  const { hub, page, errors } = got
  await page.goto(`${hub.url}/hub/environments/mine1`)
  await page.getByText('Usually takes about 6 s').waitFor()
  t.is(await page.locator('[aria-current=step]').textContent(), 'Request accepted – now')
  hub.environments.put({
    id: 'mine1',
    state: { ...state, stage: 'queued', message: 'The cluster is full.', position: 2 },
  })
  await page.getByText('The cluster is full. Position 2 in the queue.').waitFor()
  t.regex(String(await page.locator('[aria-current=step]').textContent()), /Finding a place/)
  t.is(await page.locator('#steps .done').count(), 1)
  hub.environments.put({ id: 'mine1', state: { ...state, stage: 'starting', message: 'Starting JupyterLab.' } })
  await page.getByText('Starting JupyterLab.').waitFor()
  t.is(await page.locator('#steps .done').count(), 3)
  hub.environments.put({ id: 'mine1', state: { is: 'ready' } })
  await page.waitForURL(`${hub.url}/user/alice/mine1/lab`)
  t.deepEqual(errors, [])
})

test.serial('what is offered follows the proposals that are ticked, and what somebody chose stays', async (t) => {
  const got = await visit(t, {}, (arranged) => {
    arranged.offers.splice(0, arranged.offers.length, ...arranged.offers.filter(({ kind }) => kind !== 'desktop'))
    arranged.lastFirstFor.proposal = '20261042'
  })
  if (!got) return
  const { hub, page, errors } = got
  const profiles = page.locator('#offers input[name=profile]')
  const chosen = () => page.locator('#offers input[name=profile]:checked').getAttribute('value')
  await page.goto(`${hub.url}/hub/launch`)
  t.is(await profiles.first().getAttribute('value'), 'notebook')
  t.is(await chosen(), 'notebook')
  const answered = () => page.waitForResponse((response) => response.url().includes('/hub/launch/offers'))
  await Promise.all([answered(), page.check('input[value="20261042"]')])
  await page.locator('#offers input[name=profile][value=terminal]:checked').waitFor()
  t.is(
    await profiles.first().getAttribute('value'),
    'terminal',
    'the one that comes first now is the one that is chosen',
  )
  await page.check('#offers input[value=notebook]')
  await page.check('#offers input[name="flavour:notebook"][value=large]')
  await Promise.all([answered(), page.uncheck('input[value="20261042"]')])
  await until('it is as before', async () => (await profiles.first().getAttribute('value')) === 'notebook')
  t.is(await chosen(), 'notebook')
  t.is(await page.locator('#offers input[name="flavour:notebook"]:checked').getAttribute('value'), 'large')
  t.deepEqual(errors, [])
})

test.serial('a start that fails says why, shows the log, and tries again with the same choices', async (t) => {
  const state = { is: 'starting', stage: 'starting', message: 'Starting.' } as const
  const choices = { profile: 'notebook', flavour: 'large', proposals: ['20261042'], title: 'Mine' }
  const got = await visit(t, {}, ({ environments }) => void environments.put({ id: 'mine1', state, choices }))
  if (!got) return
  const { hub, page, errors } = got
  await page.goto(`${hub.url}/hub/environments/mine1`)
  const at = new Date()
  const message = 'It stopped while it started.'
  hub.environments.put({ id: 'mine1', state: { is: 'ended', reason: 'failed', message, at, log: 'No module named x' } })
  await page.getByText(message).waitFor()
  await page.getByText('No module named x').waitFor()
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.waitForURL(/environments\/fake1$/)
  const made = await hub.environments.find('alice', 'fake1')
  t.deepEqual(made?.choices, choices)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.waitForURL(/\/hub\/home$/)
  t.is((await hub.environments.find('alice', 'fake1'))?.state.is, 'ended')
  t.deepEqual(errors, [])
})

test.serial('who comes to what was stopped starts it again, and is led back to the same page of it', async (t) => {
  const at = new Date()
  const state = { is: 'ended', reason: 'cancelled', message: 'You stopped it.', at, log: '' } as const
  const got = await visit(t, {}, ({ environments }) => void environments.put({ id: 'mine1', state }))
  if (!got) return
  const { hub, page } = got
  // What the proxy says where it has no route (proxy/admission/gate.ts).
  const next = encodeURIComponent('/user/alice/mine1/lab/tree/a b.ipynb?x=1'.replace(' ', '%20'))
  await page.goto(`${hub.url}/hub/open?next=${next}`)
  await page.getByRole('button', { name: 'Launch again' }).click()
  await page.waitForURL(/environments\/fake1\?next=/)
  hub.environments.put({ id: 'fake1', state: { is: 'ready' } })
  await page.waitForURL(`${hub.url}/user/alice/fake1/lab/tree/a%20b.ipynb?x=1`)
  t.pass()
})

test.serial('a route that leads back does not make a circle for ever', async (t) => {
  const got = await visit(t, {}, ({ environments }) => void environments.put({ id: 'mine1' }))
  if (!got) return
  const { hub, page } = got
  let visits = 0
  // As the proxy does while it has no route.
  await page.route(`${hub.url}/user/**`, (route) => {
    visits += 1
    const next = encodeURIComponent(new URL(route.request().url()).pathname)
    return route.fulfill({
      status: 200,
      contentType: 'text/html',
      body: `<meta http-equiv=refresh content="0;url=${hub.url}/hub/open?next=${next}">`,
    })
  })
  await page.goto(`${hub.url}/hub/open?next=/user/alice/mine1/lab`)
  await until('it gives up', () => visits === 4, { timeoutMs: 60_000 })
  await page.getByRole('link', { name: 'Open', exact: true }).waitFor()
  await page.waitForTimeout(1_500)
  t.is(visits, 4)
})

test.serial('home follows what happens, announces it, and keeps the place of the keyboard', async (t) => {
  const got = await visit(t, {}, ({ environments }) => void environments.put({ id: 'mine1', title: 'First' }))
  if (!got) return
  const { hub, page, errors } = got
  await page.goto(`${hub.url}/hub/home`)
  await until('the stream', () => hub.environments.subscribers === 1)
  await page.locator('#rename-mine1').focus()
  hub.environments.put({ id: 'mine2', title: 'Second', state: { is: 'starting', stage: 'queued', message: 'Wait.' } })
  await page.getByRole('heading', { name: 'Second' }).waitFor()
  t.is(await page.evaluate('document.activeElement.id'), 'rename-mine1')
  await page.getByRole('status').getByText('Second: Starting').waitFor({ state: 'attached' })
  hub.environments.use('mine1', { cpu: 1.5, memoryBytes: 2 ** 30 })
  await page.getByText('1 GiB', { exact: true }).waitFor()
  t.is(await page.locator('[data-environment=mine1] [data-usage=cpu]').innerText(), '1.5')

  // Nothing moves under the hands of somebody who types.
  await page.click('#rename-mine1')
  await page.locator('#title-mine1').fill('Better')
  hub.environments.put({ id: 'mine2', state: { is: 'ready' } })
  await page.waitForTimeout(500)
  t.is(await page.locator('#title-mine1').inputValue(), 'Better')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Better' }).waitFor()
  await page.getByRole('link', { name: 'Open Second' }).waitFor()
  t.deepEqual(errors, [])
})

test.serial('a logout elsewhere ends what is shown here', async (t) => {
  const opened = await browser(t)
  if (!opened) return
  const hub = await fakeHub(t, {}, { heartbeatMs: 100 })
  const { page } = await visitor(opened)
  await page.context().addCookies([{ name: 'fake-user', value: 'alice', url: hub.url }])
  await page.goto(`${hub.url}/hub/home`)
  await until('the stream', () => hub.environments.subscribers === 1)
  hub.logOut('alice')
  await page.waitForURL(/\/hub\/login\?next=%2Fhub%2Fhome/)
  t.pass()
})

test.serial('launching with the keyboard alone, and a search that keeps what is ticked', async (t) => {
  const got = await visit(t)
  if (!got) return
  const { hub, page, errors } = got
  await page.goto(`${hub.url}/hub/home`)
  await page.keyboard.press('Tab')
  t.is(await focused(page), 'Skip to the content')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  t.is(await focused(page), 'New environment')
  await page.keyboard.press('Enter')
  await page.waitForURL(/\/hub\/launch$/)
  await page.getByLabel('JupyterLab').focus()
  await page.keyboard.press('Tab')
  await page.keyboard.press('ArrowDown')
  t.true(await page.getByLabel('Large').isChecked())
  await page.getByLabel('Search my proposals').focus()
  await page.keyboard.type('kagome')
  await page.getByText('2 proposals match').first().waitFor()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Space')
  await page.getByLabel('Search my proposals').fill('lipid')
  await page
    .getByLabel(/Hydration of lipid bilayers/)
    .first()
    .waitFor()
  t.true(await page.getByLabel(/Spin waves/).isChecked(), 'what is ticked stays')
  await page.setViewportSize({ width: 390, height: 500 })
  await page.getByLabel('What shall it be called?').focus()
  const [field, bar] = await Promise.all([
    page.locator('#title').boundingBox(),
    page.locator('.launch-bar').boundingBox(),
  ])
  t.true((field?.y ?? 0) + (field?.height ?? 0) <= (bar?.y ?? 0), 'what has the focus is not behind the bar')
  await page.keyboard.type('By hand')
  await page.keyboard.press('Enter')
  await page.waitForURL(/environments\/fake1$/)
  const made = await hub.environments.find('alice', 'fake1')
  t.deepEqual(made?.choices, { profile: 'notebook', flavour: 'large', proposals: ['20261007'], title: 'By hand' })
  t.deepEqual(errors, [])
})

test.serial('a rename is undone with the keyboard alone', async (t) => {
  const got = await visit(t, {}, ({ environments }) => void environments.put({ id: 'mine1', title: 'Good' }))
  if (!got) return
  const { hub, page, errors } = got
  await page.goto(`${hub.url}/hub/home`)
  await page.locator('#rename-mine1').focus()
  await page.keyboard.press('Enter')
  await page.keyboard.press('ControlOrMeta+A')
  await page.keyboard.type('Bad <b>')
  await page.keyboard.press('Enter')
  await page.getByText('“Good” is now called “Bad <b>”.').waitFor()
  t.is(await page.evaluate('document.activeElement.id'), 'renamed', 'a reader says what happened')
  await page.keyboard.press('Tab')
  t.is(await page.evaluate('document.activeElement.id'), 'undo-rename')
  await page.keyboard.press('Enter')
  await page.getByText('“Bad <b>” is now called “Good”.').waitFor()
  t.is((await hub.environments.find('alice', 'mine1'))?.title, 'Good')
  t.deepEqual(errors, [])
})

test.serial('everything works without scripts: search, launch, rename, stop, delete, enter', async (t) => {
  const got = await visit(t, { javaScriptEnabled: false })
  if (!got) return
  const { hub, page } = got
  await page.goto(`${hub.url}/hub/launch?proposals=20261035`)
  await page.getByLabel('Terminal').check()
  await page.getByLabel('Search my proposals').fill('kagome')
  await page.getByRole('button', { name: 'Search' }).click()
  t.true(await page.getByLabel('Terminal').isChecked())
  t.true(await page.getByLabel(/Micelles under shear/).isChecked())
  await page
    .getByLabel(/Spin waves/)
    .first()
    .check()
  await page.getByRole('button', { name: 'Launch', exact: true }).click()
  await page.waitForURL(/environments\/fake1$/)
  t.deepEqual((await hub.environments.find('alice', 'fake1'))?.proposals, ['20261035', '20261007'])
  hub.environments.put({ id: 'fake1', state: { is: 'ready' } })
  await page.getByRole('link', { name: 'Open', exact: true }).waitFor()

  await page.goto(`${hub.url}/hub/home`)
  await page.getByRole('button', { name: 'Rename Terminal' }).click()
  await page.getByLabel('Title').fill('Shell')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('button', { name: 'Undo the rename' }).click()
  await page.getByText('“Shell” is now called “Terminal”.').waitFor()
  t.is((await hub.environments.find('alice', 'fake1'))?.title, 'Terminal')
  await page.getByRole('button', { name: 'Undo the rename' }).click()
  await page.getByText('“Terminal” is now called “Shell”.').waitFor()
  await page.reload()
  t.is(await page.getByRole('button', { name: 'Undo the rename' }).count(), 0, 'it is said once')
  await page.getByRole('button', { name: 'Stop Shell' }).click()
  await page.getByRole('button', { name: 'Stop it' }).click()
  await page.getByRole('button', { name: 'Delete Shell' }).click()
  await page.getByRole('button', { name: 'Delete it' }).click()
  await page.getByRole('heading', { name: 'Nothing is running' }).waitFor()
  t.is(await hub.environments.find('alice', 'fake1'), undefined)

  hub.environments.put({ id: 'mine1' })
  await page.goto(`${hub.url}/hub/enter?environment=mine1&nonce=${'n'.repeat(43)}`)
  const [request] = await Promise.all([
    page.waitForRequest(`${hub.url}/user/alice/mine1/_hutch/enter`),
    page.getByRole('button', { name: 'Open' }).click(),
  ])
  t.regex(request.postData() ?? '', /^ticket=[\w.-]+&next=%2Fuser%2Falice%2Fmine1%2Flab$/)
})

test.serial('with scripts the entry page sends itself, with the origin that the proxy asks for', async (t) => {
  const got = await visit(t, {}, ({ environments }) => void environments.put({ id: 'mine1' }))
  if (!got) return
  const { hub, page, errors } = got
  const sent = page.waitForRequest((request) => request.method() === 'POST')
  await page.goto(`${hub.url}/hub/enter?environment=mine1&nonce=${'n'.repeat(43)}`)
  const request = await sent
  t.is(request.url(), `${hub.url}/user/alice/mine1/_hutch/enter`)
  const headers = await request.allHeaders()
  t.is(headers['origin'], hub.url)
  t.notRegex(headers['referer'] ?? '', /enter|nonce/)
  t.deepEqual(errors, [])
})

async function focused(page: Page): Promise<string> {
  return String(await page.evaluate('document.activeElement.innerText')).trim()
}
