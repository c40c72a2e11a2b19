/** What the proxy says itself: pages for people, which stand without the hub, and problems for programs. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'ava'
import type { AxeResults } from 'axe-core'
import { browser, visitor } from '../support/browser.ts'
import { ask, route, startProxy, upstream } from '../support/proxy.ts'

const navigation = { accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'none' }

test('each problem is a page for people, light and dark, wide and narrow; JSON or text for programs', async (t) => {
  t.timeout(180_000)
  const garbage = createServer((socket) => {
    socket.on('error', () => {})
    socket.end('nonsense\r\n\r\n')
  })
  garbage.listen(0, '127.0.0.1')
  await once(garbage, 'listening')
  t.teardown(() => garbage.close())
  const { port } = garbage.address() as { port: number }
  const gone = route('e1', { kind: 'http', url: 'http://127.0.0.1:1' })
  const odd = route('e2', { kind: 'http', url: `http://127.0.0.1:${port}` })
  const silent = await upstream(t, () => {})
  const slow = route('e3', silent.target)
  const bob = route('e4', silent.target, { prefix: '/user/bob/e4/', owner: { id: 'u-bob', name: 'bob' } })
  const options = { limits: { responseHeadMs: 1_000 } }
  const proxy = await startProxy(t, options, { routes: [gone, odd, slow, bob] })
  const notHers = proxy.entry(bob, { user: { id: 'u-alice', name: 'alice' } })
  const rows: [name: string, status: number, title: RegExp, path: string, cookie: string, link: string | undefined][] =
    [
      ['unreachable', 503, /does not answer/, `${gone.prefix}lab?a=1`, proxy.entry(gone), '/hub/open?next='],
      ['garbled', 502, /makes no sense/, `${odd.prefix}lab`, proxy.entry(odd), `${odd.prefix}lab`],
      ['slow', 504, /took too long/, `${slow.prefix}lab`, proxy.entry(slow), `${slow.prefix}lab`],
      ['not yours', 403, /is not open to you/, `${bob.prefix}lab`, notHers, '/hub/home'],
      ['nothing', 404, /nothing here/, '/nothing', '', '/hub/home'],
      ['two ways', 400, /not understood/, `${gone.prefix}a%00b`, proxy.entry(gone), undefined],
    ]
  await proxy.hub.close()
  rows.push([
    'the hub is away',
    503,
    /hub does not answer/,
    '/hub/open?next=%2Fuser%2Falice%2Fe9%2Flab',
    '',
    '/hub/open',
  ])

  for (const [name, status, title, path, cookie] of rows) {
    const program = await ask(proxy.url + path, { headers: { cookie, accept: 'application/json' } })
    t.is(program.status, status, name)
    t.is(program.headers['content-type'], 'application/problem+json', name)
    const problem = JSON.parse(program.body) as { title: string; detail: string; status: number }
    t.regex(problem.title, title, name)
    t.is(problem.status, status)
    const plain = await ask(proxy.url + path, { headers: { cookie, accept: 'text/plain' } })
    t.is(plain.body, `${problem.title}. ${problem.detail}\n`, name)
    const page = await ask(proxy.url + path, { headers: { cookie, ...navigation } })
    t.is(page.status, status, name)
    t.regex(page.body, title, name)
    t.is(page.headers['cache-control'], 'no-store')
    t.is(page.headers['retry-after'], status === 503 ? '5' : undefined, name)
  }
  const opened = await browser(t)
  if (opened === undefined) return
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const folder = process.env['HUTCH_SCREENSHOTS']
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page } = await visitor(opened, { colorScheme, bypassCSP: true })
    for (const [name, , title, path, cookie, link] of rows) {
      const value = cookie.slice('hutch-entry='.length)
      const prefix = path.split('/').slice(0, 4).join('/')
      await page.context().clearCookies()
      if (value !== '')
        await page.context().addCookies([{ name: 'hutch-entry', value, domain: '127.0.0.1', path: prefix }])
      for (const width of [320, 1280]) {
        await page.setViewportSize({ width, height: 640 })
        await page.goto(proxy.url + path, { waitUntil: 'load' })
        t.regex(await page.title(), title, name)
        t.true(Number(await page.evaluate('document.documentElement.scrollWidth')) <= width, `${name} at ${width}`)
        if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}-${colorScheme}-${width}.png`) })
      }
      const href =
        (await page.getByRole('link').count()) === 0 ? undefined : await page.getByRole('link').getAttribute('href')
      t.is(
        href?.replace(proxy.url, '').startsWith(link ?? '') ?? undefined,
        link === undefined ? undefined : true,
        name,
      )
      await page.evaluate(axe)
      const { violations } = await page.evaluate<AxeResults>(`axe.run(document, { resultTypes: ['violations'] })`)
      t.deepEqual(
        violations.map(({ id, help }) => `${id}: ${help}`),
        [],
        name,
      )
    }
    await page.context().close()
  }
})
