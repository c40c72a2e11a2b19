/** The proxy at the edge: TLS of its own, a site's proxy in front of it, a path prefix. */
import { once } from 'node:events'
import { copyFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import { connect, createServer as createTlsServer } from 'node:tls'
import test from 'ava'
import { agentKey, pskServer } from '../../images/agent/link.ts'
import { certificate } from '../support/certificate.ts'
import { available, program } from '../support/component.ts'
import { freePort } from '../support/hutch.ts'
import { ask, route, startProxy, upstream } from '../support/proxy.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

async function subjectOf(port: number): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

test('TLS: cookies are Secure, old versions are refused, SIGHUP reads a new certificate', async (t) => {
  if (!available(t, 'openssl', program('openssl'), 'apt-get install openssl')) return
  const folder = await temporaryFolder(t)
  const tls = await certificate(folder, 'first')
  const behind = await upstream(t, (asked, response) => response.end(String(asked.headers['x-forwarded-proto'])))
  const to = route('e1', behind.target)
  const proxy = await startProxy(t, { tls, publicUrl: 'https://127.0.0.1' }, { routes: [to] })
  const get = async (headers: Record<string, string>): Promise<{ status: number; cookie: string; body: string }> =>
    await new Promise((resolve, reject) => {
      const options = {
        port: proxy.port,
        host: '127.0.0.1',
        path: to.prefix,
        headers,
        rejectUnauthorized: false,
        agent: false,
      }
      const asking = request(options, (response) => {
        let body = ''
        response.on('data', (data: Buffer) => (body += data.toString()))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, cookie: response.headers['set-cookie']?.[0] ?? '', body }),
        )
      })
      asking.on('error', reject)
      asking.end()
    })
  t.regex((await get({ accept: 'text/html' })).cookie, /; Secure; SameSite=Lax$/)
  t.is((await get({ cookie: proxy.entry(to) })).body, 'https')
  await t.throwsAsync(
    new Promise((resolve, reject) => {
      const socket = connect({
        port: proxy.port,
        host: '127.0.0.1',
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
        rejectUnauthorized: false,
      })
      socket.on('secureConnect', resolve)
      socket.on('error', reject)
    }),
  )
  await certificate(folder, 'second')
  proxy.process.kill('SIGHUP')
  await until('the new certificate is shown', async () => (await subjectOf(proxy.port)) === 'second')
  await writeFile(join(folder, 'cert.pem'), 'broken')
  proxy.process.kill('SIGHUP')
  await until('it says so', () => proxy.output().includes('the one before stays'))
  t.is(await subjectOf(proxy.port), 'second')
})

test('a new certificate is read by every worker when its files change, the key last', async (t) => {
  if (!available(t, 'openssl', program('openssl'), 'apt-get install openssl')) return
  const [folder, other] = [await temporaryFolder(t), await temporaryFolder(t)]
  const tls = await certificate(folder, 'first')
  const proxy = await startProxy(t, { tls, publicUrl: 'https://127.0.0.1', workers: 2 })
  t.is(await subjectOf(proxy.port), 'first')
  const next = await certificate(other, 'second')
  await copyFile(next.certificateFile, tls.certificateFile)
  // Seen in between, as a slow renewal has it.
  await until('it says that they do not fit', () => proxy.output().includes('the one before stays'), {
    timeoutMs: 40_000,
  })
  t.is(await subjectOf(proxy.port), 'first')
  await copyFile(next.keyFile, tls.keyFile)
  await until(
    'all workers show the new one',
    async () => {
      const seen = await Promise.all(Array.from({ length: 8 }, () => subjectOf(proxy.port)))
      return seen.every((name) => name === 'second')
    },
    { timeoutMs: 40_000, everyMs: 250 },
  )
})

