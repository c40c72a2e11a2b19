/** Fake: one listener that answers for every environment of the fake backend as its agent would, and reports for it. */
import { once } from 'node:events'
import { createServer as createHttpsServer, request } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import { connect } from 'node:tls'
import { WebSocketServer } from 'ws'
import type { AgentBootstrap, AgentReport } from '../../images/agent/bootstrap.ts'
import { pskClient, pskServer } from '../../images/agent/link.ts'

export interface FakeAgents {
  readonly port: number
  /** From now on a connection with this identity and key is answered. */
  add(bootstrap: AgentBootstrap): void
  delete(id: string): void
  /** Connections are taken and nothing is ever said on them, for this long; open ones are cut. */
  silence(forMs: number): void
  /** One report to the hub, as the agent sends it. True when the hub took it. */
  report(id: string, application: AgentReport['application']): Promise<boolean>
  close(): Promise<void>
}

export async function startFakeAgents(): Promise<FakeAgents> {
  const bootstraps = new Map<string, AgentBootstrap>()
  const sockets = new Set<Socket>()
  let silentUntil = 0

  const answering = createHttpsServer(
    pskServer((identity) => {
      const key = bootstraps.get(identity)?.key
      return key === undefined ? undefined : Buffer.from(key, 'base64url')
    }),
    (message, response) => {
      message.resume()
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ application: 'ready', url: message.url }))
    },
  )
  const echo = new WebSocketServer({ server: answering, maxPayload: 1 << 20 })
  echo.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  const port = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    if (Date.now() >= silentUntil) answering.emit('connection', socket)
  })
  port.listen(0, '127.0.0.1')
  await once(port, 'listening')
  const listening = portOf(port)

  return {
    port: listening,
    add: (bootstrap) => bootstraps.set(bootstrap.id, bootstrap),
    delete: (id) => bootstraps.delete(id),
    silence(forMs) {
      silentUntil = Date.now() + forMs
      for (const socket of sockets) socket.destroy()
    },
    async report(id, application) {
      const bootstrap = bootstraps.get(id)
      return bootstrap !== undefined && (await send(bootstrap, { version: 1, port: listening, run: id, application }))
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      echo.close()
      port.close()
      await once(port, 'close')
    },
  }
}

/** The port that a listening server got. */
export function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on a port')
  return address.port
}

function send(bootstrap: AgentBootstrap, report: AgentReport): Promise<boolean> {
  const { host, port } = bootstrap.report
  const psk = pskClient(bootstrap.id, Buffer.from(bootstrap.key, 'base64url'))
  return new Promise((resolve) => {
    const call = request({
      method: 'POST',
      host,
      port,
      path: '/agent/report',
      headers: { 'content-type': 'application/json' },
      timeout: 10_000,
      createConnection: () => connect({ ...psk, host, port }),
    })
    call.on('response', (response) => {
      response.resume()
      resolve((response.statusCode ?? 500) < 300)
    })
    call.on('timeout', () => call.destroy())
    // A hub that is down is an ordinary thing here: the backend tries again.
    call.on('error', () => resolve(false))
    call.on('close', () => resolve(false))
    call.end(JSON.stringify(report))
  })
}
