/** In place of configurable-http-proxy: its REST API, its options, and what a hub that was made for it sees. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { freePort } from '../support/hutch.ts'
import { ask, raw, upstream, type Reply } from '../support/proxy.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const project = new URL('../..', import.meta.url).pathname
const token = 'a-token'

interface Compatible {
  readonly url: string
  readonly port: number
  readonly process: ChildProcess
  output(): string
  api(method: string, path: string, body?: unknown, authorization?: string): Promise<Reply>
  restart(): Promise<void>
}

async function start(t: ExecutionContext, ...options: string[]): Promise<Compatible> {
  const [port, apiPort] = [await freePort(), await freePort()]
  const args = [
    '--ip',
    '127.0.0.1',
    '--port',
    `${port}`,
    '--api-ip',
    '127.0.0.1',
    '--api-port',
    `${apiPort}`,
    ...options,
  ]
  let output = ''
  let child: ChildProcess
  const begin = async (): Promise<void> => {
    const started = spawn(process.execPath, [join(project, 'bin/hutch-proxy.js'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CONFIGPROXY_AUTH_TOKEN: token },
    })
    child = started
    for (const stream of [started.stdout, started.stderr])
      stream.on('data', (data: Buffer) => (output += data.toString()))
    await until(
      'it listens',
      () => {
        if (started.exitCode !== null) throw new Error(output)
        return output.includes('Proxy API at')
      },
      { timeoutMs: 60_000 },
    )
  }
  const end = async (): Promise<void> => {
    if (child.exitCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
  await begin()
  t.teardown(async () => {
    await end()
    if (!t.passed) t.log(output)
  })
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    get process() {
      return child
    },
    output: () => output,
    api: (method, path, body, authorization = `token ${token}`) =>
      ask(`http://127.0.0.1:${apiPort}${path}`, {
        method,
        headers: { authorization },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    async restart() {
      await end()
      output = ''
      await begin()
    },
  }
}

test('the REST API, row by row', async (t) => {
  const behind = await upstream(t, (request, response) => response.end(`first ${request.url}`))
  const other = await upstream(t, (request, response) => response.end(`second ${request.url}`))
  const proxy = await start(t)
  const target = `http://127.0.0.1:${behind.port}`
  const rows: [name: string, status: number, method: string, path: string, body?: unknown, authorization?: string][] = [
    ['nothing there', 404, 'GET', '/api/routes/user/x'],
    ['without a token', 403, 'GET', '/api/routes', undefined, ''],
    ['with another token', 403, 'POST', '/api/routes/a', { target }, 'token wrong'],
    ['a target that is no string', 400, 'POST', '/api/routes/a', { target: 1 }],
    ['no target', 400, 'POST', '/api/routes/a', {}],
    ['no JSON', 400, 'POST', '/api/routes/a', 'nonsense'],
    ['null', 400, 'POST', '/api/routes/a', 'null'],
    ['a target of another scheme', 400, 'POST', '/api/routes/a', { target: 'file:///etc/passwd' }],
    ['a path that is not understood', 400, 'POST', '/api/routes/%zz', { target }],
    ['a body without end', 413, 'POST', '/api/routes/a', 'x'.repeat(2 ** 21)],
    ['another method', 405, 'PUT', '/api/routes/a', { target }],
    ['another resource', 404, 'GET', '/api/else'],
    ['added', 201, 'POST', '/api/routes/user/x', { target, user: 'x', extra: { a: 1 } }],
    ['added, encoded', 201, 'POST', '/api/routes/user/has%40/', { target }],
    ['the root', 201, 'POST', '/api/routes', { target: `http://127.0.0.1:${other.port}` }],
    ['there', 200, 'GET', '/api/routes/user/x/'],
    ['removed what is not there', 404, 'DELETE', '/api/routes/user/y'],
    ['a date that is none', 400, 'GET', '/api/routes?inactive_since=yesterday'],
  ]
  for (const [name, status, ...call] of rows) t.is((await proxy.api(...call)).status, status, name)

  const all = JSON.parse((await proxy.api('GET', '/api/routes')).body) as Record<string, Record<string, unknown>>
  t.deepEqual(Object.keys(all).toSorted(), ['/', '/user/has@', '/user/x'])
  t.like(all['/user/x'], { target, user: 'x', extra: { a: 1 } })
  t.true(Date.parse(String(all['/user/x']?.['last_activity'])) > 0)
  const later = new Date(Date.now() + 60_000).toISOString()
  t.is(
    Object.keys(JSON.parse((await proxy.api('GET', `/api/routes?inactive_since=${later}`)).body) as object).length,
    3,
  )
  t.is((await proxy.api('GET', '/api/routes?inactiveSince=2000-01-01T00:00:00Z')).body, '{}')

  const routed: [path: string, answer: string][] = [
    ['/user/x', 'first /user/x'],
    ['/user/x/lab?a=1', 'first /user/x/lab?a=1'],
    ['/user/xy', 'second /user/xy'],
    ['/user/has%40/a', 'first /user/has%40/a'],
    ['/user/has@/a', 'first /user/has@/a'],
    ['/', 'second /'],
  ]
  for (const [path, answer] of routed) t.is((await ask(proxy.url + path)).body, answer, path)
  t.is((await ask(`${proxy.url}/_chp_healthz`)).body, '{"status":"OK"}')
  t.is((await proxy.api('DELETE', '/api/routes/user/x')).status, 204)
  t.is((await ask(`${proxy.url}/user/x`)).body, 'second /user/x')
})

test('error pages, prefixes, hosts and headers, as the options say', async (t) => {
  const folder = await temporaryFolder(t)
  const pages = await upstream(t, (request, response) => response.end(`page for ${request.url}`))
  const behind = await upstream(t, (request, response) => {
    response.setHeader('location', `http://${request.headers.host ?? ''}/next`)
    response.end(JSON.stringify({ url: request.url, headers: request.headers }))
  })
  const target = `http://127.0.0.1:${behind.port}/base`
  const seen = async (
    url: string,
    headers: Record<string, string> = {},
  ): Promise<{ url: string; headers: Record<string, string> }> =>
    JSON.parse((await ask(url, { headers })).body) as { url: string; headers: Record<string, string> }

  const plain = await start(
    t,
    '--error-target',
    `http://127.0.0.1:${pages.port}/errors`,
    '--custom-header',
    'X-Site: one',
  )
  t.is((await ask(`${plain.url}/nobody?a=b`)).body, 'page for /errors/404?url=%2Fnobody%3Fa%3Db')
  await plain.api('POST', '/api/routes/gone', { target: 'http://127.0.0.1:1' })
  const gone = await ask(`${plain.url}/gone/x`)
  t.is(gone.status, 503)
  t.is(gone.body, 'page for /errors/503?url=%2Fgone%2Fx')
  await plain.api('POST', '/api/routes/app', { target })
  const one = await seen(`${plain.url}/app/x?y=1`, {
    cookie: 'hutch-entry=kept',
    authorization: 'token t',
    'x-forwarded-proto': 'https',
  })
  t.is(one.url, '/base/app/x?y=1')
  t.like(one.headers, {
    'x-site': 'one',
    cookie: 'hutch-entry=kept',
    authorization: 'token t',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': `127.0.0.1:${plain.port}`,
  })
  t.regex(
    await raw(
      plain.port,
      'GET /nobody HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      { enough: (text) => text.includes('\r\n\r\n') },
    ),
    /^HTTP\/1.1 404 [^]*Content-Length: 0/,
  )

  await mkdir(join(folder, 'pages'))
  await writeFile(join(folder, 'pages/404.html'), 'nobody here')
  await writeFile(join(folder, 'pages/error.html'), 'broken')
  const bent = await start(
    t,
    '--error-path',
    join(folder, 'pages'),
    '--no-include-prefix',
    '--no-prepend-path',
    '--no-x-forward',
    '--change-origin',
    '--auto-rewrite',
    '--pid-file',
    join(folder, 'pid'),
  )
  t.is((await ask(`${bent.url}/nobody`)).body, 'nobody here')
  await bent.api('POST', '/api/routes/gone', { target: 'http://127.0.0.1:1' })
  t.is((await ask(`${bent.url}/gone`)).body, 'broken')
  await bent.api('POST', '/api/routes/app', { target })
  const two = await seen(`${bent.url}/app/x?y=1`, { 'x-forwarded-for': '1.2.3.4' })
  t.is(two.url, '/x?y=1')
  t.is(two.headers['host'], `127.0.0.1:${behind.port}`)
  t.is(two.headers['x-forwarded-for'], '1.2.3.4')
  t.is(two.headers['x-forwarded-proto'], undefined)
  t.is((await ask(`${bent.url}/app/x`)).headers.location, `http://127.0.0.1:${bent.port}/next`)
  t.is(Number(await readFile(join(folder, 'pid'), 'utf8')) > 0, true)

  const hosts = await start(t, '--host-routing', '--default-target', target)
  await hosts.api('POST', '/api/routes/alice.example.org', { target: `http://127.0.0.1:${pages.port}` })
  t.is((await ask(`${hosts.url}/x`, { headers: { host: 'alice.example.org:99' } })).body, 'page for /x')
  t.is((await seen(`${hosts.url}/x`)).url, '/base/x')
  t.regex(hosts.output(), /Proxying http:\/\/127\.0\.0\.1:\d+ to http/)
})

test('WebSockets and unix sockets; activity; routes that outlive it', async (t) => {
  const folder = await temporaryFolder(t)
  const server = createServer((request, response) => response.end(`by socket ${request.url}`))
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const path = join(folder, 'app.sock')
  server.listen(path)
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const proxy = await start(t, '--routes-file', join(folder, 'routes.json'))
  await proxy.api('POST', '/api/routes/app', { target: `http+unix://${encodeURIComponent(path)}` })
  t.is((await ask(`${proxy.url}/app/x`)).body, 'by socket /app/x')
  const before = JSON.parse((await proxy.api('GET', '/api/routes/app')).body) as { last_activity: string }
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/app/ws`)
  await once(socket, 'open')
  socket.send('hello')
  const [data] = (await once(socket, 'message')) as [Buffer]
  t.is(data.toString(), 'hello')
  socket.terminate()
  const after = JSON.parse((await proxy.api('GET', '/api/routes/app')).body) as { last_activity: string }
  t.true(after.last_activity > before.last_activity)
  await proxy.restart()
  t.is((await ask(`${proxy.url}/app/x`)).body, 'by socket /app/x')
})

test('options that can not be are one line', async (t) => {
  const rows: [args: string[], says: RegExp][] = [
    [['--port', 'x'], /--port x: is not a number/],
    [['--nonsense'], /Unknown option '--nonsense'/],
    [['--storage-backend', 'x'], /--routes-file keeps routes/],
    [['--error-target', 'http://a', '--error-path', '/b'], /can not both be given/],
    [['--ssl-key', '/absent', '--ssl-cert', '/absent'], /\/absent: can not be read \(ENOENT\)/],
    [['--custom-header', 'x'], /is not "name: value"/],
  ]
  for (const [args, says] of rows) {
    const child = spawn(process.execPath, [join(project, 'proxy/main.ts'), ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let output = ''
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const [code] = (await once(child, 'close')) as [number]
    t.is(code, 2, args.join(' '))
    t.regex(output, says)
    t.notRegex(output, /\n {4}at /)
  }
})
