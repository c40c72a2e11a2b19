/** Bytes both ways through the real proxy: of any size, at any pace, broken off at any point. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { agentKey, pskServer } from '../../images/agent/link.ts'
import { ask, raw, route, startProxy, upstream } from '../support/proxy.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until, untilStill } from '../support/until.ts'

const mebibyte = 2 ** 20

async function listen(t: ExecutionContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('an upload and a download of 64 MiB arrive whole, with a length and in chunks', async (t) => {
  const behind = await upstream(t, (request, response) => {
    if (request.headers['content-length'] !== undefined) {
      response.setHeader('content-length', request.headers['content-length'])
    }
    request.pipe(response)
  })
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const block = randomBytes(mebibyte)
  for (const length of [undefined, 64 * mebibyte]) {
    const sent = createHash('sha256')
    const got = createHash('sha256')
    const asking = httpRequest(`${proxy.url}${to.prefix}`, {
      method: 'PUT',
      headers: { cookie: proxy.entry(to), ...(length === undefined ? {} : { 'content-length': length }) },
    })
    const answered = once(asking, 'response')
    const sending = (async () => {
      for (let index = 0; index < 64; index += 1) {
        sent.update(block)
        if (!asking.write(block)) await once(asking, 'drain')
      }
      asking.end()
    })()
    const [response] = (await answered) as [AsyncIterable<Buffer>]
    for await (const chunk of response) got.update(chunk)
    await sending
    t.is(got.digest('hex'), sent.digest('hex'))
  }
})

/** Pieces of transfers share buffers on their way: what comes late, alone, short or meanwhile must not mix with it. */
test('bodies to and from an agent arrive whole, several at once, whatever their pieces', async (t) => {
  const pieces = [16_384, 65_536, 81_920, 40_000, 3 * 16_384 + 1].map((length) => randomBytes(length))
  const times = 80
  const sendPieces = async (to: Writable, piece: Buffer): Promise<void> => {
    for (let index = 0; index < times; index += 1) {
      if (!to.write(piece)) await once(to, 'drain')
      if (index % 3 === 0) await sleep(1)
    }
    to.end()
  }
  const http = createHttpServer((request, response) => {
    const piece = pieces[Number(request.url?.split('/').at(-1))] ?? Buffer.alloc(0)
    void (async () => {
      response.setHeader('x-received', await hashOf(request))
      await sendPieces(response, piece)
    })()
  })
  t.teardown(() => http.close())
  const proxy = await startProxy(t)
  const tls = createTlsServer(
    pskServer(() => agentKey(proxy.agentsKey, 'e3')),
    (socket) => http.emit('connection', socket),
  )
  const to = route('e3', { kind: 'psk', host: '127.0.0.1', port: await listen(t, tls), identity: 'e3' })
  await proxy.hub.put(to)

  const putAndGet = async (piece: Buffer, index: number): Promise<readonly unknown[]> => {
    const options = { method: 'PUT', headers: { cookie: proxy.entry(to) } }
    const asking = httpRequest(`${proxy.url}${to.prefix}${index}`, options)
    const answered = once(asking, 'response')
    await sendPieces(asking, piece)
    const [response] = (await answered) as [IncomingMessage]
    return [response.headers['x-received'], await hashOf(response)]
  }
  const sent = pieces.map((piece) => {
    const hash = createHash('sha256')
    for (let index = 0; index < times; index += 1) hash.update(piece)
    return hash.digest('hex')
  })
  for (let round = 0; round < 3; round += 1) {
    t.deepEqual(
      await Promise.all(pieces.map(putAndGet)),
      sent.map((hash) => [hash, hash]),
    )
  }
})

async function hashOf(body: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of body) hash.update(chunk)
  return hash.digest('hex')
}

