/** How the proxy starts, drains, dies and comes back. */
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, route, startProxy, upstream } from '../support/proxy.ts'
import { freePort } from '../support/hutch.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const project = new URL('../..', import.meta.url).pathname

async function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [join(project, 'bin/hutch-proxy.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  return { code, output }
}

test('each thing that keeps it from starting is one line, without a stack', async (t) => {
  const folder = await temporaryFolder(t)
  const key = `${'A'.repeat(43)}\n`
  for (const name of ['admission', 'agents', 'secret']) await writeFile(join(folder, name), key, { mode: 0o600 })
  await writeFile(join(folder, 'short'), 'abc\n', { mode: 0o600 })
  await writeFile(join(folder, 'open'), key, { mode: 0o644 })
  await mkdir(join(folder, 'folder'))
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const port = (taken.address() as { port: number }).port
  const good = {
    listen: { host: '127.0.0.1', port: await freePort() },
    publicUrl: 'http://127.0.0.1:8000',
    hub: { socket: 'hub.sock' },
    feed: { socket: 'hub.sock', secretFile: 'secret' },
    admissionKeyFile: 'admission',
    agentsKeyFile: 'agents',
    snapshotFile: 'snapshot.json',
    control: { socket: 'control.sock' },
  }
  const rows: [name: string, configuration: object | string, says: RegExp][] = [
    [
      'a taken port',
      { ...good, listen: { host: '127.0.0.1', port } },
      /^127\.0\.0\.1:\d+ is taken by another program$/,
    ],
    ['no such address', { ...good, listen: { host: '192.0.2.1', port: 80 } }, /can not listen \(EADDRNOTAVAIL\)$/],
    ['a missing key', { ...good, admissionKeyFile: 'nothing' }, /nothing: can not be read \(ENOENT\)$/],
    ['a short key', { ...good, agentsKeyFile: 'short' }, /short: must hold 32 bytes in base64url$/],
    ['a key that others can read', { ...good, admissionKeyFile: 'open' }, /open: can be read by others; chmod 600/],
    ['a folder for a key', { ...good, admissionKeyFile: 'folder' }, /folder: can not be read \(EISDIR\)$/],
    ['no JSON', '{', /proxy\.json:\d+: is not YAML/],
    ['an unknown field', { ...good, drainMS: 1 }, /drainMS: is not known; did you mean drainMs\?$/],
    [
      'an unknown limit',
      { ...good, limits: { headByte: 1 } },
      /limits\.headByte: is not known; did you mean headBytes\?$/,
    ],
    [
      'a missing certificate',
      { ...good, tls: { certificateFile: 'c.pem', keyFile: 'k.pem' } },
      /c\.pem: can not be read/,
    ],
    [
      'a certificate that is none',
      { ...good, tls: { certificateFile: 'secret', keyFile: 'secret' } },
      /is no certificate with its key/,
    ],
    [
      'a trusted proxy that is no address',
      { ...good, trustedProxies: ['front'] },
      /front: is neither an address nor a range$/,
    ],
    [
      'a control socket in a folder that is not there',
      { ...good, control: { socket: 'no/c.sock' } },
      /c\.sock: can not listen/,
    ],
  ]
  for (const [name, configuration, says] of rows) {
    const text = typeof configuration === 'string' ? configuration : JSON.stringify(configuration)
    await writeFile(join(folder, 'proxy.json'), text)
    const { code, output } = await run('--config', join(folder, 'proxy.json'))
    t.is(code, 2, name)
    t.regex(output.trimEnd().split('\n').at(-1) ?? '', says, name)
    t.notRegex(output, /\n {4}at /, name)
  }
  await writeFile(join(folder, 'proxy.json'), JSON.stringify({ listen: { host: '', port: -1 }, workers: 0 }))
  const many = await run('--config', join(folder, 'proxy.json'))
  t.true(many.output.trim().split('\n').length > 5, 'all mistakes at once')
  t.regex((await run('--config', join(folder, 'absent.json'))).output, /absent\.json: can not be read \(ENOENT\)/)
  t.is((await run('--help')).code, 0)
})

test('SIGTERM finishes downloads and tells WebSockets; the deadline holds', async (t) => {
  let finish = (): void => {}
  const behind = await upstream(t, (request, response) => {
    response.writeHead(200, { 'content-length': 6 })
    response.write('abc')
    if (request.url?.endsWith('/slow')) finish = () => response.end('def')
  })
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => socket.on('error', () => {}))
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, { drainMs: 3_000 }, { routes: [to] })
  const headers = { cookie: proxy.entry(to) }
  const download = ask(`${proxy.url}${to.prefix}slow`, { headers })
  const never = ask(`${proxy.url}${to.prefix}never`, { headers }).then(
    () => 'whole',
    () => 'broken off',
  )
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${to.prefix}ws`, { headers })
  await once(socket, 'open')
  const closed = once(socket, 'close')
  await until('the download is under way', async () => /kind="http"} 2/.test(await proxy.control('/metrics')))
  const startedAt = performance.now()
  const stopped = proxy.stop()
  t.is(((await closed) as [number])[0], 1012)
  await t.throwsAsync(ask(`${proxy.url}/hub/home`), undefined, 'nobody new is let in')
  finish()
  t.is((await download).body, 'abcdef')
  t.is(await stopped, 0)
  t.is(await never, 'broken off')
  t.true(performance.now() - startedAt < 15_000)
})

for (const workers of [1, 2]) {
  test(`${workers} worker(s): three downloads to slow readers are finished after SIGTERM`, async (t) => {
    const size = 24 * 2 ** 20
    const behind = await upstream(t, (_request, response) => {
      response.writeHead(200, { 'content-length': size })
      const part = Buffer.alloc(2 ** 18, 7)
      let left = size
      const go = (): void => {
        while (left > 0) {
          left -= part.length
          if (!response.write(part)) return void response.once('drain', go)
        }
        response.end()
        return undefined
      }
      go()
    })
    const to = route('e1', behind.target)
    const proxy = await startProxy(t, { workers, drainMs: 60_000 }, { routes: [to] })
    let got = 0
    const headers = { cookie: proxy.entry(to) }
    const downloads = Array.from({ length: 3 }, async () => {
      const asked = request(`${proxy.url}${to.prefix}`, { headers, agent: false }).end()
      const [response] = (await once(asked, 'response')) as [IncomingMessage]
      let bytes = 0
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length
        got += chunk.length
        if (Math.floor(bytes / 2 ** 20) !== Math.floor((bytes - chunk.length) / 2 ** 20)) await sleep(50)
      }
      return bytes
    })
    await until('all are under way', () => got > 2 ** 20)
    const stopped = proxy.stop()
    t.deepEqual(await Promise.all(downloads), [size, size, size])
    t.is(await stopped, 0)
  })
}

test('kill -9, then the same routes from the disk, before the hub is back', async (t) => {
  const behind = await upstream(t, (_request, response) => response.end('ok'))
  const routes = Array.from({ length: 500 }, (_, index) => route(`e${index}`, behind.target))
  const proxy = await startProxy(t, {}, { routes })
  const [first, last] = [routes[0], routes.at(-1)]
  if (first === undefined || last === undefined) return t.fail()
  await proxy.hub.delete(first.id)
  await until(
    'the change is on the disk',
    // The file is written after the first table was acknowledged: it may not be there yet.
    async () => !(await readFile(join(proxy.folder, 'snapshot.json'), 'utf8').catch(() => '"e0"')).includes('"e0"'),
  )
  t.is((await stat(join(proxy.folder, 'snapshot.json'))).mode & 0o777, 0o600)
  await proxy.hub.close()
  await proxy.kill()
  await proxy.start()
  t.is((await ask(`${proxy.url}${last.prefix}`, { headers: { cookie: proxy.entry(last) } })).status, 200)
  t.is((await ask(`${proxy.url}${first.prefix}`, { headers: { cookie: proxy.entry(first) } })).status, 404)
  await proxy.kill()
  await writeFile(join(proxy.folder, 'snapshot.json'), '{"version":1,"routes":[{')
  await proxy.start()
  t.regex(proxy.output(), /the snapshot can not be read/)
  return undefined
})

test('a ticket can not be used again after the proxy was started anew', async (t) => {
  const behind = await upstream(t, (_request, response) => response.end('ok'))
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const nonce = 'n'.repeat(43)
  const body = new URLSearchParams({ ticket: proxy.ticket(to, nonce), next: to.prefix }).toString()
  const options = { method: 'POST', headers: { origin: proxy.url, cookie: `hutch-nonce=${nonce}` }, body }
  t.is((await ask(`${proxy.url}${to.prefix}_hutch/enter`, options)).status, 303)
  await proxy.kill()
  await proxy.start()
  t.is((await ask(`${proxy.url}${to.prefix}_hutch/enter`, options)).status, 403)
})

test('the feed: a gap or nonsense costs the connection, not the routes; a hub that comes back is followed', async (t) => {
  const behind = await upstream(t, (_request, response) => response.end('ok'))
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, {}, { routes: [to] })
  const works = async (): Promise<boolean> =>
    (await ask(`${proxy.url}${to.prefix}`, { headers: { cookie: proxy.entry(to) } })).status === 200
  for (const text of ['nonsense', '{"type":"delete","seq":99,"id":"e1"}', '{"type":"put","seq":1,"route":{}}']) {
    proxy.hub.sendRaw(text)
    await sleep(50)
    t.true(await works(), text)
    await until('it follows again', () => proxy.hub.followers() === 1)
  }
  const next = route('e2', behind.target)
  await proxy.hub.put(next)
  t.is((await ask(`${proxy.url}${next.prefix}`, { headers: { cookie: proxy.entry(next) } })).status, 200)
  const health = JSON.parse(await proxy.control('/health')) as { feed: boolean; routes: number }
  t.like(health, { feed: true, routes: 2 })
})
