/** What the cluster shows of one pod → what it means. Pure. */
import { oneLine } from '../common/oneLine.ts'
import type { EndReason, Observation, Stage } from '../spawner.ts'
import type { KubernetesConfig } from './config.ts'
import { annotation, mainContainer } from './names.ts'
import type { SeenContainer, SeenPod, Word } from './seen.ts'
import { waitingInWords, wordsOfEvent } from './words.ts'

export type Patience = Pick<KubernetesConfig, 'unschedulablePatience' | 'pullPatience' | 'mountPatience'>

/** `words`: by the reason of the event, what the cluster said of this pod. */
export function readPod(pod: SeenPod, words: ReadonlyMap<string, Word>, now: Date, patience: Patience): Observation {
  const over = readEnd(pod)
  if (over !== undefined) return over
  if (pod.metadata.deletionTimestamp) return { phase: 'stopping' }
  const startedAt = mainStatus(pod)?.state.running?.startedAt
  if (startedAt !== undefined) {
    return { phase: 'running', hosts: addressesOf(pod), startedAt, ...endOf(pod, startedAt) }
  }
  return readPending(pod, words, now, patience)
}

/** Why it is over; undefined: it is not. */
function readEnd(pod: SeenPod): Extract<Observation, { phase: 'ended' }> | undefined {
  const { status } = pod
  const disruption = condition(pod, 'DisruptionTarget')
  const isDisrupted = disruption?.status === 'True'
  const terminated = mainStatus(pod)?.state.terminated
  const times = {
    ...(terminated?.startedAt ? { startedAt: terminated.startedAt } : {}),
    ...(terminated?.finishedAt ? { endedAt: terminated.finishedAt } : {}),
  }
  if (terminated && terminated.reason === 'OOMKilled') {
    const message = 'It needed more memory than it was given.'
    return { phase: 'ended', reason: 'outOfMemory', message, exitCode: terminated.exitCode, ...times }
  }
  if (isDisrupted && (status.phase === 'Failed' || status.phase === 'Succeeded' || terminated)) {
    return { phase: 'ended', ...disruptionInWords(disruption.reason ?? '', disruption.message ?? ''), ...times }
  }
  if (status.phase === 'Failed' && status.reason) {
    return { phase: 'ended', ...failureInWords(status.reason, status.message ?? ''), ...times }
  }
  // Somebody takes it away: how its last container took that tells nothing of why.
  if (pod.metadata.deletionTimestamp) return undefined
  if (terminated) {
    const { exitCode } = terminated
    if (exitCode === 0) return { phase: 'ended', reason: 'completed', message: 'It ended', exitCode, ...times }
    const why = oneLine(terminated.message || terminated.reason)
    const message = `It ended with exit code ${exitCode}${why === '' || why === 'Error' ? '' : `: ${why}`}`
    return { phase: 'ended', reason: 'failed', message, exitCode, ...times }
  }
  const before = (status.initContainerStatuses ?? []).find((each) => (each.state.terminated?.exitCode ?? 0) !== 0)
  if (before && status.phase === 'Failed') {
    const { exitCode = 1 } = before.state.terminated ?? {}
    const message = `What prepares it (${before.name}) ended with exit code ${exitCode}`
    return { phase: 'ended', reason: 'failed', message, exitCode }
  }
  if (status.phase === 'Failed') return { phase: 'ended', reason: 'failed', message: 'The cluster says that it failed' }
  if (status.phase === 'Succeeded') return { phase: 'ended', reason: 'completed', message: 'It ended' }
  return undefined
}

/** How a pod that was taken away came to its end: asked once it is gone. */
export function readGone(pod: SeenPod): Extract<Observation, { phase: 'ended' }> | undefined {
  const disruption = condition(pod, 'DisruptionTarget')
  if (disruption?.status !== 'True') return readEnd(pod)
  return { phase: 'ended', ...disruptionInWords(disruption.reason ?? '', disruption.message ?? '') }
}

function disruptionInWords(reason: string, message: string): { reason: EndReason; message: string } {
  const why = oneLine(message)
  const more = why === '' ? '' : ` (${why})`
  switch (reason) {
    case 'PreemptionByScheduler':
      return { reason: 'preempted', message: `Something with a higher priority took its place${more}` }
    case 'DeletionByTaintManager':
    case 'DeletionByPodGC':
      return { reason: 'nodeLost', message: `The machine that it ran on was lost${more}` }
    case 'TerminationByKubelet':
      return { reason: 'evicted', message: `Its machine ran short of memory or disk, or was shut down${more}` }
    default:
      return { reason: 'evicted', message: `Its machine is being emptied, for maintenance as a rule${more}` }
  }
}

