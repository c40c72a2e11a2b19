/** SLURM's states as observations and in words. Pure. */
import type { EndReason, Observation } from '../spawner.ts'
import type { ClusterJob, ListedJob } from './cluster.ts'
import { waitingWords } from './reasons.ts'

/** `address`: where the node of its script is reached. */
export function observationOf(job: ListedJob, address: string | undefined, system = 'SLURM'): Observation {
  const ended = endOf(job, system)
  if (ended !== undefined) return { phase: 'ended', ...ended, ...times(job) }
  switch (job.state) {
    case 'PENDING':
    case 'REQUEUED':
    case 'REQUEUE_HOLD':
    case 'REQUEUE_FED':
    case 'RESV_DEL_HOLD':
    case 'SPECIAL_EXIT':
      return {
        phase: 'pending',
        stage: 'queued',
        message: job.words ?? waitingWords(job.reason, job),
        ...(job.position === undefined ? {} : { position: job.position }),
        ...(job.startAt === undefined ? {} : { startEstimateAt: job.startAt }),
      }
    case 'CONFIGURING':
    case 'POWER_UP_NODE':
      return { phase: 'pending', stage: 'scheduling', message: 'The nodes for it are being prepared.' }
    case 'COMPLETING':
    case 'STAGE_OUT':
    case 'SIGNALING':
    case 'STOPPED':
      return { phase: 'stopping' }
    case 'RUNNING':
    // Its processes are frozen, and its time goes on: what it was, it is.
    case 'SUSPENDED':
    case 'RESIZING':
      return {
        phase: 'running',
        hosts: [address ?? job.batchHost],
        startedAt: job.startAt ?? new Date(0),
        ...(job.endAt === undefined ? {} : { endsAt: job.endAt }),
      }
    default:
      return { phase: 'unknown', message: `${system} says ${job.state} of it, which means nothing here.` }
  }
}

export function hasEnded(job: ClusterJob): boolean {
  return endOf(job, '') !== undefined
}

interface End {
  readonly reason: EndReason
  readonly message: string
  readonly exitCode?: number
}

/** Undefined: it has not ended. */
function endOf(job: ClusterJob, system: string): End | undefined {
  const exitCode = job.exit === undefined ? {} : { exitCode: codeOf(job.exit) }
  switch (job.state) {
    case 'COMPLETED':
      return { reason: 'completed', message: 'It ended by itself.', exitCode: 0 }
    case 'FAILED':
    case 'LAUNCH_FAILED':
      return { reason: 'failed', message: failureWords(job, system), ...exitCode }
    case 'CANCELLED':
    case 'REVOKED':
      return { reason: 'cancelled', message: cancelWords(job, system), ...exitCode }
    case 'TIMEOUT':
    case 'DEADLINE':
      return {
        reason: 'timeLimit',
        message: `Its time was over, and ${system} ended it. Next time choose a size with more time.`,
        ...exitCode,
      }
    case 'OUT_OF_MEMORY':
      return {
        reason: 'outOfMemory',
        message: `It took more memory than it had, and ${system} ended it.`,
        ...exitCode,
      }
    case 'NODE_FAIL':
    case 'BOOT_FAIL':
      return { reason: 'nodeLost', message: 'The node that it ran on failed. Launch it again.' }
    case 'PREEMPTED':
      return { reason: 'preempted', message: `${system} needed its place for something more urgent. Launch it again.` }
    default:
      return undefined
  }
}

function failureWords({ reason, exit, description }: ClusterJob, system: string): string {
  const known: Readonly<Record<string, string>> = {
    JobLaunchFailure:
      'The node could not start the job: perhaps its home directory is not there. Ask your administrator.',
    InvalidAccount: 'Its account is not valid any more. Choose another one.',
    InvalidQOS: 'Its quality of service is not valid any more. Choose another one.',
    OutOfMemory: 'It took more memory than it had.',
    SystemFailure: 'The node could not run the job. Launch it again; if that fails too, ask your administrator.',
    ReservationDeleted: 'The reservation that it ran in was deleted.',
  }
  const words = known[reason]
  if (words !== undefined) return words
  if (exit?.code === 126) {
    return 'The job could not begin: its home directory is not on the node, or a program may not be run there. Ask your administrator.'
  }
  if (exit?.code === 127) {
    return 'The job could not begin: a program that it needs is not on the node. Ask your administrator.'
  }
  if (exit !== undefined && exit.signal > 0) return `The job was ended by signal ${exit.signal}.`
  if (exit !== undefined && exit.code > 0) return `The job ended with exit code ${exit.code}.`
  return description === '' ? `The job failed, and ${system} does not say why.` : `The job failed: ${description}.`
}

function cancelWords({ reason, startAt, exit }: ClusterJob, system: string): string {
  if (reason === 'DependencyNeverSatisfied') return `${system} cancelled it: a job with its name runs already.`
  const when = startAt === undefined && exit?.signal === 0 ? ' before it started' : ''
  return `The job was cancelled in ${system}${when}, by you or by an administrator.`
}

/** As a shell says it. */
function codeOf({ code, signal }: NonNullable<ClusterJob['exit']>): number {
  return signal > 0 ? 128 + signal : code
}

function times({ startAt, endAt }: ClusterJob): { startedAt?: Date; endedAt?: Date } {
  return {
    ...(startAt === undefined ? {} : { startedAt: startAt }),
    ...(endAt === undefined ? {} : { endedAt: endAt }),
  }
}
