/** Makes a job exist, once, however often and from wherever it is asked, and whatever answer is lost. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EnvironmentSpec } from '../spawner.ts'
import { ClusterRefused, type Submission } from './cluster.ts'
import type { SlurmProfile } from './config.ts'
import { jobsOf } from './ours.ts'
import { isVerdict, refusalOf } from './refusals.ts'
import { submissionOf } from './submission.ts'
import { callTimeoutMs, type SlurmTools } from './tools.ts'

type Spec = EnvironmentSpec<SlurmProfile>

/** SLURM may be at work for somebody who is not there any more. */
const afterwardsMs = 3_000

export async function launch(tools: SlurmTools, spec: Spec, claim: string, signal: AbortSignal): Promise<void> {
  const { config, context, cluster, names, records, queue } = tools
  if (spec.hub !== context.hub) throw new Error(`a bug: ${spec.id} is of the hub ${spec.hub}`)
  const { name: user, uid } = spec.account
  const submission = submissionOf({ spec, config, names, claim, hasOpenScripts: cluster.hasOpenScripts })
  for (;;) {
    signal.throwIfAborted()
    if ((await records.job(spec.id)) !== undefined || (await records.isRemoved(spec.id))) return
    const asked = await records.asked(spec.id)
    const now = context.now().getTime()
    if (asked !== undefined && asked.until > now) {
      // Another call is at it, or was cut off in the middle of it.
      await sleep(50, undefined, { signal })
      continue
    }
    // What was asked before and not answered may be there: look before asking again.
    if (await isThere(tools, spec, asked?.until, signal)) return
    if (asked !== undefined) await records.unask(spec.id)
    const until = now + callTimeoutMs + afterwardsMs
    if (!(await records.ask(spec.id, { user, uid, until }))) continue
    await submit(tools, spec, submission, signal)
    queue.submitted()
    return
  }
}

/** `since`: only a look begun after it tells. Absent: any look does, and SLURM runs no two of one name. */
async function isThere(
  tools: SlurmTools,
  spec: Spec,
  since: number | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { queue, names, records } = tools
  const latest = queue.latest()
  const isGood = latest !== undefined && (since === undefined || latest.begunAt >= since)
  const look = isGood ? latest : await queue.fresh(signal)
  const [job] = jobsOf(look, names).get(spec.id) ?? []
  if (job === undefined) return false
  await records.answer(spec.id, {
    user: job.user,
    uid: job.uid,
    jobId: job.jobId,
    submittedAt: look.begunAt,
    owner: spec.owner,
    digest: spec.digest,
  })
  return true
}

/** @throws LaunchRefused, or what is tried again; where the answer is lost, that it was asked for is kept. */
async function submit(tools: SlurmTools, spec: Spec, submission: Submission, signal: AbortSignal): Promise<void> {
  const { cluster, records, context } = tools
  const { name: user, uid } = spec.account
  const submittedAt = context.now().getTime()
  try {
    const jobId = await cluster.submit(
      { user, uid },
      submission,
      AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)]),
    )
    const { owner, digest } = spec
    const keyFile = submission.claim?.file
    await records.answer(spec.id, { user, uid, jobId, submittedAt, owner, digest, keyFile })
    context.log.info({ environment: spec.id, job: jobId, user }, 'a job was submitted')
  } catch (error) {
    const isNothing = error instanceof ClusterRefused ? isVerdict(error) : isNeverSent(error)
    if (isNothing) await records.unask(spec.id)
    else await records.lose(spec.id, { user, uid, until: context.now().getTime() + afterwardsMs })
    throw error instanceof ClusterRefused ? (refusalOf(error, submission, cluster.system) ?? error) : error
  }
}

/** Whether SLURM can't have heard of it: the minter said no, or nobody took the connection. */
function isNeverSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException
  return error.name === 'LaunchRefused' || code === 'ECONNREFUSED' || code === 'ENOENT'
}
