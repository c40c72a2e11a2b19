/** Mixed traffic with aborts and route changes; what is left behind when it ends must be nothing. */
import { readdir, readlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, route, startProxy, upstream, type RunningProxy } from './proxy.ts'
import { until } from './until.ts'

const block = Buffer.alloc(65_536)

export async function soak(
  t: ExecutionContext,
  { rounds, roundMs }: { rounds: number; roundMs: number },
): Promise<void> {
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
  const steady = route('e1', behind.target)
  const gone = route('e2', { kind: 'http', url: 'http://127.0.0.1:1' })
  const proxy = await startProxy(t, { log: { access: false } }, { routes: [steady, gone] })
  const left: { sockets: number; heap: number }[] = []
  for (let round = 0; round < rounds; round += 1) {
    const until = performance.now() + roundMs
    const kinds = [plain, upload, leave, broken, websocket, nonsense]
    await Promise.all([
      ...kinds.flatMap((kind) => [1, 2, 3].map(() => again(until, () => kind(proxy, steady)))),
      again(until, () => plain(proxy, gone)),
      again(until, () => changes(proxy)),
    ])
    left.push(await quiet(proxy))
  }
  t.log(JSON.stringify(left))
  const [first, last] = [left[0], left.at(-1)]
  if (first === undefined || last === undefined) return t.fail()
  t.is(last.sockets, first.sockets, 'the same number of sockets')
  t.true(last.heap - first.heap < 8 * 2 ** 20, `the heap went from ${first.heap} to ${last.heap} bytes`)
  return undefined
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
async function quiet(proxy: RunningProxy): Promise<{ sockets: number; heap: number }> {
  for (const id of [...proxy.hub.routes.keys()].filter((each) => each.startsWith('r'))) await proxy.hub.delete(id)
  await until(
    'nothing is open',
    async () => {
      const metrics = await proxy.control('/metrics')
      return /hutch_proxy_connections 0\n/.test(metrics) && !/hutch_proxy_live\{[^}]*\} [1-9]/.test(metrics)
    },
    { timeoutMs: 60_000, everyMs: 200 },
  )
  // A crowd that comes and goes makes the proxy tidy up; connections kept for the next request end meanwhile.
  const crowd = await Promise.all(Array.from({ length: 300 }, () => opened(proxy.port)))
  await sleep(2_500)
  for (const socket of crowd) socket.destroy()
  await sleep(6_000)
  const heap = Number(/hutch_proxy_heap_bytes (\d+)/.exec(await proxy.control('/metrics'))?.[1])
  // The connection that asked for the figures may still be closing.
  const counts: number[] = []
  for (let look = 0; look < 5; look += 1) {
    await sleep(200)
    counts.push(await socketsOf(proxy.process.pid ?? 0))
  }
  return { sockets: Math.min(...counts), heap }
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
