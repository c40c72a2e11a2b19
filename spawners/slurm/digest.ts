/** All jobs of a cluster → what the hub needs of them. Pure; runs in a thread of its own when there are many. */
import type { ClusterJob, Digest, ListedJob, Usage } from './cluster.ts'
import { readTres } from './limits.ts'

export function digestJobs(jobs: readonly ClusterJob[], prefix: string): Digest {
  const ours = jobs.filter((job) => job.name.startsWith(prefix))
  const waitingIn = new Set(ours.filter(isWaiting).map((job) => job.partition))
  const queues = new Map<string, ClusterJob[]>([...waitingIn].map((partition) => [partition, []]))
  for (const job of jobs) if (isWaiting(job)) queues.get(job.partition)?.push(job)
  const positions = new Map<number, number>()
  for (const queue of queues.values()) {
    // As SLURM goes through them: the highest priority first, then the oldest.
    queue.sort((a, b) => b.priority - a.priority || a.jobId - b.jobId)
    for (const [index, { jobId }] of queue.entries()) positions.set(jobId, index + 1)
  }
  return { total: jobs.length, usage: usageOf(jobs), jobs: ours.map((job) => listed(job, positions.get(job.jobId))) }
}

function listed(job: ClusterJob, position: number | undefined): ListedJob {
  return position === undefined ? job : { ...job, position }
}

/** A held job and one that waits for another are not in the queue. */
function isWaiting({ state, reason, priority }: ClusterJob): boolean {
  return state === 'PENDING' && priority > 0 && reason !== 'Dependency' && reason !== 'BeginTime'
}

function usageOf(jobs: readonly ClusterJob[]): readonly Usage[] {
  const found = new Map<string, Usage & { jobs: number; tres: Record<string, number> }>()
  for (const { state, user, account, qos, tres } of jobs) {
    if (state !== 'RUNNING' || account === undefined || qos === undefined) continue
    const key = JSON.stringify([user, account, qos])
    const usage = found.get(key) ?? { user, account, qos, jobs: 0, tres: {} }
    usage.jobs += 1
    for (const [name, count] of Object.entries(readTres(tres ?? ''))) {
      usage.tres[name] = (usage.tres[name] ?? 0) + count
    }
    found.set(key, usage)
  }
  return [...found.values()]
}
