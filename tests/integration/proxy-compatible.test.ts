/** In place of configurable-http-proxy: its REST API, its options, and what a hub that was made for it sees. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import {
  createServer as createHttpsServer,
  request as httpsRequest,
  type RequestOptions as HttpsOptions,
} from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import test from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { startCompatible } from '../support/compatible.ts'
import { authority } from '../support/certificate.ts'
import { available, program } from '../support/component.ts'
import { ask, raw, upstream } from '../support/proxy.ts'
import { freePort } from '../support/hutch.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const project = new URL('../..', import.meta.url).pathname

/** What it says when it can not start; ended when it does. */
async function refusedStart(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [join(project, 'proxy/main.ts'), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  return { code, output }
}

test('the REST API, row by row', async (t) => {
  const behind = await upstream(t, (request, response) => response.end(`first ${request.url}`))
  const other = await upstream(t, (request, response) => response.end(`second ${request.url}`))
  const proxy = await startCompatible(t)
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

  const plain = await startCompatible(t, [
    '--error-target',
    `http://127.0.0.1:${pages.port}/errors`,
    '--custom-header',
    'X-Site: one',
  ])
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
  const bent = await startCompatible(t, [
    '--error-path',
    join(folder, 'pages'),
    '--no-include-prefix',
    '--no-prepend-path',
    '--no-x-forward',
    '--change-origin',
    '--auto-rewrite',
    '--pid-file',
    join(folder, 'pid'),
  ])
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

  const hosts = await startCompatible(t, ['--host-routing', '--default-target', target])
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
  const proxy = await startCompatible(t, ['--routes-file', join(folder, 'routes.json')])
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
    [['--ssl-allow-rc4'], /RC4 is broken/],
    [['--socket', '/a', '--port', '1'], /--socket and --port can not both be given/],
    [['--api-socket', '/a', '--api-ip', 'x'], /--api-socket and --api-ip can not both be given/],
    [['--workers', '0'], /--workers 0: is not between 1 and 64/],
    [['--workers', '2', '--socket', '/a'], /a unix socket can not be shared/],
    [['--redirect-port', '80'], /--redirect-port needs --ssl-key and --ssl-cert/],
    [['--log-level', 'loud'], /is none of debug, info, warn, error/],
    [['--default-target', 'nowhere'], /--default-target nowhere: is not a URL/],
  ]
  for (const [args, says] of rows) {
    const { code, output } = await refusedStart(args)
    t.is(code, 2, args.join(' '))
    t.regex(output, says)
    t.notRegex(output, /\n {4}at /)
  }
})

test('several workers: a route that was answered is everywhere, activity arrives, one that dies is replaced', async (t) => {
  const behind = await upstream(t, (request, response) => response.end(`ok ${request.url}`))
  const target = `http://127.0.0.1:${behind.port}`
  const folder = await temporaryFolder(t)
  const routesFile = join(folder, 'routes.json')
  const metricsPort = await freePort()
  const metrics = ['--metrics-ip', '127.0.0.1', '--metrics-port', `${metricsPort}`]
  const proxy = await startCompatible(t, ['--workers', '3', '--routes-file', routesFile, ...metrics])
  const all = async (path: string): Promise<number[]> =>
    await Promise.all(Array.from({ length: 12 }, async () => (await ask(proxy.url + path)).status))
  for (let index = 0; index < 10; index += 1) {
    t.is((await proxy.api('POST', '/api/routes/a', { target })).status, 201)
    t.deepEqual(new Set(await all('/a')), new Set([200]))
    t.is((await proxy.api('DELETE', '/api/routes/a')).status, 204)
    t.deepEqual(new Set(await all('/a')), new Set([404]))
  }
  const paths = Array.from({ length: 50 }, (_, index) => `/api/routes/many/${index}`)
  const added = await Promise.all(paths.map((path) => proxy.api('POST', path, { target })))
  t.true(added.every(({ status }) => status === 201))
  t.is((JSON.parse(await readFile(routesFile, 'utf8')) as unknown[]).length, 50, 'all are on the disk when answered')

  const lastActivity = async (): Promise<string> =>
    (JSON.parse((await proxy.api('GET', '/api/routes/many/7')).body) as { last_activity: string }).last_activity
  const before = await lastActivity()
  t.is((await ask(`${proxy.url}/many/7/x`)).body, 'ok /many/7/x')
  await until('the activity arrives', async () => (await lastActivity()) > before, { timeoutMs: 20_000 })
  const counted = (await ask(`http://127.0.0.1:${metricsPort}/metrics`)).body
  t.regex(counted, /^api_route_add 60$/m)
  t.regex(counted, /^api_route_delete 10$/m)
  t.regex(counted, /^requests_api\{status="201"\} 60$/m)
  t.regex(counted, /^requests_web 241$/m)
  t.regex(counted, /^requests_proxy\{status="404"\} 120$/m)
  t.regex(counted, /^hutch_proxy_routes 50$/m)

  const workers = async (): Promise<number[]> => {
    const pid = proxy.process.pid ?? 0
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return children.split(' ').filter(Boolean).map(Number)
  }
  const [victim = 0] = await workers()
  process.kill(victim, 'SIGKILL')
  await until(
    'there are three again',
    async () => {
      const now = await workers()
      return now.length === 3 && !now.includes(victim) && (await all('/many/1')).every((status) => status === 200)
    },
    { timeoutMs: 30_000 },
  )
  await proxy.restart()
  t.deepEqual(new Set(await all('/many/49')), new Set([200]), 'kill -9: the routes are kept')
  const exit = once(proxy.process, 'exit')
  proxy.process.kill('SIGTERM')
  t.deepEqual(await exit, [0, null])
})

