/** Fake: one listener that answers for every environment of the fake backend as its agent would, and reports for it. */
import { once } from 'node:events'
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import type { AgentBootstrap, AgentReport } from '../../images/agent/bootstrap.ts'
import { pskServer } from '../../images/agent/link.ts'
import { createReportLine, type ReportLine } from '../../images/agent/report-line.ts'

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
  const lines = new Map<string, ReportLine>()
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
    add(bootstrap) {
      lines.get(bootstrap.id)?.close()
      bootstraps.set(bootstrap.id, bootstrap)
      lines.set(
        bootstrap.id,
        createReportLine(bootstrap, () => undefined),
      )
    },
    delete(id) {
      lines.get(id)?.close()
      lines.delete(id)
      bootstraps.delete(id)
    },
    silence(forMs) {
      silentUntil = Date.now() + forMs
      for (const socket of sockets) socket.destroy()
    },
    async report(id, application) {
      const line = lines.get(id)
      if (line === undefined) return false
      // A hub that is down is an ordinary thing here: the backend tries again.
      const measured = {
        used: { cpuMs: 3_600_000, gpuMs: 0, peakMemoryBytes: 2 ** 30 },
        packages: 'python numpy 2.3.1\n',
      }
      return (await line.post({ version: 1, port: listening, run: id, application, ...measured })) === undefined
    },
    async close() {
      for (const line of lines.values()) line.close()
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
