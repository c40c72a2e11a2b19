/** What operators see of the proxy: /health, /metrics, and the access log without a secret. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, raw, route, startProxy, upstream } from '../support/proxy.ts'
import { until } from '../support/until.ts'

test('health, every metric with its value, and log lines that name user and environment and no secret', async (t) => {
  t.timeout(120_000)
  const behind = await upstream(t, (asked, response) => {
    asked.resume()
    asked.on('end', () => {
      if (asked.url?.includes('/slow') !== true) response.end('x'.repeat(1_000))
    })
  })
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const odd = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end('nonsense\r\n\r\n'))
  })
  odd.listen(0, '127.0.0.1')
  await once(odd, 'listening')
  t.teardown(() => odd.close())
  const good = route('e1', behind.target)
  const gone = route('e2', { kind: 'http', url: 'http://127.0.0.1:1' })
  const garbled = route('e3', { kind: 'http', url: `http://127.0.0.1:${(odd.address() as { port: number }).port}` })
  const limits = { responseHeadMs: 1_500, headMs: 1_000, stallMs: 1_500 }
  const proxy = await startProxy(t, { limits }, { routes: [good, gone, garbled] })
  const at = (to: typeof good, path = ''): string => `${proxy.url}${to.prefix}${path}`
  const get = async (to: typeof good, path = '', headers: Record<string, string> = {}): Promise<number> =>
    (await ask(at(to, path), { headers: { cookie: proxy.entry(to), ...headers } })).status

  t.deepEqual(JSON.parse(await proxy.control('/health')), { status: 'ok', routes: 3, feed: true, workers: 1 })
  for (let index = 0; index < 3; index += 1) t.is(await get(good), 200)
  const posted = { method: 'POST', headers: { cookie: proxy.entry(good) }, body: 'y'.repeat(500) }
  t.is((await ask(at(good), posted)).status, 200)
  t.is(await get(gone), 503)
  t.is(await get(garbled), 502)
  t.is(await get(good, 'slow'), 504)
  t.is((await ask(at(good))).status, 401)
  await raw(proxy.port, 'nonsense\r\n\r\n', { end: true })
  await ask(`${proxy.url}/hub/home`)
  const leaving = request(at(good, 'slow'), { headers: { cookie: proxy.entry(good) } }).end()
  leaving.on('error', () => {})
  await sleep(300)
  leaving.socket?.resetAndDestroy()
  const socket = new WebSocket(at(good, 'ws').replace('http', 'ws'), { headers: { cookie: proxy.entry(good) } })
  await once(socket, 'open')
  socket.send('hello')
  await once(socket, 'message')

  const metrics = async (): Promise<Map<string, number>> =>
    new Map(
      (await proxy.control('/metrics'))
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
    )
  await until('the one who left is counted', async () =>
    (await metrics()).has('hutch_proxy_failures_total{cause="left"}'),
  )
  const open = await metrics()
  t.is(open.get('hutch_proxy_live{kind="websocket"}'), 1)
  t.is(open.get('hutch_proxy_live{kind="http"}'), 0)
  t.is(open.get('hutch_proxy_connections'), 1)
  socket.terminate()
  await until('the WebSocket is counted', async () =>
    (await metrics()).has('hutch_proxy_requests_total{kind="websocket",status="101",to="environment"}'),
  )
  const counted = await metrics()
  const wanted: [name: string, value: number][] = [
    ['hutch_proxy_requests_total{kind="http",status="200",to="environment"}', 4],
    ['hutch_proxy_requests_total{kind="http",status="200",to="hub"}', 1],
    ['hutch_proxy_requests_total{kind="http",status="503",to="environment"}', 1],
    ['hutch_proxy_requests_total{kind="websocket",status="101",to="environment"}', 1],
    ['hutch_proxy_failures_total{cause="unreachable"}', 1],
    ['hutch_proxy_failures_total{cause="garbled"}', 1],
    ['hutch_proxy_failures_total{cause="timeout"}', 1],
    ['hutch_proxy_failures_total{cause="notEntered"}', 1],
    ['hutch_proxy_failures_total{cause="left"}', 1],
    ['hutch_proxy_refused_total{status="400"}', 1],
    ['hutch_proxy_request_seconds_count', 10],
    ['hutch_proxy_request_seconds_bucket{le="+Inf"}', 10],
    ['hutch_proxy_routes', 3],
    ['hutch_proxy_feed_connected', 1],
    ['hutch_proxy_connections', 0],
    ['hutch_proxy_transfers', 0],
  ]
  for (const [name, value] of wanted) t.is(counted.get(name), value, name)
  t.true((counted.get('hutch_proxy_request_seconds_sum') ?? 0) >= 1.5)
  t.true((counted.get('hutch_proxy_request_seconds_bucket{le="1"}') ?? 0) <= 9, 'the slow one is beyond it')
  t.true((counted.get('hutch_proxy_received_bytes_total') ?? 0) >= 505)
  t.true((counted.get('hutch_proxy_sent_bytes_total') ?? 0) >= 4_005)
  for (const name of ['hutch_proxy_heap_bytes', 'hutch_proxy_resident_bytes', 'hutch_proxy_timers']) {
    t.true((counted.get(name) ?? 0) > 0, name)
  }
  t.true((counted.get('hutch_proxy_table_age_seconds') ?? -1) >= 0)

  const query = 'a-secret-in-a-query'
  const bearer = 'a-secret-in-a-field'
  await get(good, `lab?token=${query}`, { authorization: `Bearer ${bearer}`, referer: `http://h/?code=${query}` })
  await until('it is logged', () => proxy.output().includes('/user/alice/e1/lab'))
  const lines = proxy.output().split('\n').filter(Boolean)
  const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  t.like(
    entries.find(({ path }) => path === '/user/alice/e1/lab'),
    {
      level: 'info',
      msg: 'request',
      kind: 'http',
      method: 'GET',
      host: '127.0.0.1',
      status: 200,
      out: 1_000,
      from: '127.0.0.1',
      user: 'alice',
      role: 'owner',
      environment: 'e1',
    },
  )
  t.like(
    entries.find(({ kind }) => kind === 'websocket'),
    { status: 101, user: 'alice', environment: 'e1' },
  )
  for (const { time } of entries) t.false(Number.isNaN(Date.parse(String(time))))
  const secrets = [query, bearer, proxy.secret, proxy.entry(good).slice(20, 60)]
  const keys = [proxy.admissionKey, proxy.agentsKey].flatMap((key) => [key.toString('base64url'), key.toString('hex')])
  for (const secret of [...secrets, ...keys]) t.false(proxy.output().includes(secret))

  await proxy.hub.close()
  await until('the hub is missed', async () => (await metrics()).get('hutch_proxy_feed_connected') === 0)
  const before = (await metrics()).get('hutch_proxy_table_age_seconds') ?? 0
  await sleep(1_100)
  t.true(((await metrics()).get('hutch_proxy_table_age_seconds') ?? 0) >= before + 1, 'the table grows old')
  t.like(JSON.parse(await proxy.control('/health')), { status: 'ok', feed: false })
})

test('a transfer that stands still is broken off, whoever stopped; a silent WebSocket is not', async (t) => {
  t.timeout(60_000)
  const behind = await upstream(t, (asked, response) => {
    if (asked.method === 'PUT') return void asked.resume()
    if (asked.url?.endsWith('/endless') === true) {
      const go = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        response.once('drain', go)
      }
      return go()
    }
    response.write('x')
    return undefined
  })
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, { limits: { stallMs: 1_500 } }, { routes: [to] })
  const cookie = `Host: 127.0.0.1\r\nCookie: ${proxy.entry(to)}\r\n`
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${to.prefix}`, { headers: { cookie: proxy.entry(to) } })
  await once(socket, 'open')
  await raw(proxy.port, `PUT ${to.prefix} HTTP/1.1\r\n${cookie}Content-Length: 9\r\n\r\nabc`, { timeoutMs: 20_000 })
  const reader = request(`${proxy.url}${to.prefix}endless`, { headers: { cookie: proxy.entry(to) } }).end()
  const [response] = (await once(reader, 'response')) as [NodeJS.ReadableStream & { pause(): void }]
  response.on('error', () => {})
  response.pause()
  const live = async (): Promise<boolean> => /live\{kind="http"\} 0\n/.test(await proxy.control('/metrics'))
  await until('both are over', live, { timeoutMs: 30_000 })
  reader.destroy()
  socket.send('still here')
  const [data] = (await once(socket, 'message')) as [Buffer]
  t.is(data.toString(), 'still here')
  socket.terminate()
})