test('TLS as JupyterHub asks for it: of browsers, of the API with certificates of its own, to servers, locked keys', async (t) => {
  if (!available(t, 'openssl', program('openssl'), 'apt-get install openssl')) return
  const folder = await temporaryFolder(t)
  const { ca, sign } = await authority(folder)
  const locked = await sign('locked', { passphrase: 'a-passphrase' })
  const [api, client, server] = [await sign('api'), await sign('client'), await sign('server')]
  const read = async ({ cert, key }: typeof api): Promise<{ ca: Buffer; cert: Buffer; key: Buffer }> => ({
    ca: await readFile(ca),
    cert: await readFile(cert),
    key: await readFile(key),
  })
  const behind = createHttpsServer(
    { ...(await read(server)), requestCert: true, rejectUnauthorized: true },
    (request, response) =>
      response.end(`${String((request.socket as TLSSocket).getPeerCertificate().subject.CN)} asks`),
  )
  behind.listen(0, '127.0.0.1')
  await once(behind, 'listening')
  t.teardown(() => behind.close())
  const target = `https://127.0.0.1:${(behind.address() as { port: number }).port}`
  const files = (prefix: string, { cert, key }: typeof api): string[] =>
    `--${prefix}-key ${key} --${prefix}-cert ${cert} --${prefix}-ca ${ca}`.split(' ')
  const proxy = await startCompatible(
    t,
    [
      ...files('ssl', locked),
      ...files('api-ssl', api),
      ...files('client-ssl', client),
      '--api-ssl-request-cert',
      '--api-ssl-reject-unauthorized',
      '--client-ssl-request-cert',
      '--client-ssl-reject-unauthorized',
      '--ssl-protocol',
      'TLSv1_2',
      '--ssl-ciphers',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      '--default-target',
      target,
    ],
    { CONFIGPROXY_SSL_KEY_PASSPHRASE: 'a-passphrase' },
  )
  const secureAsk = async (
    port: number,
    path: string,
    options: HttpsOptions,
  ): Promise<{ status: number; body: string; cipher: string | undefined }> => {
    const headers = { authorization: 'token a-token' }
    const asking = httpsRequest({ host: '127.0.0.1', port, path, headers, agent: false, ...options }).end()
    const [response] = (await once(asking, 'response')) as [IncomingMessage]
    const cipher = (response.socket as TLSSocket).getCipher().standardName
    let body = ''
    for await (const chunk of response as AsyncIterable<Buffer>) body += chunk.toString()
    return { status: response.statusCode ?? 0, body, cipher }
  }
  const trusted = { ca: await readFile(ca) }
  t.deepEqual(await secureAsk(proxy.port, '/', trusted), {
    status: 200,
    body: 'client asks',
    cipher: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  })
  t.is((await secureAsk(proxy.apiPort, '/api/routes', await read(client))).status, 200)
  await t.throwsAsync(secureAsk(proxy.apiPort, '/api/routes', trusted), undefined, 'without a certificate')
  const other = await authority(await temporaryFolder(t))
  const stranger = { ...(await read(await other.sign('stranger'))), ...trusted }
  await t.throwsAsync(secureAsk(proxy.apiPort, '/api/routes', stranger), undefined, 'with that of a stranger')
  await t.throwsAsync(secureAsk(proxy.port, '/', { ...trusted, minVersion: 'TLSv1.3' }), undefined, 'another version')

  const rows: [args: string[], says: RegExp][] = [
    [files('ssl', locked), /locked\.key: is locked; CONFIGPROXY_SSL_KEY_PASSPHRASE/],
    [[...files('ssl', api), '--ssl-protocol', 'SSLv3'], /--ssl-protocol SSLv3: is not spoken here/],
    [[...files('ssl', api), '--ssl-ciphers', 'NONE-OF-THESE'], /--ssl-ciphers NONE-OF-THESE: names no cipher/],
    [[...files('ssl', api), '--ssl-dhparam', ca], /--ssl-dhparam \S+: holds no parameters/],
    [['--ssl-key', api.key, '--ssl-cert', client.cert], /is no certificate with its key/],
  ]
  for (const [args, says] of rows) {
    const { code, output } = await refusedStart(args)
    t.is(code, 2, args.join(' '))
    t.regex(output, says)
  }
})