test('a reader that stops makes the sender stop, within a fixed bound of memory', async (t) => {
  let sent = 0
  const behind = await upstream(t, (_request, response) => {
    const block = Buffer.alloc(mebibyte)
    const go = (): void => {
      while (!response.destroyed && response.write(block)) sent += block.length
      sent += block.length
      response.once('drain', go)
    }
    go()
  })
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`GET ${to.prefix} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${proxy.entry(to)}\r\n\r\n`)
  await once(socket, 'data')
  socket.pause()
  await untilStill('nothing more is sent', () => sent)
  // The kernel's buffers on four ends, and one block on its way.
  t.true(sent < 64 * mebibyte, `${sent} bytes were taken from the sender`)
  const metrics = await proxy.control('/metrics')
  const resident = Number(/hutch_proxy_resident_bytes (\d+)/.exec(metrics)?.[1])
  t.true(resident < 250 * mebibyte, `${resident} bytes resident`)
  socket.resume()
  const reached = sent
  await until('it goes on', () => sent > reached + 8 * mebibyte, { timeoutMs: 30_000 })
  socket.destroy()
})

test('a sender is slowed down by a server that does not read', async (t) => {
  const server = createServer((socket) => socket.pause())
  const to = route('e1', { kind: 'http', url: `http://127.0.0.1:${await listen(t, server)}` })
  const proxy = await startProxy(t, {}, { routes: [to] })
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(
    `PUT ${to.prefix} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${proxy.entry(to)}\r\nContent-Length: 10000000000\r\n\r\n`,
  )
  const block = Buffer.alloc(mebibyte)
  let blocks = 0
  while (
    blocks < 200 &&
    (socket.write(block) || (await Promise.race([once(socket, 'drain'), sleep(2_000)])) !== undefined)
  )
    blocks += 1
  t.true(blocks < 64, `${blocks} MiB were taken`)
  socket.destroy()
})

test('trailers, interim answers, ranges, HEAD and HTTP/1.0 go through', async (t) => {
  const behind = await upstream(t, (request, response) => {
    if (request.method === 'HEAD') return response.writeHead(200, { 'content-length': 1234 }).end()
    if (request.headers.range !== undefined) {
      return response.writeHead(206, { 'content-range': 'bytes 0-1/10', 'content-length': 2 }).end('01')
    }
    if (request.url?.endsWith('/204')) return response.writeHead(204).end()
    if (request.url?.endsWith('/304')) return response.writeHead(304, { etag: '"a"', 'content-length': 99 }).end()
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      response.writeHead(200, request.httpVersion === '1.1' ? { trailer: 'X-End' } : {})
      response.write(`${request.httpVersion} ${Buffer.concat(chunks).toString()} ${JSON.stringify(request.trailers)}`)
      response.addTrailers({ 'X-End': 'done' })
      response.end()
    })
    return undefined
  })
  behind.server.on('checkContinue', (request, response) => {
    response.writeContinue()
    behind.server.emit('request', request, response)
  })
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const cookie = `Host: 127.0.0.1\r\nCookie: ${proxy.entry(to)}\r\n`
  const last = `${cookie}Connection: close\r\n`
  const at = to.prefix

  const trailers = await raw(
    proxy.port,
    `POST ${at} HTTP/1.1\r\n${last}TE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n`,
  )
  t.regex(trailers, /1\.1 abc \{"x-sum":"7"\}/)
  t.regex(trailers, /\r\n0\r\nX-End: done\r\n\r\n$/)

  const expecting = connect(proxy.port, '127.0.0.1')
  expecting.write(`POST ${at} HTTP/1.1\r\n${last}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`)
  const [first] = (await once(expecting, 'data')) as [Buffer]
  t.regex(first.toString(), /^HTTP\/1\.1 100 Continue\r\n/)
  expecting.write('abc')
  let text = ''
  expecting.on('data', (data) => (text += data.toString()))
  await once(expecting, 'end')
  t.regex(text, /^HTTP\/1\.1 200 OK/)
  expecting.destroy()

  t.regex(
    await raw(proxy.port, `HEAD ${at} HTTP/1.1\r\n${cookie}\r\nGET ${at}204 HTTP/1.1\r\n${last}\r\n`),
    /content-length: 1234\r\n(?:.*\r\n)*\r\nHTTP\/1.1 204 /i,
  )
  const unchanged = await raw(
    proxy.port,
    `GET ${at}304 HTTP/1.1\r\n${cookie}\r\nGET ${at} HTTP/1.1\r\nRange: bytes=0-1\r\n${last}\r\n`,
  )
  t.regex(unchanged, /^HTTP\/1.1 304 [^]*HTTP\/1.1 206 [^]*\r\n\r\n01$/)
  const old = await raw(proxy.port, `GET ${at} HTTP/1.0\r\n${cookie}\r\n`)
  t.regex(old, /^HTTP\/1.1 200 [^]*Connection: close[^]*1\.0 {2}/)
  t.notRegex(old, /chunked/i)
  const half = await raw(proxy.port, `GET ${at} HTTP/1.1\r\n${cookie}\r\n`, { end: true })
  t.regex(half, /^HTTP\/1.1 200 [^]*0\r\nX-End: done\r\n\r\n$/, 'the half that still listens gets its answer')
})

