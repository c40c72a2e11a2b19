/** v0.0.38 (SLURM 22.05) → plain jobs. Pure. */
import type { Association, ClusterJob, Qos } from '../../cluster.ts'
import { dateOf, tresByName } from '../answers.ts'
import type { components } from '../generated/v0_0_38.ts'

type Schemas = components['schemas']
type Job = Schemas['v0.0.38_job_response_properties']
type DbJob = Schemas['dbv0.0.38_job']

/** The answer to GET /jobs, parsed. */
export function readJobs(body: unknown): readonly ClusterJob[] {
  return ((body as Schemas['v0.0.38_jobs_response']).jobs ?? []).map(readJob)
}

function readJob(job: Job): ClusterJob {
  return {
    jobId: job.job_id ?? 0,
    name: job.name ?? '',
    user: job.user_name ?? '',
    uid: job.user_id ?? -1,
    comment: job.comment ?? '',
    state: job.job_state ?? '',
    reason: job.state_reason ?? '',
    description: job.state_description ?? '',
    partition: job.partition ?? '',
    batchHost: job.batch_host ?? '',
    startAt: dateOf(job.start_time),
    endAt: dateOf(job.end_time),
    exit: exitOf(job.exit_code ?? 0),
    priority: job.priority ?? 0,
    account: job.account ?? '',
    qos: job.qos ?? '',
    tres: job.tres_alloc_str ?? '',
  }
}

/** What wait(2) says: the signal below, the code above. */
function exitOf(status: number): ClusterJob['exit'] {
  return { code: (status >> 8) & 0xff, signal: status & 0x7f }
}

/** The accounting database has no comment, no uid, and 0 for a failed job's exit code: its state is to be trusted. */
export function readDbJob(job: DbJob): ClusterJob {
  const state = job.state?.current ?? ''
  const code = job.exit_code?.return_code ?? 0
  const signal = job.exit_code?.signal?.signal_id ?? 0
  const isTold = state === 'COMPLETED' || code > 0 || signal > 0
  return {
    jobId: job.job_id ?? 0,
    name: job.name ?? '',
    user: job.association?.user ?? job.user ?? '',
    uid: -1,
    comment: job.comment?.job ?? '',
    state,
    reason: job.state?.reason ?? '',
    description: '',
    partition: job.partition ?? '',
    batchHost: job.nodes ?? '',
    startAt: dateOf(job.time?.start),
    endAt: dateOf(job.time?.end),
    exit: isTold ? { code, signal } : undefined,
    priority: 0,
  }
}

export function readAssociation(each: Schemas['dbv0.0.38_association']): Association {
  return {
    account: each.account ?? '',
    user: each.user ?? '',
    parent: each.parent_account ?? '',
    qos: each.qos ?? [],
    total: tresByName(each.max?.tres?.total),
    jobs: (each.user ? each.max?.jobs?.active : undefined) ?? each.max?.jobs?.per?.count ?? undefined,
    minutesPerJob: each.max?.jobs?.per?.wall_clock ?? undefined,
  }
}

export function readQos(each: Schemas['dbv0.0.38_qos']): Qos {
  const most = each.limits?.max
  return {
    name: each.name ?? '',
    perUser: tresByName(most?.tres?.per?.user),
    jobsPerUser: most?.jobs?.active_jobs?.per?.user ?? undefined,
    minutesPerJob: most?.wall_clock?.per?.job ?? undefined,
  }
}
