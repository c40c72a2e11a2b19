/** Raw bytes: what two servers could read differently, and what a browser never sends, goes no further. */
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { raw, route, startProxy, type RunningProxy } from '../support/proxy.ts'
import type { Target } from '../../proxy/feed.ts'

/** A server that keeps the bytes it got, and answers every head with the same bytes. */
async function recorder(
  t: ExecutionContext,
  answer: string | ((socket: import('node:net').Socket) => void) = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
): Promise<{ target: Target; received: () => string; connections: () => number }> {
  let received = ''
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.on('error', () => {})
    socket.on('data', (data) => {
      received += data.toString('latin1')
      if (!data.includes('\r\n\r\n')) return
      if (typeof answer === 'string') socket.write(answer, 'latin1')
      else answer(socket)
    })
    t.teardown(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return {
    target: { kind: 'http', url: `http://127.0.0.1:${port}` },
    received: () => received,
    connections: () => connections,
  }
}

const start = 'GET /user/alice/e1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n'
const post = 'POST /user/alice/e1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n'
const upgrade = `${start}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n`
const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

const refused: [name: string, status: number, bytes: string][] = [
  ['a length and chunks', 400, `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunks and a length', 400, `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`],
  ['two lengths', 400, `${post}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`],
  ['the same length twice', 400, `${post}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd`],
  ['a list of lengths', 400, `${post}Content-Length: 4, 4\r\n\r\nabcd`],
  ['a negative length', 400, `${post}Content-Length: -1\r\n\r\n`],
  ['a length with a sign', 400, `${post}Content-Length: +4\r\n\r\nabcd`],
  ['a hexadecimal length', 400, `${post}Content-Length: 0x4\r\n\r\nabcd`],
  ['a length beyond any number', 400, `${post}Content-Length: 99999999999999999999\r\n\r\n`],
  ['an empty length', 400, `${post}Content-Length:\r\n\r\n`],
  ['another coding', 501, `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked twice', 501, `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a disguised coding', 501, `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['a coding behind a vertical tab', 400, `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
  ['a blank before the colon', 400, `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
  ['a folded field', 400, `${start}X: a\r\n b\r\n\r\n`],
  ['a field that begins the head with a blank', 400, `GET / HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n`],
  ['a field without a name', 400, `${start}: x\r\n\r\n`],
  ['a field without a colon', 400, `${start}nothing\r\n\r\n`],
  ['a name that is not a token', 400, `${start}a b: x\r\n\r\n`],
  ['a bare LF between fields', 400, `${start}X: a\nY: b\r\n\r\n`],
  ['a bare CR in a value', 400, `${start}X: a\rY: b\r\n\r\n`],
  ['a NUL in a value', 400, `${start}X: a\0b\r\n\r\n`],
  ['a NUL in the target', 400, 'GET /user/alice/e1/\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a blank in the target', 400, 'GET /user/alice/e1/a b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['two blanks in the request line', 400, 'GET  /user/alice/e1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a byte beyond ASCII in the target', 400, 'GET /user/alice/e1/\xe9 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a fragment', 400, 'GET /user/alice/e1/#a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a target that is not a path', 400, 'GET user HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a star', 400, 'OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a dot segment', 400, 'GET /user/alice/e1/../x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['an encoded dot segment', 400, 'GET /user/alice/e1/%2E%2e/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a dot segment with encoded slashes', 400, 'GET /user/alice/e1/..%2f..%2fx HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a dot segment with encoded backslashes', 400, 'GET /user/alice/e1/..%5cx HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a dot segment with a parameter', 400, 'GET /user/alice/e1/..;a/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a backslash', 400, 'GET /user/alice/e1/\\x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['an encoded NUL', 400, 'GET /user/alice/e1/%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a broken escape', 400, 'GET /user/alice/e1/%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['no Host', 400, 'GET /user/alice/e1/ HTTP/1.1\r\n\r\n'],
  ['two Hosts', 400, `${start}Host: evil\r\n\r\n`],
  ['a Host that is none', 421, 'GET / HTTP/1.1\r\nHost: 127.0.0.1/evil\r\n\r\n'],
  ['an empty Host', 421, 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['a target of another host', 400, 'GET http://evil/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['HTTP/2 in clear', 505, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/1.2', 505, 'GET / HTTP/1.2\r\nHost: 127.0.0.1\r\n\r\n'],
  ['HTTP/0.9', 400, 'GET /\r\n\r\n'],
  ['a TLS greeting', 400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['CONNECT', 405, 'CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['TRACE', 405, 'TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['a head that is too long', 431, `${start}X: ${'a'.repeat(40_000)}\r\n\r\n`],
  ['a head that never ends', 431, `${start}X: ${'a'.repeat(40_000)}`],
  ['too many fields', 431, `${start}${'a:b\r\n'.repeat(300)}\r\n`],
  ['two cookies of authority', 400, `${start}Authorization: a\r\nAuthorization: b\r\n\r\n`],
  ['a WebSocket with POST', 400, upgrade.replace('GET', 'POST') + `${key}\r\n`],
  ['a WebSocket with a body', 400, `${upgrade}${key}Content-Length: 2\r\n\r\nab`],
  ['a WebSocket without key', 400, `${upgrade}\r\n`],
  ['a WebSocket with a short key', 400, `${upgrade}Sec-WebSocket-Key: YQ==\r\n\r\n`],
  ['a WebSocket of another version', 426, `${upgrade.replace('13', '8')}${key}\r\n`],
]

test('messages that could be read in two ways are refused and reach nobody', async (t) => {
  const behind = await recorder(t)
  const proxy = await startProxy(t, {}, { routes: [route('e1', behind.target)] })
  for (const [name, status, bytes] of refused) {
    const answer = await raw(proxy.port, bytes, { end: true })
    t.regex(answer, new RegExp(`^HTTP/1.1 ${status} `), name)
    t.is(answer.match(/HTTP\/1\.1 \d/g)?.length, 1, `${name}: one answer, and then the end`)
  }
  t.is(behind.received(), '')
  t.is(proxy.hub.seen.length, 0)
})

const badBodies: [name: string, body: string][] = [
  ['a size that is not a number', 'zz\r\nab\r\n0\r\n\r\n'],
  ['a negative size', '-2\r\nab\r\n0\r\n\r\n'],
  ['a size with 0x', '0x2\r\nab\r\n0\r\n\r\n'],
  ['a size beyond any number', 'ffffffffffffffff\r\nab'],
  ['a size that ends in LF', '2\nab\r\n0\r\n\r\n'],
  ['a chunk that is longer than it says', '2\r\nabc\r\n0\r\n\r\n'],
  ['a chunk that ends in LF', '2\r\nab\n0\r\n\r\n'],
  ['an extension without end', `2;${'a'.repeat(400)}\r\nab\r\n0\r\n\r\n`],
  ['an extension with a bare CR', '2;a\rb\r\nab\r\n0\r\n\r\n'],
  ['a trailer that decides framing', '0\r\nContent-Length: 5\r\n\r\n'],
  ['a trailer that decides who it is', '0\r\nCookie: a=b\r\n\r\n'],
  ['a trailer that is not a field', '0\r\nnothing\r\n\r\n'],
  ['trailers without end', `0\r\n${'a: b\r\n'.repeat(3_000)}\r\n`],
]

test('chunks that are framed wrongly break the request off before a second one can hide in it', async (t) => {
  for (const [name, body] of badBodies) {
    const behind = await recorder(t)
    const proxy = await sharedProxy(t)
    await proxy.hub.put(route('e1', behind.target, { generation: (generation += 1) }))
    const cookie = `Cookie: ${proxy.entry(route('e1', behind.target))}\r\n`
    const hidden = `GET /user/alice/e1/hidden HTTP/1.1\r\nHost: 127.0.0.1\r\n${cookie}\r\n`
    const head = `${post}${cookie}Transfer-Encoding: chunked\r\n\r\n`
    const answer = await raw(proxy.port, head + body + hidden, { end: true })
    t.true(answer === '' || /^HTTP\/1.1 4\d\d /.test(answer), `${name}: ${answer.slice(0, 80)}`)
    t.false(behind.received().includes('hidden'), name)
  }
})

let shared: Promise<RunningProxy> | undefined
let generation = 1
function sharedProxy(t: ExecutionContext): Promise<RunningProxy> {
  shared ??= startProxy(t)
  return shared
}

const badAnswers: [name: string, answer: string][] = [
  ['no HTTP', 'hello\r\n\r\n'],
  ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc'],
  ['a field with a bare LF', 'HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: hutch-entry=x\r\nContent-Length: 0\r\n\r\n'],
  ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`],
  [
    'a switch that nobody asked for',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  ],
  ['interim answers without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(50)],
]

test('answers that make no sense become 502', async (t) => {
  const proxy = await startProxy(t)
  for (const [index, [name, bytes]] of badAnswers.entries()) {
    const behind = await recorder(t, bytes)
    const to = route('e1', behind.target, { generation: index + 1 })
    await proxy.hub.put(to)
    const answer = await raw(proxy.port, `${start}Cookie: ${proxy.entry(to)}\r\nConnection: close\r\n\r\n`)
    t.regex(answer.replaceAll('HTTP/1.1 100 Continue\r\n\r\n', ''), /^HTTP\/1.1 502 /, name)
    t.notRegex(answer, /Set-Cookie/i, name)
  }
})

test('what an environment says for the whole origin stays behind', async (t) => {
  const fields = [
    'Service-Worker-Allowed: /',
    'Clear-Site-Data: "*"',
    'Alt-Svc: h3=":1"',
    'Set-Cookie: good=1; Path=/user/alice/e1/',
    'Set-Cookie: good2=1; Path=/user/alice/e1/api; HttpOnly',
    'Set-Cookie: good3=1',
    'Set-Cookie: good4=1; Path=/user/alice/e1',
    'Set-Cookie: wide=1; Path=/',
    'Set-Cookie: last=1; Path=/user/alice/e1/; Path=/',
    'Set-Cookie: sibling=1; Path=/user/alice/e10/',
    'Set-Cookie: domain=1; Domain=example.org',
    'Set-Cookie: hutch-entry=1; Path=/user/alice/e1/',
    'Set-Cookie: __Host-hutch-login=1; Path=/',
    'Set-Cookie: __Secure-hutch=1',
    'Set-Cookie: =hutch-entry=1',
    'Set-Cookie: hutch-nonce',
    'Connection: close, X-Private',
    'X-Private: 1',
    'X-Public: 1',
  ]
  const behind = await recorder(t, `HTTP/1.1 200 OK\r\n${fields.join('\r\n')}\r\nContent-Length: 2\r\n\r\nok`)
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const answer = await raw(proxy.port, `${start}Cookie: ${proxy.entry(to)}\r\nConnection: close\r\n\r\n`)
  const cookies = [...answer.matchAll(/^Set-Cookie: (\w+)=/gm)].map(([, name]) => name)
  t.deepEqual(cookies, ['good', 'good2', 'good3', 'good4'])
  t.notRegex(answer, /Service-Worker|Clear-Site|Alt-Svc|X-Private|hutch/)
  t.regex(answer, /X-Public: 1/)
})

test('what a browser says of itself as a proxy is not believed, however it is written', async (t) => {
  const behind = await recorder(t)
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const forged = [
    'X-Forwarded-For: 6.6.6.6',
    'x-forwarded-host: evil',
    'X_Forwarded_Proto: https',
    'X-Forwarded-User: root',
    'Forwarded: for=6.6.6.6',
    'X-Real-IP: 6.6.6.6',
    'X-Request-Id: forged',
    'X-Hutch-User: root',
    'X_Hutch_Role: administrator',
    'Connection: close, Cookie, X-Gone',
    'X-Gone: 1',
    'Proxy-Authorization: x',
    'X-Kept: 1',
  ]
  await raw(proxy.port, `${start}Cookie: ${proxy.entry(to)}; kept=1\r\n${forged.join('\r\n')}\r\n\r\n`)
  const got = behind.received()
  t.notRegex(got, /6\.6\.6\.6|evil|root|forged|administrator|X-Gone|Proxy-Auth/)
  t.regex(got, /X-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Proto: http\r\n/)
  t.regex(got, /X-Kept: 1/)
  t.regex(got, /Cookie: kept=1\r\n/)
})

test('pipelined requests are answered in their order, one at a time', async (t) => {
  const behind = await recorder(t)
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const one = `${start}Cookie: ${proxy.entry(to)}\r\n\r\n`
  const none = 'GET /user/alice/e1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
  const body = `${post}Cookie: ${proxy.entry(to)}\r\nContent-Length: 3\r\n\r\nabc`
  const answer = await raw(proxy.port, `\r\n${one}${none.repeat(600)}${body}${one}`, { end: true })
  const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
  t.is(statuses.length, 603)
  t.is(statuses[0], '200')
  t.true(statuses.slice(1, 601).every((status) => status === '401'))
  t.deepEqual(statuses.slice(601), ['200', '200'])
})

test('a head that comes byte by byte is read; one that comes too slowly is not waited for', async (t) => {
  const behind = await recorder(t)
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, { limits: { headMs: 1_500 } }, { routes: [to] })
  const bytes = `${start}Cookie: ${proxy.entry(to)}\r\nConnection: close\r\n\r\n`
  const cut = Math.floor(bytes.length / 2)
  const parts = [bytes.slice(0, 1), bytes.slice(1, cut), bytes.slice(cut, -2), bytes.slice(-2, -1), bytes.slice(-1)]
  t.regex(await raw(proxy.port, parts), /^HTTP\/1.1 200 /)
  const slow = Array.from({ length: 400 }, (_, index) => (index === 0 ? start : 'X'))
  t.regex(await raw(proxy.port, slow), /^HTTP\/1.1 408 /)
  t.is(await raw(proxy.port, [], { timeoutMs: 20_000 }), '', 'a silent connection is closed')
})
