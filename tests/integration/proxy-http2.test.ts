/** HTTP/2 from the browser: the same gate, streaming, limits and ends as on HTTP/1.1. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect as connectHttp2, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { WebSocketServer } from 'ws'
import { browser, visitor } from '../support/browser.ts'
import { certificate } from '../support/certificate.ts'
import { available, program } from '../support/component.ts'
import { block, flags, frame, frameTypes, openRaw, type RawHttp2 } from '../support/http2-frames.ts'
import { freePort } from '../support/hutch.ts'
import { route, startProxy, upstream, type RunningProxy } from '../support/proxy.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until, untilStill } from '../support/until.ts'
import type { Route } from '../../proxy/feed.ts'
import type { ProxyConfigurationInput } from '../../proxy/config.ts'

const mebibyte = 2 ** 20

interface Secure {
  readonly proxy: RunningProxy
  readonly to: Route
  readonly cookie: string
  readonly origin: string
  readonly port: number
}

async function secureProxy(
  t: ExecutionContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  changes: Partial<ProxyConfigurationInput> = {},
): Promise<Secure | undefined> {
  if (!available(t, 'openssl', program('openssl'), 'apt-get install openssl')) return undefined
  const tls = await certificate(await temporaryFolder(t), 'proxy')
  const behind = await upstream(t, answer)
  behind.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    response.writeContinue()
    behind.server.emit('request', request, response)
  })
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data, { binary: false })))
  const to = route('e1', behind.target)
  const port = await freePort()
  const origin = `https://127.0.0.1:${port}`
  const listen = { host: '127.0.0.1', port }
  const proxy = await startProxy(t, { tls, listen, publicUrl: origin, ...changes }, { routes: [to] })
  return { proxy, to, cookie: proxy.entry(to), origin, port }
}

async function session(t: ExecutionContext, origin: string): Promise<ClientHttp2Session> {
  const opened = connectHttp2(origin, { rejectUnauthorized: false, maxSessionMemory: 100 })
  opened.on('error', () => {})
  t.teardown(() => opened.destroy())
  await once(opened, 'connect')
  return opened
}

interface Reply {
  readonly headers: IncomingHttpHeaders & { ':status'?: number }
  readonly trailers: IncomingHttpHeaders
  readonly interim: number[]
  readonly body: string
  readonly code: number
}

async function ask(
  on: ClientHttp2Session,
  headers: Record<string, string | string[] | number>,
  { body, trailers }: { body?: string; trailers?: Record<string, string> } = {},
): Promise<Reply> {
  const stream = on.request(headers, { endStream: body === undefined, waitForTrailers: trailers !== undefined })
  const interim: number[] = []
  let answered: Reply['headers'] = {}
  let ended: IncomingHttpHeaders = {}
  let text = ''
  stream.on('headers', (head) => interim.push(head[':status'] ?? 0))
  stream.on('continue', () => interim.push(100))
  stream.on('response', (head) => (answered = head))
  stream.on('trailers', (fields) => (ended = fields))
  stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}))
  stream.on('error', () => {})
  if (body !== undefined) stream.end(body)
  await new Promise((resolve) => stream.once('close', resolve))
  return { headers: answered, trailers: ended, interim, body: text, code: stream.rstCode }
}

function answers(request: IncomingMessage, response: ServerResponse): void {
  const at = request.url?.split('/').at(-1)
  if (at === '204') return void response.writeHead(204).end()
  if (at === '304') return void response.writeHead(304, { etag: '"a"' }).end()
  if (at === 'hints') response.writeEarlyHints({ link: '</style.css>; rel=preload' })
  if (at === 'break') return void response.writeHead(200, { 'content-length': 9 }).write('x', () => request.destroy())
  if (at === 'old') return void request.socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end')
  if (request.method === 'HEAD') return void response.writeHead(200, { 'content-length': 1234 }).end()
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    response.setHeader('trailer', 'X-End')
    response.setHeader('set-cookie', ['good=1; Path=/user/alice/e1/', 'also=1', 'wide=1; Path=/'])
    const { method, url, headers, trailers } = request
    response.write(JSON.stringify({ method, url, headers, trailers, body: Buffer.concat(chunks).toString() }))
    response.addTrailers({ 'X-End': 'done' })
    response.end()
  })
}

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly trailers: Record<string, string>
  readonly body: string
}

test('requests go through the same gate, with bodies, trailers, interim answers and the same log', async (t) => {
  const secure = await secureProxy(t, answers)
  if (secure === undefined) return
  const { proxy, to, cookie, origin, port } = secure
  const on = await session(t, origin)
  const get = { ':path': `${to.prefix}x?y=1`, cookie }
  const forged = { 'x-forwarded-for': '6.6.6.6', 'x-hutch-role': 'root', 'x-hutch-until': '1' }
  const one = await ask(on, { ...get, authorization: 'Bearer x', ...forged })
  t.is(one.headers[':status'], 200)
  t.deepEqual(one.headers['set-cookie'], ['good=1; Path=/user/alice/e1/', 'also=1'])
  t.is(one.trailers['x-end'], 'done')
  t.is(one.headers['connection'], undefined)
  const seen = JSON.parse(one.body) as Seen
  t.like(seen, { method: 'GET', url: `${to.prefix}x?y=1` })
  t.like(seen.headers, {
    host: `127.0.0.1:${port}`,
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'https',
  })
  t.like(seen.headers, { 'x-hutch-user': 'alice', 'x-hutch-role': 'owner' })
  t.true(Number(seen.headers['x-hutch-until']) > Date.now())
  t.is(seen.headers['cookie'], undefined)

  const crumbs = await ask(on, { ...get, cookie: ['a=1', cookie, 'b=2'] })
  t.is((JSON.parse(crumbs.body) as Seen).headers['cookie'], 'a=1; b=2', 'crumbs are one field behind')
  const post = { ...get, ':method': 'POST', origin }
  const chunked = await ask(on, post, { body: 'abc', trailers: { 'x-sum': '7' } })
  t.like(JSON.parse(chunked.body), { body: 'abc', trailers: { 'x-sum': '7' } })
  const sized = JSON.parse((await ask(on, { ...post, 'content-length': 3 }, { body: 'abc' })).body) as Seen
  t.like(sized, { body: 'abc', headers: { 'content-length': '3' } })
  const expecting = await ask(on, { ...post, 'content-length': 3, expect: '100-continue' }, { body: 'abc' })
  t.true(expecting.interim.includes(100))
  t.deepEqual((await ask(on, { ...get, ':path': `${to.prefix}hints` })).interim, [103])

  const rows: [name: string, headers: Record<string, string>, status: number, body?: string][] = [
    ['HEAD', { ...get, ':method': 'HEAD' }, 200, ''],
    ['nothing', { ...get, ':path': `${to.prefix}204` }, 204, ''],
    ['unchanged', { ...get, ':path': `${to.prefix}304` }, 304, ''],
    ['until the end', { ...get, ':path': `${to.prefix}old` }, 200, 'until the end'],
    ['the hub', { ':path': '/hub/home' }, 200, 'hub'],
    ['without entry', { ':path': to.prefix }, 401],
    ['a foreign origin', { ...post, origin: 'https://evil.example' }, 403],
    ['a sibling', { ...post, 'sec-fetch-site': 'same-site' }, 403],
    ['another host', { ...get, ':authority': 'evil.example' }, 421],
    ['a dot segment', { ...get, ':path': `${to.prefix}%2e%2e/x` }, 400],
    ['no such environment', { ...get, ':path': '/user/alice/e9/' }, 404],
  ]
  for (const [name, headers, status, body] of rows) {
    const reply = await ask(on, headers)
    t.is(reply.headers[':status'], status, name)
    if (body !== undefined) t.is(reply.body, body, name)
  }
  t.is((await ask(on, { ...get, ':method': 'HEAD' })).headers['content-length'], '1234')
  t.not((await ask(on, { ...get, x: 'a'.repeat(33_000) })).headers[':status'], 200, 'a head that is too long')
  const broken = await ask(on, { ...get, ':path': `${to.prefix}break` })
  t.not(broken.code, constants.NGHTTP2_NO_ERROR, 'half an answer is never taken for a whole one')
  t.is((await ask(on, get)).headers[':status'], 200, 'one that breaks costs the others nothing')

  const metrics = await proxy.control('/metrics')
  t.regex(metrics, /hutch_proxy_connections 1\n/)
  t.regex(metrics, /hutch_proxy_http2_connections 1\n/)
  await until('it is logged', () => proxy.output().includes(`"path":"${to.prefix}hints"`))
  t.regex(proxy.output(), /"path":"\/user\/alice\/e1\/x","status":200,.*"user":"alice",.*"environment":"e1"/)
  on.close()
  await leaveAmidUpload(secure)
  const isLeft = async (): Promise<boolean> => {
    const lines = (await proxy.control('/metrics')).split('\n')
    return !['hutch_proxy_http2_connections 0', 'hutch_proxy_live{kind="http"} 0'].every((line) => lines.includes(line))
  }
  await until('nothing is left', async () => !(await isLeft()))
})

test('64 MiB each way beside a reader that stops: whole, and within a fixed bound of memory', async (t) => {
  let sent = 0
  const secure = await secureProxy(t, (request, response) => {
    if (request.method === 'PUT') return void request.pipe(response)
    const part = Buffer.alloc(mebibyte)
    const go = (): void => {
      while (!response.destroyed && response.write(part)) sent += part.length
      sent += part.length
      response.once('drain', go)
    }
    return go()
  })
  if (secure === undefined) return
  const { proxy, to, cookie, origin } = secure
  const on = await session(t, origin)
  const stopped = on.request({ ':path': to.prefix, cookie })
  stopped.on('error', () => {})
  await once(stopped, 'data')
  stopped.pause()
  await untilStill('nothing more is sent', () => sent)
  t.true(sent < 32 * mebibyte, `${sent} bytes were taken from the sender`)

  const [up, down] = [createHash('sha256'), createHash('sha256')]
  const putting = on.request({ ':path': to.prefix, ':method': 'PUT', cookie, origin }, { endStream: false })
  const part = randomBytes(mebibyte)
  const sending = (async () => {
    for (let index = 0; index < 64; index += 1) {
      up.update(part)
      if (!putting.write(part)) await once(putting, 'drain')
    }
    putting.end()
  })()
  for await (const chunk of putting as AsyncIterable<Buffer>) down.update(chunk)
  await sending
  t.is(down.digest('hex'), up.digest('hex'))
  const resident = Number(/hutch_proxy_resident_bytes (\d+)/.exec(await proxy.control('/metrics'))?.[1])
  t.true(resident < 250 * mebibyte, `${resident} bytes resident`)
  const reached = sent
  stopped.resume()
  await until('it goes on', () => sent > reached + 8 * mebibyte, { timeoutMs: 30_000 })
  stopped.close(constants.NGHTTP2_CANCEL)
  await until('the one behind is gone', async () => /live\{kind="http"\} 0\n/.test(await proxy.control('/metrics')))
})

test('a revocation ends the streams of that login alone; SIGTERM says so and finishes downloads', async (t) => {
  const finish: (() => void)[] = []
  const secure = await secureProxy(
    t,
    (_request, response) => {
      response.write('abc')
      finish.push(() => response.end('def'))
    },
    { drainMs: 5_000 },
  )
  if (secure === undefined) return
  const { proxy, to, cookie, origin } = secure
  const on = await session(t, origin)
  const other = proxy.entry(to, { login: 'l-2' })
  const revoked = ask(on, { ':path': to.prefix, cookie })
  const kept = ask(on, { ':path': to.prefix, cookie: other })
  await until('both are under way', () => finish.length === 2)
  const at = Date.now()
  await proxy.hub.revoke({ kind: 'login', subject: 'l-1', at, until: at + 60_000 })
  const cut = await revoked
  t.true(Date.now() - at < 5_000)
  t.not(cut.code, constants.NGHTTP2_NO_ERROR)
  t.false(on.closed)

  const goaway = once(on, 'goaway')
  const stopped = proxy.stop()
  t.is(((await goaway) as [number])[0], constants.NGHTTP2_NO_ERROR)
  for (const each of finish) each()
  t.is((await kept).body, 'abcdef')
  t.is(await stopped, 0)
})

const good: readonly (readonly [string, string])[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', '127.0.0.1'],
  [':path', '/user/alice/e1/'],
]

test('what is no valid request reaches nobody: pseudo fields, framing, names, values', async (t) => {
  const reached: IncomingMessage['headers'][] = []
  const secure = await secureProxy(t, (request, response) => {
    request.resume()
    request.on('end', () => {
      reached.push(request.headers)
      response.end('ok')
    })
  })
  if (secure === undefined) return
  const { cookie, port } = secure
  const entered = [...good, ['cookie', cookie]] as const
  const but = (name: string, value: string): readonly (readonly [string, string])[] =>
    entered.map((field) => (field[0] === name ? [name, value] : field))
  const body = frame(frameTypes.data, flags.endStream, 1, Buffer.from('abcd'))
  const rows: [name: string, fields: readonly (readonly [string, string])[], more?: Buffer][] = [
    ['a CR LF in a value', [...entered, ['x', 'a\r\ny: b']]],
    ['an LF in a value', [...entered, ['x', 'a\nb']]],
    ['a NUL in a value', [...entered, ['x', 'a\0b']]],
    ['a colon in a name', [...entered, ['a:b', 'c']]],
    ['a blank in a name', [...entered, ['a b', 'c']]],
    ['a line end in a name', [...entered, ['a\r\nb', 'c']]],
    ['an upper-case name', [...entered, ['X-Upper', 'c']]],
    ['a coding', [...entered, ['transfer-encoding', 'chunked']]],
    ['a connection', [...entered, ['connection', 'upgrade']]],
    ['an upgrade', [...entered, ['upgrade', 'websocket']]],
    ['a TE that is not trailers', [...entered, ['te', 'gzip']]],
    ['two lengths', [...entered, ['content-length', '4'], ['content-length', '5']], body],
    ['a length that is none', [...entered, ['content-length', '+4']], body],
    ['a length beyond the body', [...entered, ['content-length', '9']], body],
    ['a length below the body', [...entered, ['content-length', '2']], body],
    ['a length and no body', [...entered, ['content-length', '4']]],
    ['two hosts', [...entered, ['host', 'evil']]],
    ['two paths', [...entered, [':path', '/']]],
    ['a pseudo field behind others', [['x', 'y'], ...entered]],
    ['an unknown pseudo field', [...good, [':protocol', 'websocket']]],
    ['no path', entered.filter(([name]) => name !== ':path')],
    ['no authority', entered.filter(([name]) => name !== ':authority')],
    ['an empty path', but(':path', '')],
    ['a path that is an address', but(':path', 'https://evil/')],
    ['a star', but(':path', '*')],
    ['a blank in the path', but(':path', '/user/alice/e1/ HTTP/1.1')],
    ['a line end in the path', but(':path', '/user/alice/e1/\r\nx: y')],
    ['a line end in the method', but(':method', 'GET / HTTP/1.1\r\nx: y')],
    ['a line end in the authority', but(':authority', '127.0.0.1\r\nx: y')],
    ['a path in the authority', but(':authority', '127.0.0.1/evil')],
    ['plain HTTP', but(':scheme', 'http')],
    [
      'CONNECT',
      [
        [':method', 'CONNECT'],
        [':authority', '127.0.0.1:22'],
        ['cookie', cookie],
      ],
    ],
    ['a WebSocket by CONNECT', [...but(':method', 'CONNECT'), [':protocol', 'websocket']]],
    ['more than 200 fields', [...entered, ...Array.from({ length: 300 }, (): [string, string] => ['a', 'b'])]],
  ]
  for (const [name, fields, more] of rows) {
    const raw = await openRaw(port)
    const flag = flags.endHeaders | (more === undefined ? flags.endStream : 0)
    raw.send(frame(frameTypes.headers, flag, 1, block(fields)), ...(more === undefined ? [] : [more]))
    const ended = await until(name, () => endOf(raw))
    raw.socket.destroy()
    // Node's library leaves out a field that can not be, without a word: then it must have reached nobody.
    if (name.endsWith('in a value') || name.endsWith('name')) {
      for (const headers of reached.splice(0)) {
        t.true(
          Object.keys(headers).every((key) => /^(?:host|x-real-ip|x-(?:forwarded|hutch|request)-[a-z]+)$/.test(key)),
          name,
        )
      }
    } else t.true(ended === 'reset' || ended === 'goaway' || /^4\d\d$/.test(ended), `${name}: ${ended}`)
  }
  t.deepEqual(reached, [])
  const raw = await openRaw(port)
  raw.send(frame(frameTypes.headers, flags.endHeaders | flags.endStream, 1, block(entered)))
  t.is(await until('a good one', () => endOf(raw)), '200')
  raw.socket.destroy()
})

/** How the first stream went: its status, or how it or the connection was ended. */
function endOf({ frames, closed }: RawHttp2): string | undefined {
  for (const { type, payload } of frames) {
    if (type === frameTypes.reset) return 'reset'
    if (type === frameTypes.goaway) return 'goaway'
    // The first field of the answer is its status: from the static table, or a literal of it (RFC 7541 A).
    if (type === frameTypes.headers) {
      const known = { 0x88: '200', 0x8c: '400', 0x8d: '404' }[payload[0] ?? 0]
      return known ?? huffmanDigits(payload.subarray(2, 2 + ((payload[1] ?? 0) & 0x7f)))
    }
  }
  return closed() ? 'goaway' : undefined
}

