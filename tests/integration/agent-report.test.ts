/** The agent's line to the hub: one connection, kept, and made anew whenever it was taken away. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { agentKey, pskServer } from '../../images/agent/link.ts'
import { createReportLine, type ReportLine } from '../../images/agent/report-line.ts'
import { until } from '../support/until.ts'

const agentsKey = randomBytes(32)
const report = { version: 1, port: 4_000, run: 'r', application: 'ready' } as const
type Handler = (request: IncomingMessage, response: ServerResponse) => void
const take: Handler = (_request, response) => void response.writeHead(204).end()

interface Listener {
  readonly server: Server
  readonly sockets: Set<Socket>
  readonly port: number
  connections: number
  handler: Handler
}

async function startListener(t: ExecutionContext, { port = 0, key = agentsKey } = {}): Promise<Listener> {
  const server = createServer(
    { ...pskServer((id) => agentKey(key, id)), keepAliveTimeout: 75_000 },
    (request, response) => {
      request.resume()
      request.on('end', () => listener.handler(request, response))
    },
  )
  const sockets = new Set<Socket>()
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.on('connection', (socket: Socket) => {
    listener.connections += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const listener: Listener = {
    server,
    sockets,
    port: (server.address() as AddressInfo).port,
    connections: 0,
    handler: take,
  }
  t.teardown(async () => await closed(listener))
  return listener
}

async function closed({ server, sockets }: Listener): Promise<void> {
  if (!server.listening) return
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
}

function lineTo(t: ExecutionContext, { port }: Listener): ReportLine {
  const line = createReportLine(
    {
      id: 'e1',
      key: agentKey(agentsKey, 'e1').toString('base64url'),
      report: { host: '127.0.0.1', port },
    },
    () => undefined,
  )
  t.teardown(() => line.close())
  return line
}

test('reports share one connection, also when the hub refuses one', async (t) => {
  const hub = await startListener(t)
  const line = lineTo(t, hub)
  for (let count = 0; count < 5; count += 1) t.is(await line.post(report), undefined)
  hub.handler = (_request, response) => void response.writeHead(410).end('This environment has ended.')
  t.is(await line.post(report), 'it answers 410')
  hub.handler = take
  t.is(await line.post(report), undefined)
  t.is(hub.connections, 1)
  line.close()
  await until('its connection is closed', () => hub.sockets.size === 0)
})

test('a connection that was taken away while nobody spoke is no news', async (t) => {
  const hub = await startListener(t)
  const line = lineTo(t, hub)
  t.is(await line.post(report), undefined)
  for (const socket of hub.sockets) socket.resetAndDestroy()
  t.is(await line.post(report), undefined)
  // The hub hangs up in the moment in which it is spoken to.
  hub.handler = (request) => {
    hub.handler = take
    request.socket.destroy()
  }
  t.is(await line.post(report), undefined)
  t.is(hub.connections, 3)
  hub.handler = (request) => void request.socket.destroy()
  t.is(await line.post(report), 'ECONNRESET', 'once more, and no oftener')
  t.is(hub.connections, 4)
})

test('who takes the place of the hub needs its key', async (t) => {
  const hub = await startListener(t)
  const line = lineTo(t, hub)
  t.is(await line.post(report), undefined)
  await closed(hub)
  t.is(await line.post(report), 'ECONNREFUSED')
  const impostor = await startListener(t, { port: hub.port, key: randomBytes(32) })
  impostor.handler = () => t.fail('a stranger was told')
  t.is(typeof (await line.post(report)), 'string')
  await closed(impostor)
  await startListener(t, { port: hub.port })
  t.is(await line.post(report), undefined)
})

test('an answer that does not end is hung up on, and the report counts', async (t) => {
  const hub = await startListener(t)
  const line = lineTo(t, hub)
  let isCut = false
  hub.handler = (_request, response) => {
    response.writeHead(200)
    response.on('close', () => (isCut = true))
    const more = (): void => {
      if (!response.destroyed) response.write('x'.repeat(65_536), () => setImmediate(more))
    }
    more()
  }
  t.is(await line.post(report), undefined)
  await until('it is cut off', () => isCut)
  hub.handler = take
  t.is(await line.post(report), undefined)
  t.is(hub.connections, 2)
})