test('an answer that breaks off is never taken for a whole one', async (t) => {
  const rows: [name: string, bytes: string][] = [
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc'],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc'],
  ]
  const proxy = await startProxy(t)
  for (const [index, [name, bytes]] of rows.entries()) {
    const server = createServer((socket) => socket.once('data', () => socket.end(bytes)))
    const to = route(
      'e1',
      { kind: 'http', url: `http://127.0.0.1:${await listen(t, server)}` },
      { generation: index + 1 },
    )
    await proxy.hub.put(to)
    await t.throwsAsync(ask(`${proxy.url}${to.prefix}`, { headers: { cookie: proxy.entry(to) } }), undefined, name)
  }
})

test('a browser that leaves takes the request behind with it', async (t) => {
  let closed = 0
  let open = 0
  const behind = await upstream(t, (request, response) => {
    open += 1
    request.socket.once('close', () => (closed += 1))
    response.write('x')
  })
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const browsers = Array.from({ length: 10 }, () => connect(proxy.port, '127.0.0.1'))
  for (const socket of browsers) {
    socket.on('error', () => {})
    socket.write(`GET ${to.prefix} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${proxy.entry(to)}\r\n\r\n`)
  }
  await until('all are open', () => open === 10)
  for (const socket of browsers) socket.destroy()
  await until('none is left behind', () => closed === 10, { timeoutMs: 30_000 })
  t.pass()
})

test('a kept connection that the server closed meanwhile costs no request', async (t) => {
  let requests = 0
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    requests += 1
    response.end('ok', () => setTimeout(() => request.socket.destroy(), 1))
  })
  const to = route('e1', { kind: 'http', url: `http://127.0.0.1:${await listen(t, server)}` })
  const proxy = await startProxy(t, {}, { routes: [to] })
  for (let index = 0; index < 200; index += 1) {
    const reply = await ask(`${proxy.url}${to.prefix}`, { headers: { cookie: proxy.entry(to) } })
    t.is(reply.status, 200)
    await sleep(index % 4)
  }
  t.true(requests >= 200)
})

test('targets: a unix socket, and a pre-shared key that an impostor does not have', async (t) => {
  const folder = await temporaryFolder(t)
  const proxy = await startProxy(t)
  const http = createHttpServer((request, response) => response.end(`for ${request.url}`))
  const path = join(folder, 'app.sock')
  http.listen(path)
  await once(http, 'listening')
  t.teardown(() => http.close())
  const local = route('e1', { kind: 'unix', path })
  await proxy.hub.put(local)
  t.is(
    (await ask(`${proxy.url}${local.prefix}x`, { headers: { cookie: proxy.entry(local) } })).body,
    `for ${local.prefix}x`,
  )

  const rows: [name: string, key: Buffer, status: number][] = [
    ['the agent', agentKey(proxy.agentsKey, 'e2'), 200],
    ['an impostor with the key of another', agentKey(proxy.agentsKey, 'e3'), 503],
    ['an impostor with a key of its own', randomBytes(32), 503],
  ]
  for (const [index, [name, key, status]] of rows.entries()) {
    const tls = createTlsServer(
      pskServer(() => key),
      (socket) => http.emit('connection', socket),
    )
    const port = await listen(t, tls)
    const to = route('e2', { kind: 'psk', host: '127.0.0.1', port, identity: 'e2' }, { generation: index + 1 })
    await proxy.hub.put(to)
    const reply = await ask(`${proxy.url}${to.prefix}`, { headers: { cookie: proxy.entry(to) } })
    t.is(reply.status, status, name)
  }
})

