/** What the agent tells of its environment beside its state: evidence of use, and what is used. */
import type { AgentReport } from './bootstrap.ts'
import { createActivity, type Activity } from './activity.ts'
import { createGpuReader } from './gpus.ts'
import { createUsageReader } from './usage.ts'

export interface Evidence {
  readonly activity: Activity
  /** Asked before each reading; Jupyter's own lists, say. */
  ask(source: () => Promise<void>): void
  read(): Promise<Figures>
  /** What was read last, at once. */
  latest(): Figures
}

type Figures = Pick<AgentReport, 'usage' | 'used' | 'lastActivityAt'>

/** More than an idle JupyterLab with kernels takes, and less than anything that somebody waits for. */
const busyCores = 0.2

export function createEvidence({ id, now }: { id: string; now: () => Date }): Evidence {
  const activity = createActivity(now)
  const usage = createUsageReader({ id, readGpus: createGpuReader() })
  let ask = async (): Promise<void> => undefined
  let used: AgentReport['usage']
  const latest = (): Figures => {
    const last = activity.last()
    return {
      ...(used === undefined ? {} : { usage: used, used: usage.used() }),
      ...(last === undefined ? {} : { lastActivityAt: last.toISOString() }),
    }
  }
  return {
    activity,
    ask(source) {
      ask = source
    },
    async read() {
      await ask()
      used = await usage.read()
      if ((used.cpu ?? 0) >= busyCores) activity.touch()
      return latest()
    },
    latest,
  }
}
