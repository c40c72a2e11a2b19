/**
 * A proxy in front of a real API server that makes it behave badly on demand: it cuts, delays, falls silent and answers
 * errors. What is not made to fail is passed on as it is, watches included.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, createServer, request } from 'node:https'
import type { Duplex } from 'node:stream'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { portOf } from './fakeAgents.ts'
import type { Cluster } from './kubernetes.ts'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
}

type Fault =
  /** `passed`: the server does what it is asked for, and its answer is lost. */
  | Readonly<{ does: 'answer'; status: number; headers?: Record<string, string>; body?: object; passed?: boolean }>
  | Readonly<{ does: 'delay'; ms: number }>
  /** A list in pages of so many. */
  | Readonly<{ does: 'page'; size: number }>

export interface FaultProxy {
  readonly port: number
  /** What was asked since it was asked for last. */
  asked(): readonly Asked[]
  /** `times`: so often and no more. Absent: until the returned function is called. */
  inject(when: (asked: Asked) => boolean, fault: Fault, times?: number): () => void
  /** Open watches end in the middle of a line. */
  severWatches(): void
  /** Open watches say nothing any more, and stay open. */
  silenceWatches(): void
  /** Open watches say that their version is too old. */
  expireWatches(): void
  /** Nothing can be reached until the returned function is called. */
  cut(): Promise<() => Promise<void>>
  /** From now on it behaves. */
  heal(): void
}

interface Watch {
  readonly answer: ServerResponse
  readonly upstream: IncomingMessage
}

export const isList = ({ method, query }: Asked): boolean => method === 'GET' && query.has('limit')
export const isWatch = ({ query }: Asked): boolean => query.get('watch') === 'true'

/** It shows the certificate of the server behind it. */
export async function startFaultProxy(
  t: ExecutionContext,
  { folder, apiPort }: Pick<Cluster, 'folder' | 'apiPort'>,
): Promise<FaultProxy> {
  const pki = async (name: string): Promise<Buffer> => await readFile(join(folder, 'pki', name))
  const [ca, cert, key] = await Promise.all(['ca.crt', 'apiserver.crt', 'apiserver.key'].map(pki))
  const agent = new Agent({ ca, keepAlive: true })
  const sockets = new Set<Duplex>()
  const watches = new Set<Watch>()
  const rules: { when: (asked: Asked) => boolean; fault: Fault; left: number }[] = []
  let asked: Asked[] = []
  let isCut = false

  async function pass(from: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(from.url ?? '/', 'https://127.0.0.1')
    const one = { method: from.method ?? '', path: url.pathname, query: url.searchParams }
    asked.push(one)
    const rule = rules.find((each) => each.left > 0 && each.when(one))
    if (rule) rule.left -= 1
    const fault = rule?.fault
    if (fault?.does === 'delay') await sleep(fault.ms, undefined, { ref: false })
    if (fault?.does === 'page') url.searchParams.set('limit', String(fault.size))
    if (fault?.does === 'answer' && fault.passed !== true) return refuse(answer, fault)
    const upstream = await forward(from, url)
    if (fault?.does === 'answer') {
      upstream.resume()
      return refuse(answer, fault)
    }
    answer.writeHead(upstream.statusCode ?? 500, upstream.headers)
    answer.flushHeaders()
    upstream.on('error', () => answer.destroy())
    answer.on('close', () => upstream.destroy())
    upstream.pipe(answer)
    if (!isWatch(one)) return undefined
    const watch = { answer, upstream }
    watches.add(watch)
    answer.on('close', () => watches.delete(watch))
    return undefined
  }

  async function forward(from: IncomingMessage, { pathname, search }: URL): Promise<IncomingMessage> {
    const to = request({
      host: '127.0.0.1',
      port: apiPort,
      path: pathname + search,
      method: from.method,
      headers: from.headers,
      agent,
    })
    from.pipe(to)
    const [upstream] = (await once(to, 'response')) as [IncomingMessage]
    return upstream
  }

  const server = createServer({ cert, key }, (from, answer) => {
    pass(from, answer).catch(() => answer.destroy())
  })
  server.on('connection', (socket) => {
    if (isCut) return socket.destroy()
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    return undefined
  })
  const destroyAll = (): void => sockets.forEach((socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    destroyAll()
    agent.destroy()
  })

  return {
    port: portOf(server),
    asked() {
      const before = asked
      asked = []
      return before
    },
    inject(when, fault, times = Infinity) {
      const rule = { when, fault, left: times }
      rules.unshift(rule)
      return () => void (rule.left = 0)
    },
    severWatches() {
      for (const { answer, upstream } of watches) {
        upstream.unpipe(answer)
        answer.write('{"type":"MODIFIED","object":{"metadata":{"name":"e', () => answer.destroy())
      }
    },
    silenceWatches() {
      for (const { answer, upstream } of watches) upstream.unpipe(answer)
    },
    expireWatches() {
      for (const { answer, upstream } of watches) {
        upstream.unpipe(answer)
        const object = { kind: 'Status', status: 'Failure', reason: 'Expired', code: 410 }
        answer.end(`${JSON.stringify({ type: 'ERROR', object })}\n`)
      }
    },
    heal() {
      rules.length = 0
      isCut = false
    },
    async cut() {
      isCut = true
      destroyAll()
      // The spawner follows the cluster: it knows of the cut as soon as its connection has ended.
      await sleep(500)
      return async () => {
        isCut = false
      }
    },
  }
}

function refuse(answer: ServerResponse, { status, headers, body }: Extract<Fault, { does: 'answer' }>): void {
  const said = body ?? { kind: 'Status', status: 'Failure', code: status, message: `a fault that is made: ${status}` }
  answer.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(said))
}
