/** v0.0.42 (SLURM 24.11) → plain jobs: states are lists, and a number says whether it is one. Pure. */
import type { Association, ClusterJob, Qos } from '../../cluster.ts'
import { dateOf, tresByName } from '../answers.ts'
import type { components } from '../generated/v0_0_42.ts'

type Schemas = components['schemas']
type Job = Schemas['v0.0.42_job_info']
type DbJob = Schemas['v0.0.42_job']
type MaybeNumber = Readonly<{ set?: boolean; infinite?: boolean; number?: number }>

/** The answer to GET /jobs/, parsed. */
export function readJobs(body: unknown): readonly ClusterJob[] {
  return (body as Schemas['v0.0.42_openapi_job_info_resp']).jobs.map(readJob)
}

function readJob(job: Job): ClusterJob {
  return {
    jobId: job.job_id ?? 0,
    name: job.name ?? '',
    user: job.user_name ?? '',
    uid: job.user_id ?? -1,
    comment: job.comment ?? '',
    state: stateOf(job.job_state),
    reason: job.state_reason ?? '',
    description: job.state_description ?? '',
    partition: job.partition ?? '',
    batchHost: job.batch_host ?? '',
    startAt: dateOf(numberOf(job.start_time)),
    endAt: dateOf(numberOf(job.end_time)),
    exit: exitOf(job.exit_code),
    priority: numberOf(job.priority) ?? 0,
    account: job.account ?? '',
    qos: job.qos ?? '',
    tres: job.tres_alloc_str ?? '',
  }
}

export function readDbJob(job: DbJob): ClusterJob {
  return {
    jobId: job.job_id ?? 0,
    name: job.name ?? '',
    user: job.association?.user ?? job.user ?? '',
    uid: -1,
    comment: job.comment?.job ?? '',
    state: stateOf(job.state?.current),
    reason: job.state?.reason ?? '',
    description: '',
    partition: job.partition ?? '',
    batchHost: job.nodes ?? '',
    startAt: dateOf(job.time?.start),
    endAt: dateOf(job.time?.end),
    exit: exitOf(job.exit_code),
    priority: 0,
  }
}

/** The base state and flags together: a flag such as COMPLETING tells more than what it is a flag of. */
function stateOf(states: readonly string[] | undefined): string {
  return states?.find((state) => flags.has(state)) ?? states?.[0] ?? ''
}

const flags: ReadonlySet<string> = new Set(
  'COMPLETING CONFIGURING STAGE_OUT POWER_UP_NODE SIGNALING REQUEUED REQUEUE_HOLD REQUEUE_FED RESV_DEL_HOLD'.split(' '),
)

function exitOf(exit: Schemas['v0.0.42_process_exit_code_verbose'] | undefined): ClusterJob['exit'] {
  if (exit === undefined) return undefined
  return { code: numberOf(exit.return_code) ?? 0, signal: numberOf(exit.signal?.id) ?? 0 }
}

/** Undefined: not set, or without an end. */
function numberOf(value: MaybeNumber | undefined): number | undefined {
  return value?.set === true && value.infinite !== true ? value.number : undefined
}

export function readAssociation(each: Schemas['v0.0.42_assoc']): Association {
  return {
    account: each.account ?? '',
    user: each.user,
    parent: each.parent_account ?? '',
    qos: each.qos ?? [],
    total: tresByName(each.max?.tres?.total),
    jobs: (each.user === '' ? undefined : numberOf(each.max?.jobs?.active)) ?? numberOf(each.max?.jobs?.per?.count),
    minutesPerJob: numberOf(each.max?.jobs?.per?.wall_clock),
  }
}

export function readQos(each: Schemas['v0.0.42_qos']): Qos {
  const most = each.limits?.max
  return {
    name: each.name ?? '',
    perUser: tresByName(most?.tres?.per?.user),
    jobsPerUser: numberOf(most?.jobs?.active_jobs?.per?.user),
    minutesPerJob: numberOf(most?.wall_clock?.per?.job),
  }
}
