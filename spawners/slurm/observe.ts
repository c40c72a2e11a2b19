/** One look at the queue → what there is of this hub. What SLURM has forgotten is asked of its accounting. */
import type { EnvironmentId, Found, Observation } from '../spawner.ts'
import type { ClusterJob, ListedJob } from './cluster.ts'
import { jobsOf } from './ours.ts'
import type { Look } from './queue.ts'
import { hasEnded, observationOf } from './states.ts'
import { callTimeoutMs, type SlurmTools } from './tools.ts'

export interface Observer {
  observe(signal: AbortSignal): Promise<ReadonlyMap<EnvironmentId, Found>>
}

interface Wanted {
  readonly id: EnvironmentId
  readonly user: string
}

/** Names in one call to the accounting. */
const mostAtOnce = 100
const hourMs = 3_600_000
/** Where a node is reached changes seldom; a node that is not known is asked for at once, but not oftener than this. */
const addressesKeptMs = 60_000

export function createObserver(tools: SlurmTools): Observer {
  const { cluster, names, queue, records, config, context } = tools
  let addresses: ReadonlyMap<string, string> = new Map()
  let addressesAt = -Infinity
  /** How those ended that SLURM has forgotten: asked once. */
  const ends = new Map<EnvironmentId, Observation>()
  /** ms since the epoch, of those that are in neither list nor accounting. */
  const missingSince = new Map<EnvironmentId, number>()

  async function addressOf(job: ListedJob): Promise<string | undefined> {
    const known = addresses.get(job.batchHost)
    if (known !== undefined || job.batchHost === '') return known
    const now = context.now().getTime()
    if (now - addressesAt < addressesKeptMs) return undefined
    addressesAt = now
    addresses = await cluster.addresses(AbortSignal.timeout(callTimeoutMs)).catch((error: unknown) => {
      context.log.warn({ err: error }, "the nodes' addresses can't be had; their names are used")
      return addresses
    })
    return addresses.get(job.batchHost)
  }

  async function foundOf(id: EnvironmentId, job: ListedJob): Promise<Found> {
    const observation = observationOf(job, await addressOf(job), cluster.system)
    return { observation, ...(names.readComment(id, job.comment) ?? (await keptOf(id))) }
  }

  /** Not every system keeps a comment. */
  async function keptOf(id: EnvironmentId): Promise<Pick<Found, 'owner' | 'digest'>> {
    const { owner, digest } = (await records.job(id)) ?? {}
    return { ...(owner === undefined ? {} : { owner }), ...(digest === undefined ? {} : { digest }) }
  }

  /** Those that were submitted and are in the list no more. */
  async function forgotten(
    ids: readonly EnvironmentId[],
    look: Look,
  ): Promise<ReadonlyMap<EnvironmentId, Observation>> {
    const missing = ids.filter((id) => !ends.has(id)).slice(0, mostAtOnce)
    const wanted = new Map<string, Wanted>()
    let since = look.begunAt
    for (const id of missing) {
      const record = await records.job(id)
      // Submitted after this look began: it could not show it.
      if (record === undefined || record.submittedAt >= look.begunAt) continue
      wanted.set(names.nameOf(id, record.uid), { id, user: record.user })
      since = Math.min(since, record.submittedAt)
    }
    const found = new Map<EnvironmentId, Observation>()
    if (wanted.size > 0) for (const [id, seen] of await ask(wanted, new Date(since - hourMs))) found.set(id, seen)
    for (const id of ids) {
      const end = ends.get(id)
      if (end !== undefined) found.set(id, end)
    }
    return found
  }

  async function ask(
    wanted: ReadonlyMap<string, Wanted>,
    since: Date,
  ): Promise<ReadonlyMap<EnvironmentId, Observation>> {
    const found = new Map<EnvironmentId, Observation>()
    if (!config.accounting) return found
    let jobs: readonly ClusterJob[]
    try {
      jobs = await cluster.finished([...wanted.keys()], since, AbortSignal.timeout(callTimeoutMs))
    } catch (error) {
      context.log.warn({ err: error }, 'the accounting does not answer; how some jobs ended is not known yet')
      for (const { id } of wanted.values())
        found.set(id, unknown(`The accounting of ${cluster.system} does not answer just now.`))
      return found
    }
    for (const job of jobs.toSorted((a, b) => a.jobId - b.jobId)) {
      const { id, user } = wanted.get(job.name) ?? {}
      // Anybody may give a job any name.
      if (id === undefined || user !== job.user) continue
      const seen = hasEnded(job)
        ? observationOf(job, undefined, cluster.system)
        : unknown(`${cluster.system} does not list it any more, and its accounting does not know yet how it ended.`)
      found.set(id, seen)
      if (seen.phase === 'ended') ends.set(id, seen)
    }
    for (const { id } of wanted.values()) {
      if (found.has(id)) missingSince.delete(id)
      else if (isLate(id)) found.set(id, unknown(`${cluster.system} has not written down yet how it ended.`))
    }
    return found
  }

  /** In neither place, and not for long: its end may not be written down yet. */
  function isLate(id: EnvironmentId): boolean {
    const now = context.now().getTime()
    const since = missingSince.get(id) ?? now
    missingSince.set(id, since)
    return now - since < (cluster.accountingLagMs ?? 0)
  }

  async function tidy(removed: ReadonlySet<EnvironmentId>, jobs: ReadonlyMap<EnvironmentId, unknown>): Promise<void> {
    for (const id of removed) {
      if (jobs.has(id)) continue
      const record = await records.job(id)
      if (record === undefined || record.submittedAt < context.now().getTime() - hourMs) await records.forget(id)
      ends.delete(id)
      missingSince.delete(id)
    }
  }

  return {
    async observe(signal) {
      const look = await queue.fresh(signal)
      const jobs = jobsOf(look, names)
      const kept = await records.all()
      const found = new Map<EnvironmentId, Found>()
      for (const [id, [first]] of jobs) {
        if (first === undefined) continue
        if (kept.removed.has(id) && hasEnded(first)) continue
        found.set(id, await foundOf(id, first))
      }
      const missing = kept.jobs.filter((id) => !jobs.has(id) && !kept.removed.has(id))
      for (const [id, observation] of await forgotten(missing, look)) found.set(id, { observation })
      await tidy(kept.removed, jobs)
      signal.throwIfAborted()
      return found
    },
  }
}

function unknown(message: string): Observation {
  return { phase: 'unknown', message }
}