/** Statuses apart from those of the table: three digits, coded (RFC 7541 B) or plain. */
function huffmanDigits(bytes: Buffer): string {
  if (bytes.length === 3) return bytes.toString()
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const codes = ['00000', '00001', '00010', '011001', '011010', '011011', '011100', '011101', '011110', '011111']
  let digits = ''
  let at = 0
  while (digits.length < 3 && at < bits.length) {
    const digit = codes.findIndex((code) => bits.startsWith(code, at))
    if (digit === -1) return '?'
    digits += digit
    at += codes[digit]?.length ?? 0
  }
  return digits
}

test('whoever floods with requests taken back, settings, pings or fields without end is cut off', async (t) => {
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume()
    response.write(request.url?.endsWith('long') === true ? Buffer.alloc(32 * mebibyte) : 'x')
  }
  const secure = await secureProxy(t, answer, { limits: { headMs: 1_500, stallMs: 3_000, streamsPerConnection: 20 } })
  if (secure === undefined) return
  const { proxy, cookie, origin, port } = secure
  const fields = block([...good, ['cookie', cookie]])
  const setting = Buffer.from([0, 3, 0, 0, 0, 50])
  const floods: [name: string, send: (raw: RawHttp2, n: number) => void][] = [
    [
      'requests taken back (CVE-2023-44487)',
      (raw, n) =>
        raw.send(
          frame(frameTypes.headers, flags.endHeaders | flags.endStream, 2 * n + 1, fields),
          frame(frameTypes.reset, 0, 2 * n + 1, Buffer.from([0, 0, 0, 8])),
        ),
    ],
    [
      'requests that make the proxy take them back (CVE-2025-8671)',
      (raw, n) =>
        raw.send(
          frame(frameTypes.headers, flags.endHeaders | flags.endStream, 2 * n + 1, fields),
          frame(frameTypes.window, 0, 2 * n + 1, Buffer.from([0, 0, 0, 0])),
        ),
    ],
    ['settings', (raw) => raw.send(frame(frameTypes.settings, 0, 0, setting))],
    ['pings', (raw) => raw.send(frame(frameTypes.ping, 0, 0, Buffer.alloc(8)))],
    [
      'continuations without end (CVE-2024-28182)',
      (raw, n) =>
        raw.send(
          n === 0
            ? frame(frameTypes.headers, flags.endStream, 1, fields)
            : frame(frameTypes.continuation, 0, 1, block([['x', 'y']])),
        ),
    ],
    ['empty frames of data', (raw, n) => raw.send(n === 0 ? postHead(cookie) : frame(frameTypes.data, 0, 1))],
  ]
  for (const [name, send] of floods) {
    const raw = await openRaw(port)
    for (let n = 0; n < 3_000 && !raw.closed(); n += 1) {
      send(raw, n)
      if (n % 100 === 0) await sleep(5)
    }
    if (name.startsWith('empty')) {
      // They cost next to nothing, and end with the stream's own deadline.
      raw.socket.destroy()
      continue
    }
    await until(`${name}: the end`, () => raw.closed() || raw.frames.some(({ type }) => type === frameTypes.goaway))
    await until(`${name}: closed`, () => raw.closed())
  }
  const causes = [...proxy.output().matchAll(/"what":"too many ([^"]+)"/g)].map(([, what]) => what)
  // The others are found by Node's library itself.
  t.deepEqual(causes, ['requests that are taken back', 'settings', 'pings'])
  const many = await openRaw(port)
  for (let n = 0; n < 40; n += 1) {
    many.send(frame(frameTypes.headers, flags.endHeaders | flags.endStream, 2 * n + 1, fields))
  }
  const refusedStreams = (): number => many.frames.filter(({ type }) => type === frameTypes.reset).length
  await until('those beyond the limit are refused', () => refusedStreams() === 20 || many.closed())
  many.socket.destroy()

  const slow = await openRaw(port)
  slow.send(frame(frameTypes.headers, flags.endStream, 1, fields))
  const trickle = setInterval(() => slow.send(frame(frameTypes.window, 0, 0, Buffer.from([0, 0, 0, 1]))), 200)
  await until('a head that never ends is not waited for', () => slow.closed(), { timeoutMs: 20_000 })
  clearInterval(trickle)
  const silent = await openRaw(port)
  await until('a silent connection is closed', () => silent.closed(), { timeoutMs: 20_000 })

  const deaf = await takeNothing(secure)
  const isCutOff = async (): Promise<boolean> => /http2_connections 0\n/.test(await proxy.control('/metrics'))
  await until('whoever takes nothing is cut off', isCutOff, { timeoutMs: 20_000 })
  deaf.socket.destroy()

  const on = await session(t, origin)
  t.is((await ask(on, { ':path': '/hub/home' })).headers[':status'], 200, 'others are served')
  await until('nothing is left behind', async () => /live\{kind="http"\} 0\n/.test(await proxy.control('/metrics')), {
    timeoutMs: 20_000,
  })
})