test("IPv6: browsers, the hub's address, environments in clear and with a pre-shared key", async (t) => {
  const answer = (asked: IncomingMessage, response: ServerResponse): void =>
    void response.end(`${asked.headers.host} ${String(asked.headers['x-forwarded-for'])}`)
  const plain = createServer(answer).listen(0, '::1')
  await once(plain, 'listening')
  t.teardown(() => plain.close())
  const port = await freePort()
  const listen = { host: '::1', port }
  const proxy = await startProxy(t, { listen, publicUrl: `http://[::1]:${port}`, trustedProxies: ['fd00::/8'] })
  const secret = createTlsServer(
    pskServer(() => agentKey(proxy.agentsKey, 'e2')),
    (socket) => plain.emit('connection', socket),
  ).listen(0, '::1')
  await once(secret, 'listening')
  t.teardown(() => secret.close())
  const portOf = (server: { address(): unknown }): number => (server.address() as { port: number }).port
  const routes = [
    route('e1', { kind: 'http', url: `http://[::1]:${portOf(plain)}` }),
    route('e2', { kind: 'psk', host: '::1', port: portOf(secret), identity: 'e2' }),
  ]
  for (const to of routes) {
    await proxy.hub.put(to)
    const headers = { cookie: proxy.entry(to), origin: `http://[::1]:${port}`, 'x-forwarded-for': 'fd00::1' }
    const reply = await ask(`http://[::1]:${port}${to.prefix}`, { method: 'POST', headers })
    t.is(reply.body, `[::1]:${port} ::1`, to.target.kind)
  }
  t.is((await ask(`http://[::1]:${port}/hub/home`)).body, 'hub')
  t.is((await ask(`http://[::1]:${port}/hub/home`, { headers: { host: '[::2]' } })).status, 421)
})

test('a trusted proxy in front is believed, its last word alone; another one is not', async (t) => {
  const behind = await upstream(t, (asked, response) => response.end(JSON.stringify(asked.headers)))
  const to = route('e1', behind.target)
  const headers = {
    'x-forwarded-for': '6.6.6.6, 192.0.2.7',
    'x-forwarded-proto': 'http, https',
    'x-forwarded-host': 'evil, hub.example.org',
    'x-request-id': 'from-the-front',
  }
  for (const trusted of [true, false]) {
    const options = trusted ? { trustedProxies: ['127.0.0.0/8'], publicUrl: 'https://hub.example.org' } : {}
    const proxy = await startProxy(t, options, { routes: [to] })
    const origin = trusted ? 'https://hub.example.org' : proxy.url
    const reply = await ask(`${proxy.url}${to.prefix}`, {
      method: 'POST',
      headers: { ...headers, origin, cookie: proxy.entry(to) },
    })
    t.is(reply.status, 200)
    const seen = JSON.parse(reply.body) as Record<string, string>
    t.like(
      seen,
      trusted
        ? {
            'x-forwarded-for': '6.6.6.6, 192.0.2.7, 127.0.0.1',
            'x-real-ip': '192.0.2.7',
            'x-forwarded-proto': 'https',
            'x-forwarded-host': 'hub.example.org',
            'x-request-id': 'from-the-front',
          }
        : {
            'x-forwarded-for': '127.0.0.1',
            'x-real-ip': '127.0.0.1',
            'x-forwarded-proto': 'http',
            'x-forwarded-host': `127.0.0.1:${proxy.port}`,
          },
    )
    if (!trusted) t.not(seen['x-request-id'], 'from-the-front')
  }
})

test('under a path prefix the hub and the environments answer below it', async (t) => {
  const behind = await upstream(t, (asked, response) => response.end(asked.url))
  const to = route('e1', behind.target, { prefix: '/site/user/alice/e1/' })
  const proxy = await startProxy(t, { publicUrl: 'http://127.0.0.1/site/' }, { routes: [to] })
  const person = { accept: 'text/html', 'sec-fetch-mode': 'navigate' }
  t.is((await ask(`${proxy.url}/site/hub/home`)).body, 'hub')
  t.is((await ask(`${proxy.url}/site/`)).headers.location, 'http://127.0.0.1/site/hub/home')
  t.is((await ask(`${proxy.url}${to.prefix}x`, { headers: { cookie: proxy.entry(to) } })).body, `${to.prefix}x`)
  t.regex(
    (await ask(`${proxy.url}${to.prefix}`, { headers: person })).headers.location ?? '',
    /^http:\/\/127\.0\.0\.1\/site\/hub\/enter\?/,
  )
  t.regex(
    (await ask(`${proxy.url}/site/user/alice/e2/`, { headers: person })).headers.location ?? '',
    /\/site\/hub\/open\?/,
  )
  t.is((await ask(`${proxy.url}/hub/home`)).status, 404)
})