test('a new generation never sees a connection of the one before', async (t) => {
  const ports: number[] = []
  const behind = await upstream(t, (request, response) => {
    ports.push(request.socket.remotePort ?? 0)
    response.end('ok')
  })
  const one = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [one] })
  const get = (): Promise<unknown> => ask(`${proxy.url}${one.prefix}`, { headers: { cookie: proxy.entry(one) } })
  await get()
  await get()
  await proxy.hub.put({ ...one, generation: 2 })
  await get()
  t.is(ports[0], ports[1], 'kept')
  t.not(ports[1], ports[2], 'not kept across generations')
})

test('WebSockets: large messages, both directions, and 30 readers that leave in mid-stream', async (t) => {
  const behind = await upstream(t, (_request, response) => response.end())
  const sockets = new WebSocketServer({ server: behind.server, maxPayload: 2 ** 28 })
  let flooding = 0
  sockets.on('connection', (socket, request) => {
    socket.on('error', () => {})
    if (!request.url?.endsWith('/flood')) {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
      return
    }
    flooding += 1
    const block = Buffer.alloc(mebibyte)
    const go = (): void => {
      if (socket.readyState === WebSocket.OPEN && socket.bufferedAmount < 8 * mebibyte) socket.send(block, go)
    }
    for (let index = 0; index < 4; index += 1) go()
    const timer = setInterval(go, 50)
    socket.on('close', () => clearInterval(timer))
  })
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const options = { headers: { cookie: proxy.entry(to) }, maxPayload: 2 ** 28 }
  const echo = new WebSocket(`ws://127.0.0.1:${proxy.port}${to.prefix}echo`, options)
  await once(echo, 'open')
  for (const size of [0, 1, 125, 126, 65_535, 65_536, 5 * mebibyte]) {
    const data = randomBytes(size)
    echo.send(data)
    const [back] = (await once(echo, 'message')) as [Buffer]
    t.true(back.equals(data), `${size} bytes`)
  }
  const closed = once(echo, 'close')
  echo.close(4001, 'bye')
  t.is(((await closed) as [number])[0], 4001)

  const readers = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${to.prefix}flood`, options)
      socket.on('error', () => {})
      await once(socket, 'open')
      // It no longer reads: back-pressure reaches the server.
      socket.pause()
      return socket
    }),
  )
  t.is(flooding, 30)
  await sleep(1_000)
  for (const reader of readers) reader.terminate()
  await until(
    'nothing is left behind',
    () => new Promise<boolean>((resolve) => behind.server.getConnections((_error, count) => resolve(count === 0))),
    { timeoutMs: 10_000 },
  )
})

test('activity counts what a person does, once in a while', async (t) => {
  const behind = await upstream(t, (_request, response) => response.end())
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => socket.on('message', () => socket.send('x')))
  const [quiet, typed, posted] = ['e1', 'e2', 'e3'].map((id) => route(id, behind.target))
  if (quiet === undefined || typed === undefined || posted === undefined) return t.fail()
  const proxy = await startProxy(t, {}, { routes: [quiet, typed, posted] })
  const open = async (to: typeof quiet): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${to.prefix}`, { headers: { cookie: proxy.entry(to) } })
    await once(socket, 'open')
    return socket
  }
  const [one, two] = [await open(quiet), await open(typed)]
  one.ping()
  await ask(`${proxy.url}${quiet.prefix}`, { headers: { cookie: proxy.entry(quiet) } })
  two.send('typed')
  await ask(`${proxy.url}${posted.prefix}`, { method: 'POST', headers: { cookie: proxy.entry(posted) } })
  await until('it is told', () => Object.keys(proxy.hub.activity).length > 0, { timeoutMs: 30_000 })
  t.deepEqual(Object.keys(proxy.hub.activity).toSorted(), ['e2', 'e3'])
  one.close()
  two.close()
  return undefined
})