/** Asks for more than fits on the way, and takes none of it. */
async function takeNothing({ port, to, cookie }: Secure): Promise<RawHttp2> {
  const raw = await openRaw(port)
  await until('the greeting', () => raw.frames.length > 1)
  const wide = Buffer.from([0x3f, 0, 0, 0])
  const path = good.map(([name, value]): [string, string] => [name, name === ':path' ? `${to.prefix}long` : value])
  const fields = block([...path, ['cookie', cookie]])
  raw.socket.pause()
  raw.send(
    frame(frameTypes.window, 0, 0, wide),
    frame(frameTypes.headers, flags.endHeaders | flags.endStream, 1, fields),
    frame(frameTypes.window, 0, 1, wide),
  )
  return raw
}

/**
 * What it sent, and that it has gone, is there before the proxy can look, and is more than one read: the writes
 * between them fail at once, and Node waits for the second such write for ever.
 */
async function leaveAmidUpload({ proxy, port, cookie }: Secure): Promise<void> {
  const raw = await openRaw(port)
  await until('the greeting', () => raw.frames.length > 1)
  proxy.process.kill('SIGSTOP')
  const parts = Array.from({ length: 12 }, () => frame(frameTypes.data, 0, 1, Buffer.alloc(16_384)))
  raw.send(postHead(cookie), ...parts)
  await sleep(50)
  raw.socket.destroy()
  await sleep(50)
  proxy.process.kill('SIGCONT')
}

