/** Mixed traffic with aborts and route changes; what is left behind when it ends must be nothing. */
import { readdir, readlink } from 'node:fs/promises'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import type { Target } from '../../proxy/feed.ts'
import { certificate } from './certificate.ts'
import { available, program } from './component.ts'
import { ask, route, startProxy, upstream, type RunningProxy } from './proxy.ts'
import { temporaryFolder } from './temporary.ts'
import { until } from './until.ts'

const block = Buffer.alloc(65_536)

interface Length {
  readonly rounds: number
  readonly roundMs: number
}

interface Left {
  readonly sockets: number
  readonly timers: number
  readonly heap: number
}

export async function soak(t: ExecutionContext, length: Length): Promise<void> {
  const steady = route('e1', await mixedUpstream(t))
  const gone = route('e2', { kind: 'http', url: 'http://127.0.0.1:1' })
  const proxy = await startProxy(t, { log: { access: false } }, { routes: [steady, gone] })
  await inRounds(t, length, proxy, (until) => [
    ...[plain, upload, leave, broken, websocket, nonsense].flatMap((kind) =>
      [1, 2, 3].map(() => again(until, () => kind(proxy, steady))),
    ),
    again(until, () => plain(proxy, gone)),
    again(until, () => changes(proxy)),
  ])
}

/** The same by HTTP/2: sessions that come and go, requests that are taken back, downloads that are left. */
export async function soakHttp2(t: ExecutionContext, length: Length): Promise<void> {
  if (!available(t, 'openssl', program('openssl'), 'apt-get install openssl')) return
  const steady = route('e1', await mixedUpstream(t))
  const tls = await certificate(await temporaryFolder(t), 'soak')
  const options = { tls, publicUrl: 'https://127.0.0.1', log: { access: false } }
  const proxy = await startProxy(t, options, { routes: [steady] })
  await inRounds(t, length, proxy, (until) => [
    ...[1, 2, 3, 4].map(() => again(until, () => oneSession(proxy, steady))),
    again(until, () => nonsense(proxy)),
    again(until, () => changes(proxy)),
  ])
}

async function inRounds(
  t: ExecutionContext,
  { rounds, roundMs }: Length,
  proxy: RunningProxy,
  work: (until: number) => Promise<unknown>[],
): Promise<void> {
  const left: Left[] = []
  for (let round = 0; round < rounds; round += 1) {
    await Promise.all(work(performance.now() + roundMs))
    left.push(await quiet(proxy))
  }
  t.log(JSON.stringify(left))
  const [first, last] = [left[0], left.at(-1)]
  if (first === undefined || last === undefined) return t.fail()
  t.is(last.sockets, first.sockets, 'the same number of sockets')
  t.is(last.timers, first.timers, 'the same number of timers')
  t.true(last.heap - first.heap < 8 * 2 ** 20, `the heap went from ${first.heap} to ${last.heap} bytes`)
  return undefined
}

async function oneSession(proxy: RunningProxy, to: Route): Promise<void> {
  const session = connectHttp2(`https://127.0.0.1:${proxy.port}`, { rejectUnauthorized: false })
  const closed = new Promise((resolve) => session.once('close', resolve))
  session.on('error', () => {})
  const asked = ['', '', 'endless', 'break', 'upload'].map(async (path) => {
    const headers = { ':path': to.prefix + path, ':authority': '127.0.0.1', cookie: proxy.entry(to) }
    const stream = session.request({ ...headers, ...(path === 'upload' ? { ':method': 'POST' } : {}) })
    const over = new Promise((resolve) => stream.once('close', resolve))
    stream.on('error', () => {})
    stream.resume()
    if (path === 'upload') stream.end(block)
    if (path === 'endless') {
      await sleep(Math.random() * 50)
      stream.close(constants.NGHTTP2_CANCEL)
    }
    await over
  })
  if (Math.random() < 0.3) {
    await sleep(Math.random() * 30)
    session.destroy()
  } else {
    await Promise.all(asked)
    session.close()
  }
  await closed
}

async function mixedUpstream(t: ExecutionContext): Promise<Target> {
  const behind = await upstream(t, (request, response) => {
    if (request.url?.endsWith('/endless') === true) {
      const go = (): void => {
        while (!response.destroyed && response.write(block));
        response.once('drain', go)
      }
      return go()
    }
    if (request.url?.endsWith('/break') === true) return void response.write('x', () => request.socket.destroy())
    request.resume()
    request.on('end', () => response.end('ok'))
    return undefined
  })
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.on('message', (data) => socket.send(data))
  })
  return behind.target
}

