/** Whether what runs there is ours and ready: asked before its route is put into the table, and when it is silent. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:tls'
import { pskClient } from '../../images/agent/link.ts'
import type { Environment } from '../domain/environment.ts'

/** `starting`: it answered, with the right key, that it is not ready. */
export type ProbeResult = 'ready' | 'starting' | 'silent'

/** Where it is: its agent's host and port as they were checked; without an agent the backend's own address. */
export type Place = Readonly<{ host: string; port: number }> | Readonly<{ url: URL }>

export type Probe = (environment: Environment, place: Place, signal: AbortSignal) => Promise<ProbeResult>

/** `keyOf`: the key of an environment's agent. */
export function createProbe(keyOf: (id: string) => Buffer): Probe {
  return ({ id, spec }, place, signal) => {
    if ('url' in place) {
      const url = new URL(spec.prefix + spec.application.readyPath.replace(/^\/+/, ''), place.url)
      const request = url.protocol === 'https:' ? httpsRequest : httpRequest
      return ask((answered) => request(url, { agent: false, signal }, answered))
    }
    return askAgent(id, keyOf(id), place, signal)
  }
}

type Response = Readonly<{ statusCode?: number | undefined; destroy: () => unknown }>
type Request = Readonly<{ on: (event: 'error', call: () => void) => unknown; end: () => unknown }>

/** The status is enough: a body that never ends keeps nobody busy. */
function ask(begin: (answered: (response: Response) => void) => Request): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const request = begin((response) => {
      const status = response.statusCode ?? 500
      resolve(status < 500 ? 'ready' : 'starting')
      response.destroy()
    })
    request.on('error', () => resolve('silent'))
    request.end()
  })
}

const longestStatusLine = 64

/**
 * One request to an agent of ours, of whose answer the first line is read: a client that could more costs as much as
 * the handshake, at each launch.
 */
function askAgent(
  id: string,
  key: Buffer,
  { host, port }: Readonly<{ host: string; port: number }>,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ ...pskClient(id, key), host, port })
    let line = ''
    const done = (result: ProbeResult): void => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      resolve(result)
    }
    const onAbort = (): void => done('silent')
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) return onAbort()
    socket.on('data', (data: Buffer) => {
      line += data.toString('latin1', 0, longestStatusLine)
      const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(line) ?? []
      if (status !== undefined) done(Number(status) < 300 ? 'ready' : 'starting')
      else if (line.length >= longestStatusLine) done('silent')
    })
    for (const event of ['error', 'close']) socket.on(event, () => done('silent'))
    // It waits until the other side has shown that it holds the key.
    socket.write('GET /_agent/health HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n')
  })
}
