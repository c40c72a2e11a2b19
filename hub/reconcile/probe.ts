/** Whether what runs there is ours and ready: asked before its route is put into the table, and when it is silent. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { agentKey, pskClient } from '../../images/agent/link.ts'
import type { Environment } from '../domain/environment.ts'

/** `starting`: it answered, with the right key, that it is not ready. */
export type ProbeResult = 'ready' | 'starting' | 'silent'

/** Where it is: its agent's host and port as they were checked; without an agent the backend's own address. */
export type Place = Readonly<{ host: string; port: number }> | Readonly<{ url: URL }>

export type Probe = (environment: Environment, place: Place, signal: AbortSignal) => Promise<ProbeResult>

export function createProbe(agentsKey: Buffer): Probe {
  return ({ id, spec }, place, signal) => {
    if ('url' in place) {
      const url = new URL(spec.prefix + spec.application.readyPath.replace(/^\/+/, ''), place.url)
      const request = url.protocol === 'https:' ? httpsRequest : httpRequest
      return ask(500, (answered) => request(url, { agent: false, signal }, answered))
    }
    const options = {
      ...pskClient(id, agentKey(agentsKey, id)),
      host: place.host,
      port: place.port,
      path: '/_agent/health',
      agent: false,
      signal,
    } as const
    return ask(300, (answered) => httpsRequest(options, answered))
  }
}

type Response = Readonly<{ statusCode?: number | undefined; destroy: () => unknown }>
type Request = Readonly<{ on: (event: 'error', call: () => void) => unknown; end: () => unknown }>

/** The status is enough: a body that never ends keeps nobody busy. Ready below `readyBelow`. */
function ask(readyBelow: number, begin: (answered: (response: Response) => void) => Request): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const request = begin((response) => {
      const status = response.statusCode ?? 500
      resolve(status < readyBelow ? 'ready' : 'starting')
      response.destroy()
    })
    request.on('error', () => resolve('silent'))
    request.end()
  })
}
