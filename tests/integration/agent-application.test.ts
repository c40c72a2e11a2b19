/** The application's life under the agent: started, reported, forwarded to, stopped. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import { agentHealthSchema, agentStatusSchema } from '../../images/agent/health.ts'
import { agentKey, pskClient } from '../../images/agent/link.ts'
import { readProcesses } from '../../images/agent/processes.ts'
import { askAgent, fakeHub, openingWebSocket, startAgent, webApplication, type RunningAgent } from '../support/agent.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const web = (mode?: string, file?: string) => ({ application: webApplication(mode, file) })

test('from the source, as from the bundle: starting, ready, ended are reported with the port', async (t) => {
  const source = [process.execPath, new URL('../../images/agent/main.ts', import.meta.url).pathname]
  for (const argv of [source, undefined]) {
    const agent = await startAgent(t, { bootstrap: web(), ...(argv ? { argv } : {}) })
    const port = await agent.untilReady()
    t.is((await agent.ask(agent.prefix)).body, 'here')
    const health = agentHealthSchema.parse(JSON.parse((await agent.ask('/_agent/health')).body))
    t.like(health, { id: agent.id, application: 'ready' })
    const status = agentStatusSchema.parse(JSON.parse((await agent.ask('/_agent/status')).body))
    t.true((status.usage?.memoryBytes ?? 0) > 1024 * 1024)
    t.is(await agent.stop(), 0)
    t.deepEqual(agent.hub.problems, [])
    t.deepEqual([...new Set(agent.hub.reports.map(({ application }) => application))], ['starting', 'ready', 'ended'])
    t.true(agent.hub.reports.every((report) => report.port === port && report.run === health.run))
  }
})

test('the command gets its placeholders, each within its own argument, and no shell', async (t) => {
  const file = join(await temporaryFolder(t), 'seen.json')
  const start = await temporaryFolder(t)
  const { argv, ...application } = webApplication('web', file)
  const more = ['{start}', '{home}/x', 'a {prefix} b', '{unknown}', '$(touch /x); `y` "z"']
  const agent = await startAgent(t, {
    bootstrap: { application: { ...application, argv: [...argv, ...more], directory: start } },
  })
  await agent.untilReady()
  const seen = JSON.parse(await readFile(file, 'utf8')) as { argv: string[]; directory: string }
  t.is(seen.directory, start)
  t.deepEqual(seen.argv.slice(5), [start, `${agent.folder}/x`, `a ${agent.prefix} b`, '{unknown}', more[4]])
})

test('what goes wrong is said in words, by the report and by the exit code', async (t) => {
  const folder = await temporaryFolder(t)
  const rows: readonly (readonly [title: string, bootstrap: Partial<AgentBootstrap>, code: number, message: RegExp])[] =
    [
      ['ends at once', web('exit'), 3, /ended with code 3\.\nthe licence server is away$/],
      ['never listens', { ...web('mute'), startTimeoutMs: 8_000 }, 1, /not ready within 8 s\.\nnever listening$/],
      [
        'no such command',
        { application: { ...webApplication(), argv: ['no-such-command-x'] } },
        127,
        /The command no-such-command-x is not there\./,
      ],
      [
        'no start folder',
        { application: { ...webApplication(), directory: join(folder, 'none') } },
        1,
        /The directory "start" \(.*none\) is not there\./,
      ],
      [
        'missing directories, all of them',
        {
          directories: [
            { name: 'home', path: folder, readOnly: false },
            { name: 'proposal 20260042, raw', path: join(folder, 'raw'), readOnly: true },
            { name: 'scratch', path: '/proc/version', readOnly: false },
          ],
        },
        1,
        /^The directory "proposal 20260042, raw" \(.*\/raw\) is not there\. The directory "scratch" .* is not a directory\.$/,
      ],
      ['a long socket folder', { ...web(), socketFolder: join(folder, 'x'.repeat(90)) }, 1, /has \d+ bytes; choose/],
    ]
  for (const [title, bootstrap, code, message] of rows) {
    const agent = await startAgent(t, { bootstrap })
    t.is(await agent.exit, code, title)
    const last = agent.hub.reports.at(-1)
    t.is(last?.application, 'failed', title)
    t.regex(last?.message ?? '', message, title)
  }
})

test('a broken bootstrap is one line without what it held', async (t) => {
  const key = randomBytes(32).toString('base64url')
  for (const bootstrap of [
    { key: `${key}x` },
    { prefix: '/' },
    { prefix: '/_agent/' },
    { startTimeoutMs: -1 },
    { id: 'É' },
  ]) {
    const agent = await startAgent(t, { bootstrap })
    t.is(await agent.exit, 1)
    t.regex(agent.output(), /^hutch-agent: [^\n]+\n$/)
    t.false(agent.output().includes(key))
  }
})

test('a socket folder that others could reach is refused; a private one is used and left clean', async (t) => {
  const folder = await temporaryFolder(t)
  const [open, link, own] = [join(folder, 'open'), join(folder, 'link'), join(folder, 'own')]
  await mkdir(open)
  await chmod(open, 0o755)
  await mkdir(own, { mode: 0o700 })
  await symlink(own, link)
  for (const [socketFolder, message] of [
    [open, /is open to others/],
    [link, /is not a folder/],
  ] as const) {
    const agent = await startAgent(t, { bootstrap: { ...web(), socketFolder } })
    t.is(await agent.exit, 1)
    t.regex(agent.hub.reports.at(-1)?.message ?? '', message)
  }
  await writeFile(join(own, 'app.sock'), 'left behind by a killed agent')
  await writeFile(join(own, 'kept'), '')
  const agent = await startAgent(t, { bootstrap: { ...web(), socketFolder: own } })
  await agent.untilReady()
  t.deepEqual((await readdir(own)).toSorted(), ['app.sock', 'kept', 'r'])
  t.is(await agent.stop(), 0)
  t.deepEqual(await readdir(own), ['kept'])
})

test('requests are streamed both ways with their headers, without those of one hop', async (t) => {
  const agent = await startAgent(t, { bootstrap: web() })
  await agent.untilReady()
  const headers = {
    host: 'hutch.example.org',
    'x-mine': ['1', '2'],
    connection: 'close, x-secret',
    'x-secret': 'y',
    te: 'trailers',
  }
  const answer = await agent.ask(`${agent.prefix}headers?a=%2e%2e&b=%00`, { headers })
  const { url, raw } = JSON.parse(answer.body) as { url: string; raw: string[] }
  t.is(url, `${agent.prefix}headers?a=%2e%2e&b=%00`)
  t.deepEqual(raw.flatMap((text, i) => (i % 2 === 0 ? [`${text.toLowerCase()}: ${raw[i + 1]}`] : [])).toSorted(), [
    'connection: keep-alive',
    'host: hutch.example.org',
    'x-mine: 1',
    'x-mine: 2',
  ])
  t.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2'])
  const body = randomBytes(8 * 1024 * 1024).toString('base64')
  const expected = createHash('sha256').update(body).digest('hex')
  for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
    t.is((await agent.ask(`${agent.prefix}digest`, { method: 'POST', body, headers })).body, expected)
  }
})

test('a body that stops half-way does not look whole', async (t) => {
  const agent = await startAgent(t, { bootstrap: web() })
  await agent.untilReady()
  await t.throwsAsync(agent.ask(`${agent.prefix}broken`))
  t.is((await agent.ask(agent.prefix)).status, 200)
})

test('a slow reader holds the application back, and its end ends the request there', async (t) => {
  const agent = await startAgent(t, { bootstrap: web() })
  const port = await agent.untilReady()
  const path = `${agent.prefix}endless`
  const asking = request({ ...pskClient(agent.id, agent.key), host: '127.0.0.1', port, path, agent: false })
  asking.on('error', () => undefined)
  asking.end()
  await once(asking, 'response')
  await sleep(1_500)
  asking.destroy()
  const [, poured = ''] = await until('the application is told', () => /poured (\d+)/.exec(agent.output()))
  // What the sockets on the way hold; without back-pressure it would be gigabytes.
  t.true(Number(poured) < 64 * 1024 * 1024, poured)
})

test('WebSockets go through whole, and a refusal keeps its answer', async (t) => {
  const agent = await startAgent(t, { bootstrap: web() })
  const port = await agent.untilReady()
  const link = { id: agent.id, key: agent.key, port }
  const socket = await agent.webSocket(`${agent.prefix}ws`)
  const big = randomBytes(3 * 1024 * 1024)
  socket.send(big)
  const [echo] = (await once(socket, 'message')) as [Buffer]
  t.true(big.equals(echo))
  socket.close(4001)
  await once(socket, 'close')
  const refused = openingWebSocket(link, `${agent.prefix}refused`)
  const [, answer] = (await once(refused, 'unexpected-response')) as [unknown, { statusCode: number }]
  t.is(answer.statusCode, 403)
  const broken = await agent.webSocket(`${agent.prefix}ws`)
  broken.terminate()
  const stopped = await agent.webSocket(`${agent.prefix}ws`)
  const closed = once(stopped, 'close')
  t.is(await agent.stop(), 0)
  await closed
})

test('before it is ready the browser is told to come back', async (t) => {
  const agent = await startAgent(t, { bootstrap: web('mute') })
  const port = await agent.port()
  const answer = await agent.ask(agent.prefix)
  t.is(answer.status, 503)
  t.is(answer.headers['retry-after'], '1')
  t.is((await agent.ask('/_agent/health')).status, 503)
  const socket = openingWebSocket({ id: agent.id, key: agent.key, port }, `${agent.prefix}ws`)
  const [, refused] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
  t.is(refused.statusCode, 503)
})

test('a stop ends even what ignores it and what hid in a session of its own', async (t) => {
  const file = join(await temporaryFolder(t), 'pid')
  const agent = await startAgent(t, { bootstrap: { ...web('stubborn', file), stopTimeoutMs: 500 } })
  await agent.untilReady()
  const far = Number(await until('the far process is there', () => readFile(file, 'utf8').catch(() => '')))
  t.true((await readProcesses()).some(({ pid }) => pid === far))
  t.is(await agent.stop(), 0)
  await noneLeft(agent, [far])
  t.pass()
})

test('hanging up does nothing; SIGINT and the hub stop it as SIGTERM does', async (t) => {
  const agent = await startAgent(t, { bootstrap: web() })
  await agent.untilReady()
  agent.process.kill('SIGHUP')
  agent.process.stdout?.destroy()
  agent.process.stderr?.destroy()
  await sleep(200)
  t.is((await agent.ask(agent.prefix)).status, 200, 'it goes on when nobody reads its output')
  agent.process.kill('SIGINT')
  t.is(await agent.exit, 0)
  t.is(agent.hub.reports.at(-1)?.application, 'ended')
})

test('an application that dies takes the agent with it, and says how', async (t) => {
  const agent = await startAgent(t, { bootstrap: web() })
  await agent.untilReady()
  const all = await readProcesses()
  const application = all.find(({ parent }) => parent === agent.process.pid)
  process.kill(application?.pid ?? 0, 'SIGKILL')
  t.is(await agent.exit, 137)
  t.is(agent.hub.reports.at(-1)?.application, 'failed')
  t.regex(agent.hub.reports.at(-1)?.message ?? '', /was ended by SIGKILL/)
})

test('the environment goes on without its hub, and reports when it is back', async (t) => {
  const agentsKey = randomBytes(32)
  const hub = await fakeHub(t, agentsKey)
  hub.isAway = true
  const id = `away${process.pid}`
  const agent = await startAgent(t, { agentsKey, hub, bootstrap: { ...web(), id } })
  await until('the application is ready', () => /the application is ready/.test(agent.output()), { timeoutMs: 60_000 })
  const port = Number(/listens on 127\.0\.0\.1:(\d+)/.exec(agent.output())?.[1])
  t.is((await askAgent({ id, key: agentKey(agentsKey, id), port }, agent.prefix)).status, 200)
  await until('it says that the hub is away', () => /the hub can't be told: ECONNRESET/.test(agent.output()))
  t.deepEqual(hub.reports, [])
  hub.isAway = false
  await agent.untilReady()
  t.like(hub.reports.at(-1), { application: 'ready', port })
  await until('figures follow', () => (hub.reports.at(-1)?.usage?.memoryBytes ?? 0) > 0, { timeoutMs: 50_000 })
  await until('it says so', () => /the hub answers again/.test(agent.output()))
})

async function noneLeft(agent: RunningAgent, pids: readonly number[]): Promise<void> {
  await until('no process is left', async () => {
    const all = await readProcesses()
    if (all.some(({ pid }) => pids.includes(pid))) return false
    const marks = await Promise.all(all.map(({ pid }) => readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')))
    return marks.every((mark) => !mark.includes(`HUTCH_ENVIRONMENT=${agent.id}\0`))
  })
}
