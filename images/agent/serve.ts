/** Answers what comes in through the door. No request, however it fails, ends the agent. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server } from 'node:https'
import type { Duplex } from 'node:stream'
import { refuse, responseOn, type Forwarder } from './forward.ts'
import { sendJson } from './site/answers.ts'
import { routeOf } from './route.ts'
import type { Site } from './site/index.ts'
import type { AgentHealth, AgentStatus } from './health.ts'

export interface ServeOptions {
  readonly prefix: string
  /** Where the browser goes from the prefix itself; undefined: the application says. */
  readonly home: string | undefined
  readonly hasApplication: boolean
  readonly site: Site
  /** Undefined: there is none. */
  readonly forwarder: () => Forwarder | 'starting' | undefined
  readonly health: () => AgentHealth
  readonly status: () => Promise<AgentStatus>
  readonly stop: () => void
  /** A request that is more than an open tab's asking. */
  readonly onRequest: (incoming: IncomingMessage) => void
  readonly say: (line: string) => void
}

export function serve(server: Server, options: ServeOptions): void {
  const { prefix, home, hasApplication, site, say } = options
  const routed = (incoming: IncomingMessage) =>
    routeOf(incoming.url ?? '', prefix, { hasApplication, hasHome: home !== undefined })

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
        const ready = options.forwarder()
        if (typeof ready !== 'object') return notReady(response, ready)
        options.onRequest(incoming)
        return ready.request(incoming, response)
      }
      case 'site':
        return await site.request(route.path, incoming, response)
      case 'home':
        return refuse(response, 302, `It is at ${home}.`, { Location: `${prefix}${home}` })
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
        const ready = options.forwarder()
        if (typeof ready !== 'object') return notReady(responseOn(incoming, socket), ready)
        return ready.upgrade(incoming, socket, head)
      }
      case 'site':
        return await site.upgrade(route.path, incoming, socket, head)
      case 'health':
      case 'status':
      case 'stop':
      case 'home':
      case 'nowhere':
        return refuse(responseOn(incoming, socket), 404, 'Not found.')
    }
  }
}

function notReady(response: ServerResponse, how: 'starting' | undefined): void {
  if (how === undefined) return refuse(response, 404, 'There is no JupyterLab here.')
  // A page that somebody opened comes by itself.
  refuse(response, 503, 'The application is not ready yet.', { 'Retry-After': '1', Refresh: '1' })
}
