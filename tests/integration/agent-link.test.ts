/** Who gets through the agent's door, and who gets nowhere. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { createServer } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { agentKey } from '../../images/agent/link.ts'
import { askAgent, openLink, startAgent, webApplication, type Link } from '../support/agent.ts'
import { available, program } from '../support/component.ts'
import { freePort } from '../support/hutch.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)

test('only the key of this environment opens the door', async (t) => {
  const agent = await startAgent(t)
  const port = await agent.untilReady()
  const { id, key, agentsKey } = agent
  const rows: readonly (readonly [title: string, link: Link])[] = [
    ['a random key', { id, key: randomBytes(32), port }],
    ['the key of another hub', { id, key: agentKey(randomBytes(32), id), port }],
    ['the key of another environment', { id, key: agentKey(agentsKey, 'e2'), port }],
    ['another environment, with its own key', { id: 'e2', key: agentKey(agentsKey, 'e2'), port }],
    ['another name with this key', { id: 'e2', key, port }],
    ['an empty key', { id, key: Buffer.alloc(0), port }],
    ['an empty name', { id: '', key, port }],
  ]
  for (const [title, link] of rows) await t.throwsAsync(askAgent(link, '/_agent/health'), undefined, title)
  await t.throwsAsync(fetch(`https://127.0.0.1:${port}/_agent/health`), undefined, 'TLS without a key')
  await t.throwsAsync(fetch(`http://127.0.0.1:${port}/_agent/health`), undefined, 'no TLS')
  t.is((await askAgent({ id, key, port }, '/_agent/health')).status, 200)
})

test('a reused port is not mistaken for the environment that had it', async (t) => {
  const agentsKey = randomBytes(32)
  const wanted = await freePort()
  const listen = { host: '127.0.0.1', ports: [wanted, wanted] as [number, number] }
  const first = await startAgent(t, { agentsKey, bootstrap: { listen } })
  t.is(await first.untilReady(), wanted)
  const old = { id: first.id, key: first.key, port: wanted }
  t.is((await askAgent(old, '/_agent/health')).status, 200)
  t.is(await first.stop(), 0)
  const second = await startAgent(t, { agentsKey, bootstrap: { listen } })
  t.is(await second.untilReady(), wanted)
  await t.throwsAsync(askAgent(old, '/_agent/health'))
  t.is((await second.ask('/_agent/health')).status, 200)
})

test('the first free port of a range is taken, and a full range is said in one line', async (t) => {
  const first = await startAgent(t)
  const taken = await first.untilReady()
  const second = await startAgent(t, { bootstrap: { listen: { host: '127.0.0.1', ports: [taken, taken + 200] } } })
  t.true((await second.untilReady()) > taken)
  const third = await startAgent(t, { bootstrap: { listen: { host: '127.0.0.1', ports: [taken, taken] } } })
  t.is(await third.exit, 1)
  t.is(third.output(), `hutch-agent: no port from ${taken} to ${taken} is free on 127.0.0.1\n`)
})

test('an impostor with a trusted certificate is no agent to the hub, and no hub to the agent', async (t) => {
  const impostor = await startImpostor(t)
  if (!impostor) return
  const { port, certificate, folder, requests } = impostor
  const client = { id: 'e1', key: randomBytes(32), port }
  // Without the key's options this certificate is good enough: that is what makes it an impostor.
  t.is((await fetchTrusting(certificate, port)).status, 200)
  const before = requests.length
  await t.throwsAsync(askAgent({ ...client }, '/x', { ca: certificate }))
  t.is(requests.length, before)

  const agent = await startAgent(t, {
    bootstrap: { report: { host: '127.0.0.1', port } },
    env: { NODE_EXTRA_CA_CERTS: join(folder, 'certificate.pem') },
  })
  await until("the agent says that it can't tell the hub", () => /the hub can't be told/.test(agent.output()))
  t.is(requests.length, before, 'not one byte of HTTP was sent to it')
})

test('strangers that hold connections open do not keep the proxy out', async (t) => {
  const agent = await startAgent(t)
  const port = await agent.untilReady()
  const held = await openLink({ id: agent.id, key: agent.key, port })
  t.teardown(() => held.destroy())
  const idle: Socket[] = []
  t.teardown(() => idle.forEach((socket) => socket.destroy()))
  for (let i = 0; i < 400; i += 1) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => socket.destroy())
    idle.push(socket)
    if (i % 50 === 0) await once(socket, 'connect')
  }
  await until(
    'the oldest were cut off',
    () => idle.filter(({ destroyed, readyState }) => destroyed || readyState === 'closed').length >= 200,
  )
  t.is((await agent.ask('/_agent/health')).status, 200)
  held.write('GET /_agent/health HTTP/1.1\r\nHost: a\r\n\r\n')
  const [answer] = (await once(held, 'data')) as [Buffer]
  t.regex(answer.toString(), /^HTTP\/1.1 200/, 'who showed the key before is not cut off')
})

test('garbage, before and after the key is shown, ends nothing but its own connection', async (t) => {
  const agent = await startAgent(t, { bootstrap: { application: webApplication() } })
  const port = await agent.untilReady()
  const link = { id: agent.id, key: agent.key, port }
  const rows: readonly (readonly [title: string, bytes: string | Buffer])[] = [
    ['nothing', ''],
    ['bytes', randomBytes(4_096)],
    ['NUL', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['no version', 'GET /\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde'],
    [
      'length and chunks',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a bad chunk', `POST ${agent.prefix}digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`],
    ['a huge header', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(200_000)}\r\n\r\n`],
    ['a huge path', `GET ${agent.prefix}${'x'.repeat(200_000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a header with a line break', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\n\r\n'],
    [
      'an upgrade to nonsense',
      `GET ${agent.prefix} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: nonsense\r\n\r\n`,
    ],
    ['a bare upgrade', `GET ${agent.prefix} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`],
    ['CONNECT', 'CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a path of another scheme', 'GET ftp://x/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ]
  for (const [title, bytes] of rows) {
    const socket = await openLink(link)
    socket.on('error', () => socket.destroy())
    socket.write(bytes)
    await Promise.race([new Promise((resolve) => socket.once('data', resolve).once('close', resolve)), sleep(300)])
    socket.destroy()
    const raw = connect(port, '127.0.0.1')
    raw.on('error', () => raw.destroy())
    raw.end(bytes)
    raw.resume()
    t.is((await agent.ask('/_agent/health')).status, 200, title)
  }
  t.notRegex(agent.output(), /unexpected/)
})

test("the hub's own door is not below what browsers may ask for", async (t) => {
  const agent = await startAgent(t, { bootstrap: { application: webApplication() } })
  await agent.untilReady()
  const paths = [
    '_agent/stop',
    '../_agent/stop',
    '..%2f_agent/stop',
    '%2e%2e/_agent/stop',
    '/_agent/stop',
    '_hutch/../_agent/stop',
  ]
  for (const path of paths) {
    const answer = await agent.ask(`${agent.prefix}${path}`, { method: 'POST' })
    t.not(answer.status, 202, path)
  }
  for (const url of [
    `http://a/_agent/stop`,
    `//_agent/stop`,
    '/_agent/../_agent/stop',
    '/%5fagent/stop',
    '/_agent/stop/',
  ]) {
    t.is((await agent.ask(url, { method: 'POST' })).status, 404, url)
  }
  t.is((await agent.ask('/_agent/stop')).status, 405)
  t.is((await agent.ask('/_agent/health')).status, 200, 'it still runs')
  t.is((await agent.ask('/_agent/stop', { method: 'POST' })).status, 202)
  t.is(await agent.exit, 0)
})

test('a neighbour on the same machine reaches neither the socket nor the agent', async (t) => {
  const setpriv = program('setpriv')
  if (!available(t, 'root', process.getuid?.() === 0, 'run the tests as root to be two users')) return
  if (!available(t, 'setpriv', setpriv, 'apt-get install util-linux')) return
  const file = join(await temporaryFolder(t), 'seen.json')
  const agent = await startAgent(t, { bootstrap: { application: webApplication('web', file) } })
  const port = await agent.untilReady()
  const { argv } = JSON.parse(await readFile(file, 'utf8')) as { argv: string[] }
  const socket = argv[3] ?? ''
  t.is((await stat(join(socket, '..'))).mode & 0o777, 0o700)
  const attempt = `
    import socket, sys
    for family, address in ((socket.AF_UNIX, sys.argv[1]), (socket.AF_INET, ('127.0.0.1', int(sys.argv[2])))):
        s = socket.socket(family)
        s.settimeout(5)
        try:
            s.connect(address)
            s.sendall(b'GET /user/alice/ HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')
            print('answer', s.recv(100))
        except Exception as error:
            print(type(error).__name__)`
  const python = program('python3', ['/usr/bin'])
  if (!available(t, 'Python 3', python, 'apt-get install python3')) return
  const code = attempt.replaceAll('\n    ', '\n')
  const asNeighbour = await run('setpriv', [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '/usr/bin/python3',
    '-c',
    code,
    socket,
    String(port),
  ])
  const [byPath = '', byPort = ''] = asNeighbour.stdout.trim().split('\n')
  t.is(byPath, 'PermissionError')
  t.notRegex(byPort, /HTTP\/1.1 200/)
  const asOwner = await run('/usr/bin/python3', ['-c', code, socket, String(port)])
  t.regex(asOwner.stdout, /^answer b'HTTP\/1.1 200/, 'the attempt itself works for who may')
})

async function fetchTrusting(ca: string, port: number): Promise<{ status: number }> {
  const { request } = await import('node:https')
  return await new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, ca, servername: 'localhost', agent: false }, (answer) => {
      answer.resume()
      resolve({ status: answer.statusCode ?? 0 })
    })
      .on('error', reject)
      .end()
  })
}

/** A server with a certificate for 127.0.0.1 that is trusted wherever `certificate` is. */
async function startImpostor(t: ExecutionContext) {
  if (!available(t, 'openssl', program('openssl'), 'apt-get install openssl')) return undefined
  const folder = await temporaryFolder(t)
  const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')]
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  await run('openssl', [...request.split(' '), ...names, '-keyout', keyFile, '-out', certificateFile])
  const certificate = await readFile(certificateFile, 'utf8')
  const requests: string[] = []
  const server = createServer({ key: await readFile(keyFile), cert: certificate }, (incoming, response) => {
    requests.push(incoming.url ?? '')
    response.writeHead(200).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, certificate, folder, requests }
}
