/** More time for a job that runs, as the hub's own account, which must be an operator. */
import { LaunchRefused, type EnvironmentId } from '../spawner.ts'
import { ClusterRefused, type ListedJob } from './cluster.ts'
import { jobsOf } from './ours.ts'
import type { Look } from './queue.ts'
import { isDone, isNoJob, isVerdict } from './refusals.ts'
import { callTimeoutMs, type SlurmTools } from './tools.ts'

const minuteMs = 60_000

/** @throws LaunchRefused when it does not run, when it is longer than the site gives, or when SLURM says no. */
export async function extend(tools: SlurmTools, id: EnvironmentId, endsAt: Date, signal: AbortSignal): Promise<void> {
  const { queue, names, cluster, config } = tools
  const running = (look: Look | undefined): ListedJob | undefined =>
    look &&
    jobsOf(look, names)
      .get(id)
      ?.find(({ state }) => state === 'RUNNING')
  const job = running(queue.latest()) ?? running(await queue.fresh(signal))
  if (job?.startAt === undefined) {
    throw new LaunchRefused('It does not run just now, so its time can not be made longer.')
  }
  const wantedMs = endsAt.getTime() - job.startAt.getTime()
  if (config.extendTo !== undefined && wantedMs > config.extendTo) {
    const hours = Math.floor(config.extendTo / minuteMs / 6) / 10
    throw new LaunchRefused(`It may have ${hours} hours in all here. Ask for less, and launch it again afterwards.`)
  }
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)])
    await cluster.setTimeLimit(job.jobId, Math.ceil(wantedMs / minuteMs), within)
  } catch (error) {
    throw refusalOf(error, cluster.system) ?? error
  }
  // The next look tells the new end.
  queue.wake()
}

function refusalOf(error: unknown, system: string): LaunchRefused | undefined {
  if (!(error instanceof ClusterRefused)) return undefined
  if (isDone(error) || isNoJob(error)) return new LaunchRefused('It has ended already.', { cause: error })
  if (!isVerdict(error)) return undefined
  const sentence = `${system} gives it no more time: ${error.message}. Ask your administrator.`
  return new LaunchRefused(sentence, { cause: error })
}
