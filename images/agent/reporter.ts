/** Tells the hub where the agent is and how it goes, for ever: an environment goes on without its hub. */
import { request } from 'node:https'
import type { AgentBootstrap, AgentReport } from './bootstrap.ts'
import { pskClient } from './link.ts'

export interface Reporter {
  /** Something changed: report now. */
  nudge(): void
  /** Waits until a report that was made after this call has arrived, at most `timeoutMs`. */
  flush(timeoutMs: number): Promise<boolean>
  close(): void
}

export interface ReporterOptions {
  readonly bootstrap: Pick<AgentBootstrap, 'id' | 'key' | 'report'>
  /** Urgent: the state changed, and somebody waits for it; figures may be old. */
  readonly snapshot: (isUrgent: boolean) => Promise<AgentReport>
  readonly say: (line: string) => void
  readonly intervalMs?: number
  readonly firstRetryMs?: number
  readonly lastRetryMs?: number
  readonly random?: () => number
}

const timeoutMs = 10_000
const figuresAfterMs = 5_000

export function createReporter(options: ReporterOptions): Reporter {
  const {
    say,
    snapshot,
    intervalMs = 60_000,
    firstRetryMs = 1_000,
    lastRetryMs = 60_000,
    random = Math.random,
  } = options
  const over = new AbortController()
  const arrived = new Set<(begun: number) => void>()
  let wake = (): void => undefined
  let isNudged = false
  let begun = 0
  let failures = 0

  const rest = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, isNudged ? 0 : ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  const loop = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const isUrgent = isNudged || begun === 0
      isNudged = false
      begun += 1
      const mine = begun
      const problem = await post(options.bootstrap, await snapshot(isUrgent), over.signal)
      if (over.signal.aborted) return
      if (problem === undefined) {
        if (failures > 0) say('the hub answers again')
        failures = 0
        for (const tell of arrived) tell(mine)
        // What changed is told without figures: they follow soon.
        await rest(isUrgent ? figuresAfterMs : intervalMs)
      } else {
        if (failures === 0) say(`the hub can't be told: ${problem}; trying again`)
        failures += 1
        const most = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(failures - 1, 16))
        await rest(most * (0.5 + random() / 2))
      }
    }
  }
  void loop()

  const nudge = (): void => {
    isNudged = true
    wake()
  }
  return {
    nudge,
    async flush(withinMs) {
      const wanted = begun + 1
      return await new Promise((resolve) => {
        const finish = (isTold: boolean): void => {
          clearTimeout(timer)
          arrived.delete(check)
          resolve(isTold)
        }
        const check = (mine: number): void => {
          if (mine >= wanted) finish(true)
        }
        const timer = setTimeout(() => finish(false), withinMs)
        arrived.add(check)
        nudge()
      })
    },
    close() {
      over.abort()
      wake()
    },
  }
}

/** Undefined: the hub took it. Otherwise what went wrong. */
function post(
  { id, key, report }: ReporterOptions['bootstrap'],
  body: AgentReport,
  signal: AbortSignal,
): Promise<string | undefined> {
  const text = JSON.stringify(body)
  return new Promise((resolve) => {
    const sending = request(
      {
        ...pskClient(id, Buffer.from(key, 'base64url')),
        host: report.host,
        port: report.port,
        method: 'POST',
        path: '/agent/report',
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) },
        agent: false,
        signal,
      },
      (answer) => {
        const status = answer.statusCode ?? 0
        resolve(status >= 200 && status < 300 ? undefined : `it answers ${status}`)
        // What it says is of no use; reading on would let a strange peer keep us busy.
        sending.destroy()
      },
    )
    const timer = setTimeout(() => sending.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs)
    sending.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    sending.on('close', () => {
      clearTimeout(timer)
      resolve('the connection closed')
    })
    sending.end(text)
  })
}