async function again(until: number, work: () => Promise<unknown>): Promise<void> {
  while (performance.now() < until) {
    await work()
    await sleep(5)
  }
}

type Route = ReturnType<typeof route>
const urlOf = (proxy: RunningProxy, to: Route, path = ''): string => `${proxy.url}${to.prefix}${path}`

async function plain(proxy: RunningProxy, to: Route): Promise<void> {
  await ask(urlOf(proxy, to), { headers: { cookie: proxy.entry(to) } })
}

async function upload(proxy: RunningProxy, to: Route): Promise<void> {
  await ask(urlOf(proxy, to), { method: 'POST', headers: { cookie: proxy.entry(to) }, body: block })
}

/** In the middle of a download that would never end. */
async function leave(proxy: RunningProxy, to: Route): Promise<void> {
  const socket = connect(proxy.port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {})
  socket.write(`GET ${to.prefix}endless HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${proxy.entry(to)}\r\n\r\n`)
  await sleep(Math.random() * 50)
  if (Math.random() < 0.5) socket.end()
  socket.destroy()
  await closed
}

async function broken(proxy: RunningProxy, to: Route): Promise<void> {
  await ask(urlOf(proxy, to, 'break'), { headers: { cookie: proxy.entry(to) } }).catch(() => {})
}

async function websocket(proxy: RunningProxy, to: Route): Promise<void> {
  const socket = new WebSocket(urlOf(proxy, to, 'ws').replace('http', 'ws'), { headers: { cookie: proxy.entry(to) } })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {})
  socket.on('open', () => socket.send(block))
  await Promise.race([new Promise((resolve) => socket.once('message', resolve)), closed])
  if (Math.random() < 0.5) socket.close()
  else socket.terminate()
  await closed
}

async function nonsense(proxy: RunningProxy): Promise<void> {
  const socket = connect(proxy.port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {})
  socket.end(Math.random() < 0.5 ? 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX' : '\x16\x03\x01')
  socket.resume()
  await closed
}

async function changes(proxy: RunningProxy): Promise<void> {
  const to = route(
    `r${Math.floor(Math.random() * 50)}`,
    { kind: 'http', url: 'http://127.0.0.1:1' },
    { generation: Date.now() },
  )
  await proxy.hub.put(to)
  if (Math.random() < 0.9) await proxy.hub.delete(to.id)
}

/** When nothing goes on any more: what the process still holds. */
async function quiet(proxy: RunningProxy): Promise<Left> {
  for (const id of [...proxy.hub.routes.keys()].filter((each) => each.startsWith('r'))) await proxy.hub.delete(id)
  let open: readonly string[] = []
  const isQuiet = async (): Promise<boolean> => {
    const metrics = (await proxy.control('/metrics')).split('\n')
    open = metrics.filter((line) => /^hutch_proxy_(?:connections|live)\b.* [1-9]/.test(line))
    return metrics.includes('hutch_proxy_connections 0') && open.length === 0
  }
  await until('nothing is open', isQuiet, { timeoutMs: 60_000, everyMs: 200 }).catch((error: unknown) => {
    throw new Error(`this stayed open: ${open.join(', ')}`, { cause: error })
  })
  // A crowd that comes and goes makes the proxy tidy up; connections kept for the next request end meanwhile.
  const crowd = await Promise.all(Array.from({ length: 300 }, () => opened(proxy.port)))
  await sleep(2_500)
  for (const socket of crowd) socket.destroy()
  await sleep(6_000)
  // Those of TLS are given up when they have not greeted in time.
  await until('the crowd is gone', async () => (await socketsOf(proxy.process.pid ?? 0)) < crowd.length, {
    timeoutMs: 30_000,
    everyMs: 250,
  })
  const metrics = await proxy.control('/metrics')
  const heap = Number(/hutch_proxy_heap_bytes (\d+)/.exec(metrics)?.[1])
  const timers = Number(/hutch_proxy_timers (\d+)/.exec(metrics)?.[1])
  // The connection that asked for the figures may still be closing.
  const counts: number[] = []
  for (let look = 0; look < 5; look += 1) {
    await sleep(200)
    counts.push(await socketsOf(proxy.process.pid ?? 0))
  }
  return { sockets: Math.min(...counts), timers, heap }
}

async function opened(port: number): Promise<ReturnType<typeof connect>> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  return socket
}

async function socketsOf(pid: number): Promise<number> {
  const links = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  )
  return links.filter((link) => link.startsWith('socket:')).length
}