function postHead(cookie: string): Buffer {
  const fields = good.map(([name, value]): [string, string] => [name, name === ':method' ? 'POST' : value])
  return frame(frameTypes.headers, flags.endHeaders, 1, block([...fields, ['cookie', cookie]]))
}

test('Chromium loads a page over HTTP/2, and its WebSocket over HTTP/1.1', async (t) => {
  t.timeout(120_000)
  const opened = await browser(t)
  if (opened === undefined) return
  const secure = await secureProxy(t, (request, response) => {
    if (request.url?.endsWith('/part') === true) return void response.end('part')
    response.setHeader('content-type', 'text/html')
    response.end('<!doctype html><title>page</title>')
    return undefined
  })
  if (secure === undefined) return
  const { proxy, to, cookie, origin } = secure
  const { page } = await visitor(opened, { ignoreHTTPSErrors: true })
  const value = cookie.slice('hutch-entry='.length)
  await page.context().addCookies([{ name: 'hutch-entry', value, domain: '127.0.0.1', path: to.prefix, secure: true }])
  await page.goto(`${origin}${to.prefix}`)
  const got = await page.evaluate(async () => {
    const parts = await Promise.all(Array.from({ length: 50 }, async () => await (await fetch('part')).text()))
    const sent = await (await fetch('part', { method: 'POST', body: 'x'.repeat(300_000) })).text()
    const echo = await new Promise((resolve) => {
      const socket = new WebSocket(location.href.replace('http', 'ws'))
      socket.addEventListener('open', () => socket.send('hello'))
      socket.addEventListener('message', ({ data }) => resolve(data))
      socket.addEventListener('close', () => resolve('closed'))
    })
    const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
    return { parts, sent, echo, protocol: navigation?.nextHopProtocol }
  })
  t.is(got.protocol, 'h2')
  t.deepEqual(new Set(got.parts), new Set(['part']))
  t.like(got, { sent: 'part', echo: 'hello' })
  t.regex(await proxy.control('/metrics'), /hutch_proxy_http2_connections 1\n/)
  await page.context().close()
})
