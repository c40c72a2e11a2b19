/** Answers what comes in through the door. No request, however it fails, ends the agent. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server } from 'node:https'
import type { Duplex } from 'node:stream'
import { refuse, responseOn, type Forwarder } from './forward.ts'
import { routeOf } from './route.ts'
import type { TerminalSite } from './terminal/site.ts'
import type { AgentHealth, AgentStatus } from './health.ts'

export interface ServeOptions {
  readonly prefix: string
  readonly hasApplication: boolean
  readonly site: TerminalSite
  /** Undefined while the application is not ready. */
  readonly forwarder: () => Forwarder | undefined
  readonly health: () => AgentHealth
  readonly status: () => Promise<AgentStatus>
  readonly stop: () => void
  /** A request that is more than an open tab's asking. */
  readonly onRequest: (incoming: IncomingMessage) => void
  readonly say: (line: string) => void
}

export function serve(server: Server, options: ServeOptions): void {
  const { prefix, hasApplication, site, forwarder, say } = options
  const routed = (incoming: IncomingMessage) => routeOf(incoming.url ?? '', prefix, hasApplication)

  server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
    for (const stream of [incoming, response]) stream.on('error', () => response.destroy())
    void answer(incoming, response).catch((error: unknown) => {
      say(`a request failed: ${String(error)}`)
      if (response.headersSent) response.destroy()
      else refuse(response, 500, 'The agent could not answer this.')
    })
  })

  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    void upgrade(incoming, socket, head).catch((error: unknown) => {
      say(`a connection failed: ${String(error)}`)
      socket.destroy()
    })
  })

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = routed(incoming)
    switch (route.to) {
      case 'application': {
        const ready = forwarder()
        if (!ready) return notReady(response)
        options.onRequest(incoming)
        return ready.request(incoming, response)
      }
      case 'site':
        return await site.request(route.path, incoming, response)
      case 'terminalPage':
        return refuse(response, 302, 'The terminal is at _hutch/terminal/.', { Location: `${prefix}_hutch/terminal/` })
      case 'health': {
        const health = options.health()
        return sendJson(response, health.application === 'ready' ? 200 : 503, health)
      }
      case 'status':
        return sendJson(response, 200, await options.status())
      case 'stop':
        if (incoming.method !== 'POST') return refuse(response, 405, 'Only POST here.', { Allow: 'POST' })
        sendJson(response, 202, {})
        return options.stop()
      case 'nowhere':
        return refuse(response, 404, 'Not found.')
    }
  }

  async function upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const route = routed(incoming)
    switch (route.to) {
      case 'application': {
        const ready = forwarder()
        if (!ready) return notReady(responseOn(incoming, socket))
        return ready.upgrade(incoming, socket, head)
      }
      case 'site':
        // Said by the proxy, which lets no browser say it (proxy/admission/viewers.ts).
        if (incoming.headers['x-hutch-role'] === 'viewer') {
          return refuse(responseOn(incoming, socket), 403, 'You may only look here.')
        }
        return await site.upgrade(route.path, incoming, socket, head)
      case 'health':
      case 'status':
      case 'stop':
      case 'terminalPage':
      case 'nowhere':
        return refuse(responseOn(incoming, socket), 404, 'Not found.')
    }
  }
}

function notReady(response: ServerResponse): void {
  refuse(response, 503, 'The application is not ready yet.', { 'Retry-After': '1' })
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
  response.end(JSON.stringify(value))
}
