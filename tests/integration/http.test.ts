/** What the hub's HTTP surface does when all is well, and when what stands behind it is not. Services are fakes. */
import test from 'ava'
import { Problem } from '../../hub/domain/problem.ts'
import { nonceHash, verifyTicket } from '../../proxy/ticket.ts'
import { type Answer, ask } from '../support/ask.ts'
import { fakeHub } from '../support/fakeHub.ts'

const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
const json = { 'Content-Type': 'application/json' }
const page = { Accept: 'text/html' }
const nonce = 'n'.repeat(43)

test('a launch by form leads to its page, with everything that was chosen', async (t) => {
  const hub = await fakeHub(t)
  const body = new URLSearchParams([
    ['profile', 'notebook'],
    ['flavour:notebook', 'large'],
    ['flavour:terminal', 'small'],
    ['spawner:notebook', 'cluster'],
    ['proposals', '20261042'],
    ['proposals', '20261035'],
    ['title', ' Erste Läufe 😀 '],
    ['search', 'not a part of it'],
  ]).toString()
  const answer = await ask(hub, { as: 'alice', method: 'POST', path: '/hub/launch', headers: form, body })
  t.is(answer.status, 303, answer.text)
  t.is(answer.headers.location, '/hub/environments/fake1')
  const [made] = await hub.environments.list('u-alice', { endedSince: new Date(0), limit: 9 })
  t.deepEqual(made?.choices, {
    profile: 'notebook',
    flavour: 'large',
    spawner: 'cluster',
    proposals: ['20261042', '20261035'],
    title: 'Erste Läufe 😀',
  })
  const again = await ask(hub, { as: 'alice', method: 'POST', path: '/hub/environments/fake1/again', headers: form })
  t.is(again.headers.location, '/hub/environments/fake2')
  t.deepEqual(
    (await hub.environments.list('u-alice', { endedSince: new Date(0), limit: 9 }))[0]?.choices,
    made?.choices,
  )
})

test('a launch that is refused comes back as the form with the reason and the choices', async (t) => {
  const hub = await fakeHub(t)
  hub.failing.launch = new Problem('overQuota', 'Stop <one> first.', { retryAfter: 30 })
  const body = 'profile=terminal&flavour%3Aterminal=small&title=Kept&proposals=20261042&open=a%2Fb.ipynb'
  const answer = await ask(hub, { as: 'alice', method: 'POST', path: '/hub/launch', headers: form, body })
  t.is(answer.status, 409)
  t.is(answer.headers['retry-after'], '30')
  t.regex(answer.text, /role="alert"[^]*This is over your limit[^]*Stop &lt;one&gt; first/)
  t.regex(answer.text, /value="terminal" required checked/)
  t.regex(answer.text, /value="20261042" checked/)
  t.regex(answer.text, /value="Kept"/)
  t.regex(answer.text, /name="open" value="a\/b.ipynb"/)
})

test('the API: launch, look, rename, stop, forget', async (t) => {
  const hub = await fakeHub(t)
  const call = (method: string, path: string, body?: object): Promise<Answer> =>
    ask(hub, {
      as: 'alice',
      method,
      path: `/hub/api/v1${path}`,
      ...(body ? { headers: json, body: JSON.stringify(body) } : {}),
    })
  const made = await call('POST', '/environments', { profile: 'notebook', flavour: 'small', proposals: [] })
  t.is(made.status, 201, made.text)
  t.is(made.headers.location, '/hub/api/v1/environments/fake1')
  t.like(JSON.parse(made.text), { id: 'fake1', state: 'starting', step: 0, url: `${hub.url}/user/alice/fake1/lab` })
  t.like(JSON.parse((await call('PATCH', '/environments/fake1', { title: 'New' })).text), { title: 'New' })
  t.is((await call('POST', '/environments/fake1/stop')).status, 202)
  t.like(JSON.parse((await call('GET', '/environments/fake1')).text), { state: 'ended', reason: 'cancelled' })
  t.like(JSON.parse((await call('GET', '/environments')).text), { items: [{ id: 'fake1' }] })
  t.is((await call('DELETE', '/environments/fake1')).status, 204)
  t.is((await call('GET', '/environments/fake1')).status, 404)
  t.is((await call('HEAD', '/environments')).text, '')
  t.like(JSON.parse((await call('GET', '/offers')).text), { items: [{ profile: 'notebook' }] })
  t.like(JSON.parse((await call('GET', '/proposals?search=loq&limit=1&offset=1')).text), {
    total: 3,
    limit: 1,
    offset: 1,
  })
})

