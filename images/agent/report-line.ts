/** The agent's line to the hub: one kept connection at most, made anew when the hub or the network took it away. */
import { Agent, request } from 'node:https'
import type { AgentBootstrap, AgentReport } from './bootstrap.ts'
import { pskClient } from './link.ts'

export interface ReportLine {
  /** Undefined: the hub took it. Otherwise what went wrong. Not twice at once. */
  post(report: AgentReport): Promise<string | undefined>
  close(): void
}

const timeoutMs = 10_000
/** What the hub says is short; a peer that says more is hung up on. */
const longestAnswerBytes = 4_096

/** `heard`: what the hub answers. Whoever answers must hold the key, at each new connection; nothing of an earlier one is resumed. */
export function createReportLine(
  { id, key, report }: Pick<AgentBootstrap, 'id' | 'key' | 'report'>,
  heard: (text: string) => void,
): ReportLine {
  const psk = pskClient(id, Buffer.from(key, 'base64url'))
  // Given with a request instead of here, a check of the peer's identity keeps Node from keeping the connection.
  const agent = new Agent({ ...psk, keepAlive: true, maxSockets: 1, maxFreeSockets: 1, maxCachedSessions: 0 })
  const over = new AbortController()

  function send(text: string): Promise<{ problem: string | undefined; wasKept: boolean }> {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }
    const { host, port } = report
    const { signal } = over
    return new Promise((resolve) => {
      const sending = request({ host, port, method: 'POST', path: '/agent/report', headers, agent, signal })
      // Until a status is there the connection is what failed.
      const settle = (problem: string | undefined, isAnswered = false): void =>
        resolve({ problem, wasKept: sending.reusedSocket && !isAnswered })
      const timer = setTimeout(() => sending.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs)
      sending.on('response', (answer) => {
        const status = answer.statusCode ?? 0
        settle(status >= 200 && status < 300 ? undefined : `it answers ${status}`, true)
        let bytes = 0
        const chunks: Buffer[] = []
        answer.on('data', (data: Buffer) => {
          bytes += data.length
          if (bytes > longestAnswerBytes) sending.destroy()
          else chunks.push(data)
        })
        answer.on('end', () => status === 200 && heard(Buffer.concat(chunks).toString()))
        answer.on('error', () => sending.destroy())
      })
      sending.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message))
      sending.on('close', () => {
        clearTimeout(timer)
        settle('the connection closed')
      })
      sending.end(text)
    })
  }

  return {
    async post(body) {
      const text = JSON.stringify(body)
      const { problem, wasKept } = await send(text)
      // The hub may have hung up while nobody spoke, which is no news: once more, on a connection of its own.
      if (problem === undefined || !wasKept || over.signal.aborted) return problem
      agent.destroy()
      return (await send(text)).problem
    },
    close() {
      over.abort()
      agent.destroy()
    },
  }
}
