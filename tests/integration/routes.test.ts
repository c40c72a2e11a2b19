/** The two private listeners: proxies follow the table, agents report; whoever has no key or secret gets nothing. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { WebSocket } from 'ws'
import { attachFeed, type FeedLimits } from '../../hub/http/feed.ts'
import { agentsServer } from '../../hub/http/agents.ts'
import { Problem } from '../../hub/domain/problem.ts'
import { createRouteTable } from '../../hub/reconcile/route-table.ts'
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import { claimBootstrap } from '../../images/agent/claim.ts'
import { agentKey, pskClient } from '../../images/agent/link.ts'
import { hubMessageSchema, type HubMessage, type Revocation, type Route } from '../../proxy/feed.ts'
import { portOf } from '../support/fakeAgents.ts'
import { silentLog } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const secret = 'only the proxies know this'

function route(id: string, generation = 1): Route {
  return {
    id,
    generation,
    prefix: `/user/alice/${id}/`,
    host: null,
    owner: { id: 'u', name: 'alice' },
    target: { kind: 'psk', host: '127.0.0.1', port: 4_000, identity: id },
  }
}

async function startFeed(t: ExecutionContext, limits: Partial<FeedLimits> = {}) {
  const saved: Revocation[] = []
  const activity: Readonly<Record<string, number>>[] = []
  const routes = createRouteTable({ save: async (each) => void saved.push(each), now: () => new Date() })
  const server = createServer((_request, response) => response.writeHead(404).end())
  const environments = { active: async (at: Readonly<Record<string, number>>) => void activity.push(at) }
  const feed = attachFeed(server, { routes, environments, secret, log: silentLog, limits })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `ws://127.0.0.1:${portOf(server)}/proxy/feed`
  t.teardown(() => {
    feed.close()
    server.closeAllConnections()
    server.close()
  })
  return { routes, saved, activity, url }
}

async function follow(t: ExecutionContext, url: string): Promise<{ socket: WebSocket; heard: HubMessage[] }> {
  const heard: HubMessage[] = []
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${secret}` } })
  socket.on('message', (data: Buffer) => heard.push(hubMessageSchema.parse(JSON.parse(data.toString()))))
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  return { socket, heard }
}

test('a proxy gets the whole table, then each change in order; settled waits for its word', async (t) => {
  const { routes, saved, activity, url } = await startFeed(t)
  routes.put(route('a'))
  await routes.settled(AbortSignal.timeout(1_000))
  const { socket, heard } = await follow(t, url)
  await until('the table came', () => heard.length === 1)
  routes.put(route('b'))
  routes.delete('a')
  routes.delete('never there')
  const revocation: Revocation = { kind: 'login', subject: 'l', at: Date.now(), until: Date.now() + 60_000 }
  await routes.revoke(revocation)
  await routes.revoke(revocation)
  await until('the changes came', () => heard.length === 4)
  t.deepEqual(
    heard.map(({ type }) => type),
    ['table', 'put', 'delete', 'revoke'],
  )
  t.deepEqual(heard.map(({ seq }) => seq).slice(1), [2, 3, 4])
  t.deepEqual(saved, [revocation, revocation])
  await t.throwsAsync(routes.settled(AbortSignal.timeout(50)), undefined, 'it has acknowledged nothing')
  const settled = routes.settled(AbortSignal.timeout(10_000))
  socket.send(JSON.stringify({ type: 'ack', seq: 4 }))
  await t.notThrowsAsync(settled)
  socket.send(JSON.stringify({ type: 'activity', at: { b: 5 } }))
  await until('the activity came', () => activity.length === 1)
  const again = await follow(t, url)
  await until('the table came again', () => again.heard.length === 1)
  const [table] = again.heard
  t.deepEqual(table?.type === 'table' && [table.routes.map(({ id }) => id), table.revocations.length], [['b'], 1])
})

test('a wrong secret, none, and another path get no table', async (t) => {
  const { url } = await startFeed(t)
  const rows: [string, string, Record<string, string>][] = [
    ['none', url, {}],
    ['wrong', url, { authorization: 'Bearer wrong' }],
    ['the secret without its scheme', url, { authorization: secret }],
  ]
  for (const [title, address, headers] of rows) {
    const socket = new WebSocket(address, { headers })
    const [error] = (await once(socket, 'error')) as [Error]
    t.regex(error.message, /401/, title)
  }
})

test('nonsense from a proxy cuts it; one that reads too slowly is cut and can come again', async (t) => {
  const { routes, url } = await startFeed(t, { mostWaitingBytes: 200_000, longestMessageBytes: 10_000 })
  for (const nonsense of ['no json', '{"type":"table"}', Buffer.from('{"type":"ack","seq":1}'), 'x'.repeat(20_000)]) {
    const { socket } = await follow(t, url)
    socket.send(nonsense)
    await once(socket, 'close')
  }
  const { socket } = await follow(t, url)
  socket.pause()
  const closed = once(socket, 'close')
  const name = 'x'.repeat(50_000)
  for (let index = 0; index < 400; index += 1) routes.put({ ...route('big', index), prefix: `/user/${name}/` })
  socket.resume()
  await closed
  await routes.settled(AbortSignal.timeout(5_000))
  const { heard } = await follow(t, url)
  await until('the table came', () => heard[0]?.type === 'table')
  t.pass()
})

const agentsKey = Buffer.alloc(32, 3)
const claimKey = Buffer.alloc(32, 4)
const report = { version: 1, port: 4_000, run: 'r', application: 'ready' }

async function startAgents(t: ExecutionContext) {
  const reports: { id: string; port: number; remoteAddress: string }[] = []
  const hungUp: string[] = []
  const asked: string[] = []
  const alive = new Set(['live', 'refused', 'broken', 'gone'])
  const server = agentsServer({
    notices: { of: () => Promise.resolve(undefined) },
    hungUp: (id) => void hungUp.push(id),
    agentKeyOf: (id) => (alive.has(id) ? agentKey(agentsKey, id) : undefined),
    environments: {
      async reported(id, { port }, remoteAddress) {
        if (id === 'refused') throw new Problem('forbidden', 'not from there')
        if (id === 'gone') throw new Problem('notFound', 'ended')
        if (id === 'broken') throw new Error('a secret of the database')
        reports.push({ id, port, remoteAddress })
      },
    },
    claims: {
      claimKeyOf: (id) => (id === 'live' || id === 'second' ? claimKey : undefined),
      async claimed(id) {
        asked.push(id)
        if (id === 'second' && asked.length === 1) throw new Problem('backendUnreachable', 'It does not run yet.')
        if (id === 'second') throw new Problem('conflict', 'Its key was given out already.')
        return { id } as unknown as AgentBootstrap
      },
    },
    log: silentLog,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: portOf(server), reports, hungUp, asked }
}

interface Sent {
  readonly id?: string
  readonly key?: Buffer
  readonly method?: string
  readonly path?: string
  readonly body?: string
}

async function send(port: number, sent: Sent): Promise<{ status: number; text: string } | string> {
  const {
    id = 'live',
    key = agentKey(agentsKey, id),
    method = 'POST',
    path = '/agent/report',
    body = JSON.stringify(report),
  } = sent
  return await new Promise((resolve) => {
    const call = request({ ...pskClient(id, key), host: '127.0.0.1', port, method, path, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    call.on('error', () => resolve('refused'))
    call.end(body)
  })
}

test('who an agent is, its key says; everything else is refused', async (t) => {
  const { port, reports } = await startAgents(t)
  const rows: [string, Sent, number | 'refused'][] = [
    ['a report', {}, 204],
    ['an environment that is not live', { id: 'dead' }, 'refused'],
    ['the key of another', { key: agentKey(agentsKey, 'refused') }, 'refused'],
    ['a key of its own', { key: Buffer.alloc(32, 9) }, 'refused'],
    ['a strange identity', { id: '../x', key: agentKey(agentsKey, '../x') }, 'refused'],
    ['a host that the backend did not observe', { id: 'refused' }, 403],
    ['one that ended in this moment', { id: 'gone' }, 410],
    ['a fault of ours', { id: 'broken' }, 500],
    ['another path', { path: '/agent/other' }, 404],
    ['a claim', { id: 'claim.live', key: claimKey, path: '/agent/claim' }, 200],
    ["a claim's key reports nothing", { id: 'claim.live', key: claimKey }, 404],
    ["an agent's key claims nothing", { path: '/agent/claim' }, 404],
    ["an agent's key is none of a claim", { id: 'claim.live', key: agentKey(agentsKey, 'live') }, 'refused'],
    ["a claim's key is none of an agent", { key: claimKey }, 'refused'],
    ['a claim of what was started without one', { id: 'claim.gone', key: claimKey, path: '/agent/claim' }, 'refused'],
    ['another method', { method: 'PUT' }, 405],
    ['no JSON', { body: 'x' }, 400],
    ['a field too many', { body: JSON.stringify({ ...report, host: '10.0.0.1' }) }, 400],
    ['a port that is none', { body: JSON.stringify({ ...report, port: 70_000 }) }, 400],
    ['too much', { body: JSON.stringify({ ...report, message: 'x'.repeat(70_000) }) }, 413],
  ]
  for (const [title, sent, expected] of rows) {
    const answer = await send(port, sent)
    t.is(typeof answer === 'string' ? answer : answer.status, expected, title)
    t.false(JSON.stringify(answer).includes('secret'), title)
  }
  t.deepEqual(reports, [{ id: 'live', port: 4_000, remoteAddress: '127.0.0.1' }])
})

test('an agent that hangs up is told of when it has no other connection; who only claims is none', async (t) => {
  const { port, hungUp } = await startAgents(t)
  const socketOf = async (id: string, key: Buffer): Promise<TLSSocket> => {
    const socket = connect({ ...pskClient(id, key), host: '127.0.0.1', port })
    await once(socket, 'secureConnect')
    // The server has it too when it has answered.
    socket.write('GET / HTTP/1.1\r\nHost: hub\r\n\r\n')
    await once(socket, 'data')
    return socket
  }
  const close = async (socket: TLSSocket): Promise<void> => {
    socket.destroy()
    await once(socket, 'close')
  }
  const key = agentKey(agentsKey, 'live')
  const [first, second] = [await socketOf('live', key), await socketOf('live', key)]
  await close(await socketOf('claim.live', claimKey))
  await close(first)
  await close(await socketOf('broken', agentKey(agentsKey, 'broken')))
  await until('the other one is told', () => hungUp.length === 1)
  t.deepEqual(hungUp, ['broken'])
  await close(second)
  await until('it is told', () => hungUp.length === 2)
  t.deepEqual(hungUp, ['broken', 'live'])
})

test('of two jobs with one claim the second gives up when it is told, and not while the hub can not tell', async (t) => {
  const { port, asked } = await startAgents(t)
  const source = join(await temporaryFolder(t), 'claim')
  const key = claimKey.toString('base64url')
  await writeFile(source, JSON.stringify({ version: 1, id: 'second', key, report: { host: '127.0.0.1', port } }))
  const said: string[] = []
  const claiming = claimBootstrap({ source, say: (line) => void said.push(line), retryMs: 1 })
  const error = await t.throwsAsync(claiming, {
    message: /does not give this environment its key: .*given out already/,
  })
  t.deepEqual(asked, ['second', 'second'])
  t.is(said.length, 1)
  t.false(`${error?.message}${said.join()}`.includes(key))
})

test('a client without a pre-shared key gets no connection', async (t) => {
  const { port } = await startAgents(t)
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'error')
  t.pass()
})