test('a token does what its scopes name', async (t) => {
  const hub = await fakeHub(t)
  hub.tokens.set('reader', { user: 'alice', scopes: ['read:servers'] })
  hub.tokens.set('meter', { user: 'alice', scopes: ['read:metrics'] })
  const by = async (token: string, method: string, path: string): Promise<number> =>
    (await ask(hub, { method, path, headers: { Authorization: `Bearer ${token}` } })).status
  hub.environments.put({ id: 'mine1' })
  t.is(await by('reader', 'GET', '/hub/api/v1/environments'), 200)
  t.is(await by('reader', 'POST', '/hub/api/v1/environments/mine1/stop'), 403)
  t.is(await by('reader', 'POST', '/hub/environments/mine1/stop'), 403)
  t.is(await by('reader', 'POST', '/hub/environments/mine1/again'), 403)
  t.is(await by('reader', 'GET', '/hub/metrics'), 403)
  t.is(await by('meter', 'GET', '/hub/metrics'), 200)
  t.is(await by('meter', 'GET', '/hub/api/v1/environments'), 403)
  t.is(await by('meter', 'GET', '/hub/home'), 403)
  t.is(await by('meter', 'GET', '/hub/environments/mine1'), 403)
  t.is(await by('reader', 'GET', `/hub/enter?environment=mine1&nonce=${nonce}`), 403)
  t.is(await by('reader', 'GET', '/hub/sessions'), 403)
})

test('a login is ended by its owner, by its id', async (t) => {
  const hub = await fakeHub(t)
  const end = (login: string, as = 'alice'): Promise<Answer> =>
    ask(hub, { as, method: 'POST', path: `/hub/sessions/${login}/end`, headers: form })
  t.is((await end('unknown')).status, 404)
  t.is((await end('other-alice', 'bob')).status, 404)
  t.deepEqual(hub.revoked, [])
  const answer = await end('other-alice')
  t.is(answer.headers.location, '/hub/sessions')
  t.deepEqual(hub.revoked, ['other-alice'])
})

test('the entry page posts a ticket that only this browser can use, to the environment alone', async (t) => {
  for (const hosts of [undefined, '{user}.envs.localhost']) {
    const hub = await fakeHub(t, hosts ? { environments: { hosts } } : {})
    hub.environments.put({ id: 'mine1' })
    const origin = hosts ? hub.url.replace('127.0.0.1', 'alice.envs.localhost') : hub.url
    const next = encodeURIComponent('/user/alice/mine1/lab/tree/a.ipynb?x=1')
    const path = `/hub/enter?environment=mine1&nonce=${nonceHash('secret')}&next=${next}`
    const answer = await ask(hub, { as: 'alice', path })
    t.is(answer.status, 200, answer.text)
    const target = `${origin}/user/alice/mine1/_hutch/enter`
    t.true(answer.text.includes(`action="${target}"`))
    t.true(answer.text.includes('name="next" value="/user/alice/mine1/lab/tree/a.ipynb?x=1"'))
    t.true(String(answer.headers['content-security-policy']).includes(`form-action ${hub.url}/hub/ ${target};`))
    t.is(answer.headers['cache-control'], 'no-store')
    t.is(answer.headers['referrer-policy'], 'strict-origin')
    const ticket = /name="ticket" value="([^"]+)"/.exec(answer.text)?.[1] ?? ''
    t.like(verifyTicket(hub.admissionKey, ticket, Date.now()), {
      environment: 'mine1',
      login: 'cookie-alice',
      role: 'owner',
      nonceHash: nonceHash('secret'),
    })
    const outside = await ask(hub, { as: 'alice', path: path.replace(next, '/user/bob/other1/') })
    t.true(outside.text.includes('name="next" value="/user/alice/mine1/lab"'), 'a next outside counts for nothing')
  }
})

test('when things fail: a sentence and the request, never a stack trace', async (t) => {
  const hub = await fakeHub(t)
  hub.failing.store = new Error('connect ECONNREFUSED 10.0.0.7:5432')
  const failed = await ask(hub, { as: 'alice', path: '/hub/home', headers: page })
  t.is(failed.status, 500)
  t.notRegex(failed.text, /ECONNREFUSED|10\.0\.0\.7|\.ts:/)
  t.true(failed.text.includes(String(failed.headers['x-request-id'])))
  t.true(hub.lines.some(({ level, fields }) => level === 'error' && fields['err'] === hub.failing.store))
  t.is((await ask(hub, { path: '/hub/health' })).status, 503)
  delete hub.failing.store
  t.is((await ask(hub, { path: '/hub/health' })).status, 200)
  hub.failing.catalogue = new Problem('backendUnreachable', 'The user office does not answer.')
  const home = await ask(hub, { as: 'alice', path: '/hub/home', headers: page })
  t.is(home.status, 200, 'a catalogue that is away takes nothing else along')
  t.regex(home.text, /The user office does not answer/)
  t.is((await ask(hub, { as: 'alice', path: '/hub/launch', headers: page })).status, 200)
  t.is((await ask(hub, { as: 'alice', path: '/hub/api/v1/proposals' })).status, 503)
})

