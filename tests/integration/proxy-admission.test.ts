/** From the first click to an open environment, and everything that must not open one. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, raw, route, startProxy, upstream, type Reply, type RunningProxy } from '../support/proxy.ts'
import type { Route } from '../../proxy/feed.ts'
import { nonceHash } from '../../proxy/ticket.ts'
import { agentKey, pskServer } from '../../images/agent/link.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const navigation = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'none' }

function cookieOf(reply: Reply, name: string): string | undefined {
  const line = reply.headers['set-cookie']?.find((cookie) => cookie.startsWith(`${name}=`))
  return line?.slice(name.length + 1).split(';', 1)[0]
}

async function withEcho(t: ExecutionContext): Promise<{ proxy: RunningProxy; alice: Route; bob: Route }> {
  const echo = await upstream(t, (request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ url: request.url, headers: request.headers }))
  })
  const sockets = new WebSocketServer({ server: echo.server })
  sockets.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  )
  const alice = route('e1', echo.target)
  const bob = route('e2', echo.target, { prefix: '/user/bob/e2/', owner: { id: 'u-bob', name: 'bob' } })
  return { proxy: await startProxy(t, {}, { routes: [alice, bob] }), alice, bob }
}

async function enter(
  proxy: RunningProxy,
  { prefix }: Route,
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Reply> {
  return await ask(`${proxy.url}${prefix}_hutch/enter`, {
    method: 'POST',
    headers: { origin: proxy.url, 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(fields).toString(),
  })
}

test('a navigation asks the hub for a ticket, which opens the environment once', async (t) => {
  const { proxy, alice } = await withEcho(t)
  const asked = await ask(`${proxy.url}${alice.prefix}lab?a=1`, { headers: navigation })
  t.is(asked.status, 302)
  const location = new URL(asked.headers.location ?? '')
  t.is(location.origin + location.pathname, `${proxy.url}/hub/enter`)
  t.is(location.searchParams.get('environment'), 'e1')
  t.is(location.searchParams.get('next'), `${alice.prefix}lab?a=1`)
  const nonce = cookieOf(asked, 'hutch-nonce') ?? ''
  t.is(location.searchParams.get('nonce'), nonceHash(nonce))
  t.regex(asked.headers['set-cookie']?.[0] ?? '', /Path=\/user\/alice\/e1\/; HttpOnly; SameSite=Lax$/)

  const ticket = proxy.ticket(alice, nonce)
  const next = `${alice.prefix}lab?a=1`
  const entered = await enter(proxy, alice, { ticket, next }, { cookie: `hutch-nonce=${nonce}` })
  t.is(entered.status, 303)
  t.is(entered.headers.location, next)
  t.is(cookieOf(entered, 'hutch-nonce'), '')
  const entry = cookieOf(entered, 'hutch-entry') ?? ''

  const cookie = `other=1; hutch-entry=${entry}; __Host-hutch-login=secret; hutch-session=x`
  const inside = await ask(`${proxy.url}${next}`, {
    headers: { cookie, authorization: 'Bearer x', 'x-forwarded-for': '1.2.3.4', 'x-real-ip': '1.2.3.4' },
  })
  t.is(inside.status, 200)
  const seen = JSON.parse(inside.body) as { url: string; headers: Record<string, string> }
  t.is(seen.url, next)
  t.is(seen.headers['cookie'], 'other=1')
  t.is(seen.headers['x-forwarded-for'], '127.0.0.1')
  t.is(seen.headers['x-real-ip'], '127.0.0.1')
  t.is(seen.headers['x-hutch-user'], 'alice')
  t.truthy(seen.headers['x-request-id'])

  const again = await enter(proxy, alice, { ticket, next }, { cookie: `hutch-nonce=${nonce}` })
  t.is(again.status, 403, 'a ticket is used once')
})

test('tickets that do not fit open nothing', async (t) => {
  const { proxy, alice, bob } = await withEcho(t)
  const nonce = 'n'.repeat(43)
  const cookie = `hutch-nonce=${nonce}`
  const good = proxy.ticket(alice, nonce)
  const rows: [name: string, ticket: string, headers: Record<string, string>][] = [
    ['forged', `${good.slice(0, -4)}AAAA`, { cookie }],
    ['empty', '', { cookie }],
    ['expired', proxy.ticket(alice, nonce, { expiresAt: Date.now() - 1 }), { cookie }],
    ['of another environment', proxy.ticket(bob, nonce), { cookie }],
    ['of another owner', proxy.ticket(alice, nonce, { user: { id: 'u-bob', name: 'bob' } }), { cookie }],
    ['for a guest on a single origin', proxy.ticket(alice, nonce, { role: 'guest', share: 's' }), { cookie }],
    ['for an administrator on a single origin', proxy.ticket(alice, nonce, { role: 'administrator' }), { cookie }],
    ['without the nonce', good, {}],
    ['with another nonce', good, { cookie: `hutch-nonce=${'m'.repeat(43)}` }],
    ['from another origin', good, { cookie, origin: 'http://evil.example' }],
    ['from a page without origin', good, { cookie, origin: 'null' }],
    ['an entry as a ticket', proxy.entry(alice).slice('hutch-entry='.length), { cookie }],
  ]
  for (const [name, ticket, headers] of rows) {
    const reply = await enter(proxy, alice, { ticket, next: alice.prefix }, headers)
    t.is(reply.status, 403, name)
    t.is(cookieOf(reply, 'hutch-entry'), undefined, name)
  }
  const reply = await enter(proxy, alice, { ticket: good, next: 'https://evil.example/' }, { cookie })
  t.is(reply.headers.location, alice.prefix, 'next leads nowhere else')
  const long = await enter(proxy, alice, { ticket: 'x'.repeat(20_000), next: '' }, { cookie })
  t.is(long.status, 413)
})

test('what has no valid entry is refused, each with its status', async (t) => {
  const { proxy, alice, bob } = await withEcho(t)
  const cookie = proxy.entry(alice)
  const otherClaims = [proxy.entry(alice, { login: 'l-2' }).split('.')[0], cookie.split('.')[1]].join('.')
  const at = `${proxy.url}${alice.prefix}api`
  const rows: [name: string, status: number, url: string, options: Parameters<typeof ask>[1]][] = [
    ['a good one', 200, at, { headers: { cookie } }],
    ['a good one as a bearer token', 200, at, { headers: { authorization: `Bearer ${cookie.slice(12)}` } }],
    ['no cookie', 401, at, {}],
    ['a cookie of another environment', 401, `${proxy.url}${bob.prefix}api`, { headers: { cookie } }],
    ['a forged cookie', 401, at, { headers: { cookie: `${cookie.slice(0, -4)}AAAA` } }],
    ['other claims under the signature of one that was used', 401, at, { headers: { cookie: otherClaims } }],
    ['the end of one that was used', 401, at, { headers: { cookie: `hutch-entry=${cookie.slice(-16)}` } }],
    ['an expired cookie', 401, at, { headers: { cookie: proxy.entry(alice, { expiresAt: Date.now() - 1 }) } }],
    ['a tossed cookie before the good one', 200, at, { headers: { cookie: `hutch-entry=x; ${cookie}` } }],
    ['not the owner', 403, at, { headers: { cookie: proxy.entry(alice, { user: { id: 'u', name: 'u' } }) } }],
    ['POST of a foreign origin', 403, at, { method: 'POST', headers: { cookie, origin: 'http://evil.example' } }],
    ['POST of a sibling', 403, at, { method: 'POST', headers: { cookie, 'sec-fetch-site': 'same-site' } }],
    [
      'POST of its own page',
      200,
      at,
      { method: 'POST', headers: { cookie, origin: proxy.url, 'sec-fetch-site': 'same-origin' } },
    ],
    [
      'a script tag on a foreign page',
      403,
      at,
      { headers: { cookie, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' } },
    ],
    [
      'a link on a foreign page',
      200,
      at,
      { headers: { cookie, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' } },
    ],
    [
      'POST to the hub from elsewhere',
      403,
      `${proxy.url}/hub/x`,
      { method: 'POST', headers: { origin: 'http://evil.example' } },
    ],
    ['no such environment', 404, `${proxy.url}/user/alice/e9/`, {}],
    ['no such environment, a person', 302, `${proxy.url}/user/alice/e9/`, { headers: navigation }],
    ['nothing', 404, `${proxy.url}/nothing`, { headers: navigation }],
    ['another host', 421, `${proxy.url}/hub/home`, { headers: { host: 'evil.example' } }],
    ["the agent's own page", 200, `${proxy.url}${alice.prefix}_hutch/terminal/`, { headers: { cookie } }],
    ["the agent's own page, unentered", 401, `${proxy.url}${alice.prefix}_hutch/terminal/`, {}],
  ]
  for (const [name, status, url, options] of rows) t.is((await ask(url, options)).status, status, name)
  const dots = `GET ${alice.prefix}%2e%2e/x HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`
  t.regex(await raw(proxy.port, dots), /^HTTP\/1.1 400 /)
  const start = await ask(`${proxy.url}/user/alice/e9/lab?x=1`, { headers: navigation })
  t.is(start.headers.location, `${proxy.url}/hub/open?next=${encodeURIComponent('/user/alice/e9/lab?x=1')}`)
  t.is((await ask(`${proxy.url}/`)).headers.location, `${proxy.url}/hub/home`)
})

test('the hub gets its own cookies, and not the entries', async (t) => {
  const { proxy, alice } = await withEcho(t)
  await ask(`${proxy.url}/hub/home`, { headers: { cookie: `hutch-login=a; ${proxy.entry(alice)}; hutch-nonce=b` } })
  const seen = proxy.hub.seen.at(-1)
  t.is(seen?.headers.cookie, 'hutch-login=a')
  t.is(seen?.headers['x-forwarded-host'], `127.0.0.1:${proxy.port}`)
})

test('a revocation closes open WebSockets and downloads within a second, and outlives the proxy', async (t) => {
  const { proxy, alice } = await withEcho(t)
  const endless = await upstream(t, (_request, response) => {
    response.write('x')
  })
  const downloads = route('e3', endless.target)
  await proxy.hub.put(downloads)
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${alice.prefix}ws`, {
    headers: { cookie: proxy.entry(alice) },
  })
  const got: string[] = []
  socket.on('message', (data: Buffer) => got.push(data.toString()))
  await new Promise((resolve) => socket.once('open', resolve))
  socket.send('hello')
  await until('the echo', () => got[0] === 'hello')
  let code = 0
  socket.on('close', (closed) => (code = closed))
  let downloadEnded = false
  const download = ask(`${proxy.url}${downloads.prefix}`, { headers: { cookie: proxy.entry(downloads) } }).catch(() => {
    downloadEnded = true
  })
  await sleep(300)
  const old = proxy.entry(alice)
  const at = Date.now()
  await proxy.hub.revoke({ kind: 'login', subject: 'l-1', at, until: at + 3_600_000 })
  await until('both are closed', () => code !== 0 && downloadEnded, { timeoutMs: 1_000 })
  await download
  t.is(code, 1008)
  t.is((await ask(`${proxy.url}${alice.prefix}`, { headers: { cookie: old } })).status, 401)
  await sleep(5)
  t.is(
    (await ask(`${proxy.url}${alice.prefix}`, { headers: { cookie: proxy.entry(alice) } })).status,
    200,
    'a newer one counts',
  )

  await proxy.hub.close()
  await proxy.kill()
  await proxy.start()
  t.is((await ask(`${proxy.url}${alice.prefix}`, { headers: { cookie: old } })).status, 401, 'still revoked')
  t.is(
    (await ask(`${proxy.url}${alice.prefix}`, { headers: { cookie: proxy.entry(alice) } })).status,
    200,
    'routes are kept',
  )
  const away = await ask(`${proxy.url}/hub/home`, { headers: navigation })
  t.is(away.status, 503)
  t.regex(away.body, /The hub does not answer/)
})

test('with a host name for each user, an environment answers only there and guests may enter', async (t) => {
  const echo = await upstream(t, (request, response) => response.end(JSON.stringify(request.headers)))
  const alice = route('e1', echo.target, { host: 'alice.localhost' })
  const proxy = await startProxy(t, { hosts: '{user}.localhost' }, { routes: [alice] })
  const host = `alice.localhost:${proxy.port}`
  const cookie = proxy.entry(alice, { role: 'guest', user: { id: 'u-carol', name: 'carol' }, share: 's1' })
  const at = `${proxy.url}${alice.prefix}`
  const rows: [name: string, status: number, url: string, headers: Record<string, string>][] = [
    ['a guest', 200, at, { host, cookie }],
    ['on the hub', 404, at, { cookie }],
    ['on a neighbour', 404, at, { host: `bob.localhost:${proxy.port}`, cookie }],
    ['on an unknown host', 421, at, { host: 'localhost', cookie }],
    ['the hub on this host', 404, `${proxy.url}/hub/home`, { host }],
    ['the start of this host', 302, `${proxy.url}/`, { host }],
    ['a person without entry', 302, at, { host, ...navigation }],
  ]
  for (const [name, status, url, headers] of rows) t.is((await ask(url, { headers })).status, status, name)

  const asked = await ask(at, { headers: { host, ...navigation } })
  const nonce = cookieOf(asked, 'hutch-nonce') ?? ''
  const ticket = proxy.ticket(alice, nonce)
  const entered = await enter(proxy, alice, { ticket, next: '' }, { host, cookie: `hutch-nonce=${nonce}` })
  t.is(entered.status, 303)
  const second = await enter(
    proxy,
    alice,
    { ticket: proxy.ticket(alice, nonce), next: '' },
    {
      host,
      cookie: `hutch-entry=${cookieOf(entered, 'hutch-entry')}`,
    },
  )
  t.is(second.status, 303, 'the second tab finds the door open')
})

test('upgrades are admitted like requests', async (t) => {
  const { proxy, alice } = await withEcho(t)
  const cookie = proxy.entry(alice)
  const attempt = (headers: string): Promise<string> =>
    raw(
      proxy.port,
      `GET ${alice.prefix}ws HTTP/1.1\r\nHost: 127.0.0.1:${proxy.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`,
      { enough: (text) => text.includes('\r\n\r\n') },
    )
  t.regex(await attempt(`Cookie: ${cookie}\r\n`), /^HTTP\/1.1 101 /)
  t.regex(await attempt(`Cookie: ${cookie}\r\nOrigin: ${proxy.url}\r\n`), /^HTTP\/1.1 101 /)
  t.regex(await attempt(''), /^HTTP\/1.1 401 /)
  t.regex(await attempt(`Cookie: ${cookie}\r\nOrigin: http://evil.example\r\n`), /^HTTP\/1.1 403 /)
  t.regex(await attempt(`Cookie: ${cookie}\r\nOrigin: null\r\n`), /^HTTP\/1.1 403 /)
})

test('a viewer reads and listens where the route says, changes nothing, and leaves when the share ends', async (t) => {
  const echo = await upstream(t, (request, response) => response.end(JSON.stringify(request.headers)))
  const sockets = new WebSocketServer({ server: echo.server })
  const heard: string[] = []
  sockets.on('connection', (socket, request) => {
    socket.on('message', (data: Buffer) => {
      heard.push(data.toString())
      socket.send(`echo ${String(request.headers['x-hutch-role'])}`)
    })
    socket.send('hello')
  })
  const viewers = { read: ['lab', 'api/'], listen: ['api/kernels/'], speak: ['desktop/'] }
  const open = route('e1', echo.target, { host: 'alice.localhost', viewers })
  const closed = route('e2', echo.target, { host: 'alice.localhost' })
  const proxy = await startProxy(t, { hosts: '{user}.localhost' }, { routes: [open, closed] })
  const host = `alice.localhost:${proxy.port}`
  const carol = { role: 'viewer' as const, user: { id: 'u-carol', name: 'carol' }, share: 's1', login: 'l-carol' }
  const cookie = proxy.entry(open, carol)
  const forged = { 'x-hutch-role': 'owner', x_hutch_role: 'owner', 'x-http-method-override': 'DELETE' }
  const rows: [name: string, status: number, path: string, method?: string, headers?: Record<string, string>][] = [
    ['reads', 200, 'lab'],
    ['asks for a head', 200, 'api/status', 'HEAD'],
    ['posts', 403, 'api/contents', 'POST'],
    ['deletes', 403, 'api/contents/a', 'DELETE'],
    ['patches', 403, 'api/contents/a', 'PATCH'],
    ['asks with OPTIONS', 403, 'lab', 'OPTIONS'],
    ['looks elsewhere', 403, 'terminals/1'],
    ['opens the terminal', 403, '_hutch/terminal/'],
  ]
  for (const [name, status, path, method = 'GET'] of rows) {
    const reply = await ask(`${proxy.url}${open.prefix}${path}`, { method, headers: { host, cookie, ...forged } })
    t.is(reply.status, status, name)
    if (status === 200 && method === 'GET') {
      const seen = JSON.parse(reply.body) as Record<string, string>
      t.is(seen['x-hutch-role'], 'viewer')
      t.is(seen['x_hutch_role'], undefined)
      t.is(seen['x-http-method-override'], undefined)
      t.is(seen['x-hutch-user'], 'carol')
    }
  }
  const elsewhere = proxy.entry(closed, carol)
  t.is((await ask(`${proxy.url}${closed.prefix}lab`, { headers: { host, cookie: elsewhere } })).status, 403)

  const socketAt = async (path: string): Promise<{ socket: WebSocket; got: string[]; code: () => number }> => {
    const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${open.prefix}${path}`, { headers: { host, cookie } })
    const got: string[] = []
    let code = 0
    socket.on('message', (data: Buffer) => got.push(data.toString()))
    socket.on('close', (ended) => (code ||= ended))
    socket.on('error', () => (code ||= 403))
    await until('it opens or not', () => got.length > 0 || code !== 0)
    return { socket, got, code: () => code }
  }
  t.is((await socketAt('terminals/websocket/1')).code(), 403)
  const listening = await socketAt('api/kernels/1/channels')
  listening.socket.send('run this')
  const pong = new Promise((resolve) => listening.socket.once('pong', resolve))
  listening.socket.ping()
  await pong
  const speaking = await socketAt('desktop/websockify')
  speaking.socket.send('move')
  await until('who may speak is heard', () => speaking.got.at(-1) === 'echo viewer')
  t.deepEqual(heard, ['move'])
  t.deepEqual(listening.got, ['hello'])
  const at = Date.now()
  await proxy.hub.revoke({ kind: 'share', subject: 's1', at, until: at + 60_000 })
  await until('both are closed', () => listening.code() === 1008 && speaking.code() === 1008, { timeoutMs: 1_000 })
})

test('tokens go on only to images made for JupyterHub, and never the one that let somebody in', async (t) => {
  const answer = (request: IncomingMessage, response: ServerResponse): void =>
    void response.end(request.headers.authorization ?? 'none')
  const plain = await upstream(t, answer)
  const folder = await temporaryFolder(t)
  const socket = createServer(answer).listen(join(folder, 'app.sock'))
  t.teardown(() => socket.close())
  const secret = createTlsServer(
    pskServer(() => agentKey(proxy.agentsKey, 'e3')),
    (accepted) => plain.server.emit('connection', accepted),
  ).listen(0, '127.0.0.1')
  t.teardown(() => secret.close())
  for (const server of [socket, secret]) if (!server.listening) await once(server, 'listening')
  const proxy: RunningProxy = await startProxy(t)
  const { port } = secret.address() as { port: number }
  const rows: [name: string, to: Route, passed: string][] = [
    ['without an agent', route('e1', plain.target), 'token of-a-program'],
    ['on a socket', route('e2', { kind: 'unix', path: join(folder, 'app.sock') }), 'none'],
    ['with an agent', route('e3', { kind: 'psk', host: '127.0.0.1', port, identity: 'e3' }), 'none'],
  ]
  for (const [name, to, passed] of rows) {
    await proxy.hub.put(to)
    const cookie = proxy.entry(to)
    const withToken = { cookie, authorization: 'token of-a-program' }
    t.is((await ask(`${proxy.url}${to.prefix}`, { headers: withToken })).body, passed, name)
    const bearer = { authorization: `Bearer ${cookie.slice('hutch-entry='.length)}` }
    t.is((await ask(`${proxy.url}${to.prefix}`, { headers: bearer })).body, 'none', `${name}, by a token`)
  }
})
