/** Tells the hub where the agent is and how it goes, for ever: an environment goes on without its hub. */
import type { AgentBootstrap, AgentReport } from './bootstrap.ts'
import { createReportLine } from './report-line.ts'

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
  /** What the hub answers. */
  readonly heard: (text: string) => void
  /** The hub took this one. */
  readonly taken: (report: AgentReport) => void
  readonly intervalMs?: number
  readonly firstRetryMs?: number
  readonly lastRetryMs?: number
  readonly random?: () => number
}

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
  const line = createReportLine(options.bootstrap, options.heard)
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
      const report = await snapshot(isUrgent)
      const problem = await line.post(report)
      if (over.signal.aborted) return
      if (problem === undefined) {
        if (failures > 0) say('the hub answers again')
        failures = 0
        options.taken(report)
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
      line.close()
      wake()
    },
  }
}