test('one log line for each request, with who and what, without the query', async (t) => {
  const hub = await fakeHub(t)
  hub.environments.put({ id: 'mine1' })
  await ask(hub, { as: 'alice', path: '/hub/environments/mine1?next=/secret' })
  t.is(hub.lines.length, 1)
  t.like(hub.lines[0], {
    level: 'info',
    fields: { method: 'GET', path: '/hub/environments/mine1', status: 200, user: 'alice', environment: 'mine1' },
  })
  t.notRegex(JSON.stringify(hub.lines), /secret/)
})

test('assets are cached by their hash and not sent twice', async (t) => {
  const hub = await fakeHub(t)
  const { text } = await ask(hub, { path: '/hub/login' })
  const path = /href="(\/hub\/assets\/hutch\.css[^"]*)"/.exec(text)?.[1] ?? ''
  const first = await ask(hub, { path })
  t.regex(String(first.headers['cache-control']), /immutable/)
  t.regex(String(first.headers['content-type']), /text\/css/)
  const headers = { 'If-None-Match': String(first.headers.etag) }
  t.is((await ask(hub, { path, headers })).status, 304)
  t.is((await ask(hub, { path: '/hub/assets/home.js' })).headers['cache-control'], 'no-cache')
})

test('a query string of 100 kB never arrives', async (t) => {
  const hub = await fakeHub(t)
  // Node answers 431 and closes; whoever is still sending may see the end of the connection alone.
  const status = await ask(hub, { as: 'alice', path: `/hub/home?search=${'x'.repeat(100_000)}` }).then(
    (answer) => answer.status,
    () => 431,
  )
  t.is(status, 431)
  t.deepEqual(hub.lines, [])
})

test('the address that counts is the browser’s, as our proxy says, and not that of a proxy in front', async (t) => {
  const hub = await fakeHub(t)
  const headers = {
    Origin: 'https://evil.example.org',
    'X-Forwarded-For': '6.6.6.6, 192.0.2.7, 10.0.0.1',
    'X-Real-IP': '192.0.2.7',
  }
  t.is((await ask(hub, { as: 'alice', method: 'POST', path: '/hub/launch', headers, body: '' })).status, 403)
  t.like(hub.audit.entries[0], { did: 'request.refused', from: '192.0.2.7' })
})

test('keeping somebody out: by administrators alone, with a reason, and never oneself', async (t) => {
  const hub = await fakeHub(t)
  hub.tokens.set('admin', { user: 'ada', scopes: ['admin:users'] })
  hub.tokens.set('reader', { user: 'ada', scopes: ['read:users', 'list:users'] })
  const ask = async (as: string, path: string, body: object = {}): Promise<number> => {
    const headers = { authorization: `Bearer ${as}`, 'content-type': 'application/json' }
    return (await fetch(hub.url + path, { method: 'POST', headers, body: JSON.stringify(body) })).status
  }
  const out = '/hub/api/v1/users/bob/block'
  t.is(await ask('reader', out, { reason: 'x' }), 403)
  for (const body of [{}, { reason: ' ' }, { reason: 'x'.repeat(501) }, { reason: 'a\nb' }]) {
    t.is(await ask('admin', out, body), 400)
  }
  t.is(await ask('admin', out, { reason: ' The proposal ended ' }), 204)
  t.is(await ask('admin', '/hub/api/v1/users/ada/block', { reason: 'x' }), 409)
  t.is(await ask('admin', '/hub/api/v1/users/bob/unblock'), 204)
  t.deepEqual(hub.blocked, [
    ['bob', 'The proposal ended'],
    ['bob', null],
  ])
  const page = async (as: string, path: string, form?: Record<string, string>): Promise<Response> =>
    await fetch(hub.url + path, {
      redirect: 'manual',
      headers: { cookie: `fake-user=${as}` },
      ...(form && { method: 'POST', body: new URLSearchParams(form) }),
    })
  t.is((await page('alice', '/hub/admin/people')).status, 403)
  t.is((await page('alice', '/hub/admin/people/bob/block', { reason: 'x' })).status, 403)
  const again = await page('ada', '/hub/admin/people/alice/block', { reason: '' })
  t.is(again.status, 400)
  t.regex(await again.text(), /must say why/)
  t.is((await page('ada', '/hub/admin/people/alice/block', { reason: 'y' })).status, 303)
  t.deepEqual(hub.blocked.at(-1), ['alice', 'y'])
  t.regex(await (await page('ada', '/hub/admin/people?search=bob')).text(), /Kept out: “Your proposal ended in May”/)
})