function failureInWords(reason: string, message: string): { reason: EndReason; message: string } {
  const why = oneLine(message)
  const more = why === '' ? '' : `: ${why}`
  switch (reason) {
    case 'Evicted':
      return { reason: 'evicted', message: `Its machine ran short of something${more}` }
    case 'NodeLost':
    case 'NodeShutdown':
    case 'Shutdown':
    case 'Terminated':
      return { reason: 'nodeLost', message: `The machine that it ran on was lost or shut down${more}` }
    case 'DeadlineExceeded':
      return { reason: 'timeLimit', message: 'It reached its time limit' }
    case 'OutOfcpu':
    case 'OutOfmemory':
    case 'OutOfpods':
      return { reason: 'launchRefused', message: `Its machine had no room for it any more${more}. Launch it again.` }
    default:
      return { reason: 'failed', message: `The cluster ended it (${oneLine(reason)})${more}` }
  }
}

function readPending(pod: SeenPod, words: ReadonlyMap<string, Word>, now: Date, patience: Patience): Observation {
  const statuses = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])]
  for (const { state } of statuses) {
    if (!state.waiting) continue
    const { reason, message } = state.waiting
    const said = waitingInWords(reason, message)
    if (said.hopeless === 'atOnce') return refused(said.message)
    if (said.hopeless === 'soon' && age(words.get('Failed'), pod, now) >= patience.pullPatience) {
      return refused(said.message)
    }
    if (said.hopeless === 'soon') return pending('pulling', said.message)
  }
  const scheduled = condition(pod, 'PodScheduled')
  if (scheduled?.status === 'False') return readUnscheduled(pod, scheduled.message ?? '', words, now, patience)
  if (!scheduled && !pod.spec.nodeName) return pending('accepted', 'The cluster has accepted it')
  const mounting = newest(words, ['FailedMount', 'FailedAttachVolume', 'FailedMapVolume'])
  if (mounting && !isStarting(statuses)) {
    const { message } = wordsOfEvent(mounting)
    if (now.getTime() - mounting.since.getTime() >= patience.mountPatience) return refused(message)
    return pending('mounting', message)
  }
  const last = newest(words, ['Pulling', 'Pulled', 'Created', 'Started', 'Scheduled', 'FailedCreatePodSandBox'])
  return last ? pending(stageOf(last.reason), wordsOfEvent(last).message) : pending('scheduling', 'A machine was found')
}

function readUnscheduled(
  pod: SeenPod,
  message: string,
  words: ReadonlyMap<string, Word>,
  now: Date,
  { unschedulablePatience }: Patience,
): Observation {
  const scaling = words.get('TriggeredScaleUp')
  if (scaling) return pending('scheduling', wordsOfEvent(scaling).message)
  const why = `No machine has room for it now: ${oneLine(message)}`
  const waitedMs = now.getTime() - pod.metadata.creationTimestamp.getTime()
  if (waitedMs >= unschedulablePatience) return refused(`${why}. Choose a smaller size, or try again later.`)
  return pending('queued', why)
}

function stageOf(reason: string): Stage {
  switch (reason) {
    case 'Pulling':
      return 'pulling'
    case 'Scheduled':
      return 'mounting'
    default:
      return 'starting'
  }
}

function isStarting(statuses: readonly SeenContainer[]): boolean {
  return statuses.some(({ state }) => state.running ?? state.terminated)
}

function newest(words: ReadonlyMap<string, Word>, reasons: readonly string[]): Word | undefined {
  return reasons
    .flatMap((reason) => words.get(reason) ?? [])
    .reduce<Word | undefined>((last, word) => (last && last.at > word.at ? last : word), undefined)
}

/** How long it has been said, or since the pod was made when events did not come. ms. */
function age(word: Word | undefined, pod: SeenPod, now: Date): number {
  return now.getTime() - (word?.since ?? pod.metadata.creationTimestamp).getTime()
}

function pending(stage: Stage, message: string): Observation {
  return { phase: 'pending', stage, message }
}

function refused(message: string): Observation {
  return { phase: 'ended', reason: 'launchRefused', message }
}

function mainStatus(pod: SeenPod): SeenContainer | undefined {
  return pod.status.containerStatuses?.find(({ name }) => name === mainContainer)
}

function condition(pod: SeenPod, type: string) {
  return pod.status.conditions?.find((each) => each.type === type)
}

function addressesOf({ status }: SeenPod): readonly string[] {
  const all = [status.podIP, ...(status.podIPs ?? []).map(({ ip }) => ip)]
  return [...new Set(all.filter((ip) => typeof ip === 'string' && ip !== ''))] as string[]
}

function endOf({ metadata }: SeenPod, startedAt: Date): { endsAt?: Date } {
  const moved = Date.parse(metadata.annotations[annotation.endsAt] ?? '')
  if (!Number.isNaN(moved)) return { endsAt: new Date(moved) }
  const walltimeMs = Number(metadata.annotations[annotation.walltime] ?? '')
  return walltimeMs > 0 ? { endsAt: new Date(startedAt.getTime() + walltimeMs) } : {}
}
