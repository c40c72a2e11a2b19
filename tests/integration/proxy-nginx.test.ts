/** Behind a site's own reverse proxy: a real nginx that ends TLS and passes on a path prefix. */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { certificate } from '../support/certificate.ts'
import { available, program } from '../support/component.ts'
import { freePort } from '../support/hutch.ts'
import { route, startProxy, upstream } from '../support/proxy.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

/** As the documentation of a site has it: nothing is buffered, and who asks is told. */
async function startNginx(t: ExecutionContext, nginx: string, front: number, behind: number): Promise<void> {
  const folder = await temporaryFolder(t)
  const { certificateFile, keyFile } = await certificate(folder, 'front')
  await mkdir(join(folder, 'temporary'))
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const configuration = `
    daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log warn;
    events { worker_connections 256; }
    http {
      access_log off;
      ${paths.map((name) => `${name}_temp_path ${folder}/temporary/${name};`).join(' ')}
      map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
      upstream hutch { server 127.0.0.1:${behind}; keepalive 8; }
      server {
        listen 127.0.0.1:${front} ssl http2;
        ssl_certificate ${certificateFile}; ssl_certificate_key ${keyFile};
        client_max_body_size 0;
        location /site/ {
          proxy_pass http://hutch;
          proxy_http_version 1.1;
          proxy_buffering off; proxy_request_buffering off;
          proxy_set_header Host $http_host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_set_header X-Forwarded-Proto $scheme;
          proxy_set_header X-Forwarded-Host $http_host;
        }
      }
    }`
  await writeFile(join(folder, 'nginx.conf'), configuration)
  const child = spawn(nginx, ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')], {
    stdio: 'ignore',
  })
  t.teardown(async () => {
    if (child.exitCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await exit
  })
  await until('nginx listens', async () => {
    if (child.exitCode !== null) throw new Error(await readFile(join(folder, 'error.log'), 'utf8'))
    return await ask(`https://127.0.0.1:${front}/`).then(
      () => true,
      () => false,
    )
  })
}

interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

async function ask(
  url: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: object; body?: Buffer } = {},
): Promise<Reply> {
  const asked = request(url, { method, headers: { ...headers }, rejectUnauthorized: false, agent: false }).end(body)
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString('latin1')
  return { status: response.statusCode ?? 0, headers: response.headers, body: text }
}

test('nginx in front: entries, uploads, WebSockets, addresses and revocation, below its path prefix', async (t) => {
  const nginx = program('nginx')
  if (!available(t, 'nginx', nginx, 'apt-get install nginx-light')) return
  const front = await freePort()
  const origin = `https://127.0.0.1:${front}`
  const behind = await upstream(t, (asked, response) => {
    const hash = createHash('sha256')
    asked.on('data', (chunk: Buffer) => hash.update(chunk))
    asked.on('end', () => response.end(JSON.stringify({ headers: asked.headers, digest: hash.digest('hex') })))
  })
  const sockets = new WebSocketServer({ server: behind.server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const to = route('e1', behind.target, { prefix: '/site/user/alice/e1/' })
  const options = { publicUrl: `${origin}/site/`, trustedProxies: ['127.0.0.1'] }
  const proxy = await startProxy(t, options, { routes: [to] })
  await startNginx(t, nginx ?? '', front, proxy.port)

  t.is((await ask(`${origin}/site/hub/home`)).body, 'hub')
  t.is((await ask(`${origin}/site/`)).headers.location, `${origin}/site/hub/home`)
  const person = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'none' }
  const asked = await ask(`${origin}${to.prefix}lab`, { headers: person })
  t.true(asked.headers.location?.startsWith(`${origin}/site/hub/enter?environment=e1&`))
  const [, nonce = ''] = /^hutch-nonce=([^;]+);.* Secure/.exec(asked.headers['set-cookie']?.[0] ?? '') ?? []
  const form = new URLSearchParams({ ticket: proxy.ticket(to, nonce), next: `${to.prefix}lab` }).toString()
  const entered = await ask(`${origin}${to.prefix}_hutch/enter`, {
    method: 'POST',
    headers: { origin, cookie: `hutch-nonce=${nonce}`, 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form),
  })
  t.is(entered.status, 303)
  const entry = entered.headers['set-cookie']?.find((line) => line.startsWith('hutch-entry=')) ?? ''
  t.regex(entry, /; Path=\/site\/user\/alice\/e1\/; HttpOnly; Secure; SameSite=Lax$/)
  const cookie = entry.split(';', 1)[0] ?? ''

  const data = randomBytes(24 * 2 ** 20)
  const sent = await ask(`${origin}${to.prefix}files`, {
    method: 'PUT',
    headers: { cookie, origin, 'x-forwarded-for': '6.6.6.6' },
    body: data,
  })
  const seen = JSON.parse(sent.body) as { headers: Record<string, string>; digest: string }
  t.is(seen.digest, createHash('sha256').update(data).digest('hex'))
  t.is(seen.headers['x-forwarded-proto'], 'https')
  t.is(seen.headers['x-forwarded-host'], `127.0.0.1:${front}`)
  t.regex(seen.headers['x-forwarded-for'] ?? '', /, 127\.0\.0\.1, 127\.0\.0\.1$/, 'what nginx saw, then nginx')
  const foreign = await ask(`${origin}${to.prefix}`, { method: 'POST', headers: { cookie, origin: proxy.url } })
  t.is(foreign.status, 403, 'its address behind nginx is another origin')

  const address = `${origin.replace('https', 'wss')}${to.prefix}ws`
  const socket = new WebSocket(address, { headers: { cookie, origin }, rejectUnauthorized: false })
  await once(socket, 'open')
  socket.send(data.subarray(0, 2 ** 20))
  const [back] = (await once(socket, 'message')) as [Buffer]
  t.true(back.equals(data.subarray(0, 2 ** 20)))
  const closed = once(socket, 'close')
  const at = Date.now()
  await proxy.hub.revoke({ kind: 'login', subject: 'l-1', at, until: at + 60_000 })
  t.is(((await closed) as [number])[0], 1008)
  await until('it is logged with who asked', () => proxy.output().includes('"path":"/site/user/alice/e1/files"'))
  t.notRegex(proxy.output(), new RegExp(cookie.slice(20, 60)))
})