test('a long download and a long upload are told apart from activity; an event stream is neither', async (t) => {
  const behind = await upstream(t, (request, response) => {
    if (request.method === 'PUT') return void request.resume()
    const isEvents = request.url?.endsWith('/events') === true
    const part = isEvents ? ': beat\n\n' : Buffer.alloc(65_536)
    const timer = setInterval(() => response.write(part), 250)
    response.on('close', () => clearInterval(timer))
    return undefined
  })
  const [down, up, events] = ['e1', 'e2', 'e3'].map((id) => route(id, behind.target))
  if (down === undefined || up === undefined || events === undefined) return t.fail()
  const proxy = await startProxy(t, {}, { routes: [down, up, events] })
  const asking = [down, up, events].map((to) => {
    const path = to === events ? 'events' : ''
    const asked = httpRequest(`${proxy.url}${to.prefix}${path}`, {
      method: to === up ? 'PUT' : 'GET',
      headers: { cookie: proxy.entry(to) },
    })
    asked.on('error', () => {})
    asked.on('response', (response) => response.on('error', () => {}).resume())
    return asked
  })
  const sending = setInterval(() => asking[1]?.write(Buffer.alloc(65_536)), 250)
  for (const each of [asking[0], asking[2]]) each?.end()
  await until('both are told', () => Object.keys(proxy.hub.transfers).length > 1, { timeoutMs: 90_000 })
  t.regex(await proxy.control('/metrics'), /hutch_proxy_transfers 2\n/)
  clearInterval(sending)
  for (const each of asking) each.destroy()
  t.deepEqual(Object.keys(proxy.hub.transfers).toSorted(), ['e1', 'e2'])
  // That somebody sent it is activity, once.
  t.deepEqual(Object.keys(proxy.hub.activity), ['e2'])
  return undefined
})

test('a request behind the end of an upload is read as it was sent, however much else goes on', async (t) => {
  const behind = await upstream(t, (request, response) => {
    request.resume()
    request.on('end', () => response.end(request.method === 'PUT' ? 'put' : request.url))
  })
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const cookie = `Host: 127.0.0.1\r\nCookie: ${proxy.entry(to)}\r\n`
  const size = 2 * mebibyte
  const round = async (name: string): Promise<string> => {
    const put = Buffer.from(`PUT ${to.prefix} HTTP/1.1\r\n${cookie}Content-Length: ${size}\r\n\r\n`)
    const next = Buffer.from(`GET ${to.prefix}${name.repeat(40)} HTTP/1.1\r\n${cookie}Connection: close\r\n\r\n`)
    return await raw(proxy.port, Buffer.concat([put, Buffer.alloc(size, name), next]))
  }
  for (let index = 0; index < 12; index += 1) {
    const names = Array.from({ length: 8 }, (_, each) => String.fromCodePoint(97 + ((index + each) % 26)))
    const answers = await Promise.all(names.map(round))
    for (const [each, answer] of answers.entries()) {
      t.true(answer.includes(`${to.prefix}${names[each]?.repeat(40)}`), answer.slice(-200))
    }
  }
})

test('server-sent events arrive one by one, as they are sent', async (t) => {
  let next = (): void => {}
  const behind = await upstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.flushHeaders()
    let sent = 0
    next = () => response.write(`data: ${(sent += 1)}\n\n`)
  })
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const asking = httpRequest(`${proxy.url}${to.prefix}`, { headers: { cookie: proxy.entry(to) } }).end()
  asking.on('error', () => {})
  const [response] = (await once(asking, 'response')) as [NodeJS.ReadableStream]
  response.on('error', () => {})
  let got = ''
  response.on('data', (data: Buffer) => (got += data.toString()))
  for (let index = 1; index <= 5; index += 1) {
    next()
    await until(`event ${index}`, () => got.endsWith(`data: ${index}\n\n`))
  }
  asking.destroy()
  t.pass()
})
