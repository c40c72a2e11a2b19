/**
 * What to do next for one environment: a pure function of its row (what is wanted, what was done), of what its
 * backend shows, and of the time. The six laws of the reconcile loop are here and in hub/reconcile, which obeys it.
 */
import type { EndReason, Observation } from '../../spawners/spawner.ts'
import type { EnvironmentRow } from '../store/schema.ts'
import { endMessages } from './end-messages.ts'
import { admittedEnd, readExtensions } from './extension.ts'

/** The part of the row that decides. Times are ms since the epoch. */
export type Subject = Pick<
  EnvironmentRow,
  | 'profile'
  | 'wanted'
  | 'wanted_reason'
  | 'observed_at'
  | 'action'
  | 'action_begun_at'
  | 'action_at'
  | 'attempts'
  | 'port'
  | 'wanted_at'
  | 'accepted_at'
  | 'started_at'
  | 'ready_at'
  | 'ends_at'
  | 'ended_at'
  | 'extensions'
>

/** What the newest observation says of this one. `begunAt`: when that observation was begun. */
export type Answer =
  /** None was answered yet, or the backend can't tell now. */
  | Readonly<{ is: 'unknown' }>
  | Readonly<{ is: 'absent'; begunAt: number }>
  | Readonly<{ is: 'found'; begunAt: number; observation: Told }>

export type Told = Exclude<Observation, { phase: 'unknown' }>

export interface Seen {
  readonly answer: Answer
  /** When this loop took over: what was begun before may be under way, what became due before was seen by nobody. */
  readonly since: number
  /** When it was clear that the last action's answer is lost; null: it came, or it is still awaited. */
  readonly lostAt: number | null
  /** Nothing that was begun earlier than the last action can have an effect after this. */
  readonly earlierSettledAt: number
  /** When its agent should be asked next. */
  readonly probeAt: number
  /** When the backend may be asked again for a later end. */
  readonly extendAt: number
  /** The backend gave an address by itself: there is no agent that would report one. */
  readonly hasAddress: boolean
  /** Its backend has room, and its turn has come. Asked of what was never asked for. */
  readonly hasTurn: boolean
}

export interface DecideSettings {
  /** The spawner's: how long after an accepted action an observation may still miss it. */
  readonly visibilityLagMs: number
  /** The deadline of every action: after it, an unanswered one has had its effect or never will. */
  readonly actionTimeoutMs: number
  /** Between tries of an action: doubled each time, up to the last. */
  readonly firstRetryMs: number
  readonly lastRetryMs: number
  /** An environment that the backend did not accept within this time is not wanted any more. */
  readonly launchPatienceMs: number
  /** What runs on this long after its removal was accepted is removed again. */
  readonly removeAgainMs: number
  /** The backend (time limit) and the agent (start) end it themselves, and say more; the hub does this much later. */
  readonly graceMs: number
  /** From running to ready. */
  readonly startTimeoutMs: (profile: string) => number
  /** The backend has an end of its own for each, which can be moved. */
  readonly canExtend: boolean
}

export type Step =
  /** `until`: when to decide again, if nothing happens before. */
  | Readonly<{ do: 'nothing'; until?: number }>
  /** Only an observation begun at `from` or later can tell. */
  | Readonly<{ do: 'observe'; from: number }>
  | Readonly<{ do: 'ensure' }>
  | Readonly<{ do: 'remove' }>
  | Readonly<{ do: 'probe' }>
  /** The backend does not know yet that it may go on until then, ms since the epoch. */
  | Readonly<{ do: 'extend'; until: number }>
  /** From now on it is wanted absent. */
  | Readonly<{ do: 'expire'; reason: EndReason }>
  /** It is over: the row becomes a record. */
  | Readonly<{ do: 'end'; reason: EndReason; message: string }>

const nothing: Step = { do: 'nothing' }

export function decide(row: Subject, seen: Seen, now: number, settings: DecideSettings): Step {
  if (row.ended_at !== null) return nothing
  if (row.wanted === 'absent') return decideAbsent(row, seen, now, settings)
  // Nothing was ever asked for, so nothing can be there: no observation is needed to begin.
  if (row.action === null && row.observed_at === null) return seen.hasTurn ? { do: 'ensure' } : nothing
  const { answer } = seen
  switch (answer.is) {
    // Law 2: a backend that can't answer changes nothing. Asking its agent changes nothing either.
    case 'unknown':
      return row.port !== null && row.ready_at === null ? waitOr({ do: 'probe' }, seen.probeAt, now) : nothing
    case 'absent':
      return decideMissing(row, seen, answer.begunAt, now, settings)
    case 'found':
      return decideFound(row, seen, answer.observation, now, settings)
  }
}

function decideMissing(row: Subject, seen: Seen, begunAt: number, now: number, settings: DecideSettings): Step {
  const isKnown = row.accepted_at !== null || row.observed_at !== null
  // To launch what may be there already is no harm: twice is once. To call it gone would be.
  const countsFrom = isKnown ? absenceCountsFrom(row, seen, settings) : lostFrom(row, seen, settings)
  if (begunAt < countsFrom) return { do: 'observe', from: countsFrom }
  // Law 5: what was accepted or seen was there. Now it is not, so it is over; it is never launched again silently.
  if (isKnown) return { do: 'end', reason: 'vanished', message: endMessages.vanished }
  // The submit's answer was lost, and nothing came of it.
  if (now - row.wanted_at > settings.launchPatienceMs && begunAt >= absenceCountsFrom(row, seen, settings)) {
    return { do: 'end', reason: 'startTimeout', message: 'The computing service did not accept it. Launch it again.' }
  }
  return waitOr({ do: 'ensure' }, retryAt(row, seen, settings), now)
}

function decideFound(row: Subject, seen: Seen, observation: Told, now: number, settings: DecideSettings): Step {
  switch (observation.phase) {
    case 'ended':
      return {
        do: 'end',
        reason: observation.reason,
        message: observation.message || endMessages[observation.reason],
      }
    case 'pending':
    case 'stopping':
      return nothing
    case 'running':
      return decideRunning(row, seen, now, settings)
  }
}

/** Backends count in minutes. */
const endSlackMs = 60_000

function decideRunning(row: Subject, seen: Seen, now: number, settings: DecideSettings): Step {
  const timeLimitAt = row.ends_at === null ? Infinity : row.ends_at + settings.graceMs
  if (now >= timeLimitAt) return { do: 'expire', reason: 'timeLimit' }
  const until = settings.canExtend ? admittedEnd(readExtensions(row.extensions)) : undefined
  const isShort = until !== undefined && row.ends_at !== null && row.ends_at + endSlackMs < until
  if (isShort && now >= seen.extendAt) return { do: 'extend', until }
  const isReachable = row.port !== null || seen.hasAddress
  const wakeAt = isShort ? Math.min(timeLimitAt, seen.extendAt) : timeLimitAt
  if (row.ready_at !== null) return waitOr({ do: 'probe' }, seen.probeAt, now, wakeAt)
  // What became ready while no hub was there to hear it gets the time to say so again.
  const since = Math.max(row.started_at ?? 0, seen.since)
  const startLimitAt = since + settings.startTimeoutMs(row.profile) + settings.graceMs
  if (now >= startLimitAt) return { do: 'expire', reason: 'startTimeout' }
  const limitAt = Math.min(wakeAt, startLimitAt)
  return isReachable ? waitOr({ do: 'probe' }, seen.probeAt, now, limitAt) : { do: 'nothing', until: limitAt }
}

function decideAbsent(row: Subject, seen: Seen, now: number, settings: DecideSettings): Step {
  const reason = (row.wanted_reason ?? 'cancelled') as EndReason
  const over: Step = { do: 'end', reason, message: endMessages[reason] }
  const { answer } = seen
  if (row.action === null && row.observed_at === null) return over
  if (answer.is === 'found' && answer.observation.phase === 'ended') return over
  // It is somebody's wish, not a guess: it needs no observation, and asking twice is asking once.
  if (row.action !== 'remove') return { do: 'remove' }
  if (row.action_at === null) {
    if (answer.is === 'absent' && answer.begunAt >= absenceCountsFrom(row, seen, settings)) return over
    return waitOr({ do: 'remove' }, retryAt(row, seen, settings), now)
  }
  switch (answer.is) {
    case 'unknown':
      return nothing
    case 'absent': {
      const countsFrom = absenceCountsFrom(row, seen, settings)
      return answer.begunAt >= countsFrom ? over : { do: 'observe', from: countsFrom }
    }
    case 'found':
      return waitOr({ do: 'remove' }, row.action_at + settings.removeAgainMs, now)
  }
}

/** Law 6: only an observation begun after everything that was asked for must be visible can tell that nothing is there. */
function absenceCountsFrom(row: Subject, seen: Seen, settings: DecideSettings): number {
  return Math.max(settledAt(row, seen.since, settings), seen.earlierSettledAt) + settings.visibilityLagMs
}

/** Nothing of the row's last action can have an effect after this. */
export function settledAt(row: Subject, since: number, settings: DecideSettings): number {
  if (row.action === null || row.action_begun_at === null) return since
  // Another process (with another clock, perhaps) began it, and may have been cut off just now. That a first launch was
  // accepted is all that there is to know of it; before a removal or another try there may have been a launch whose
  // answer was lost, and which only that process remembered.
  if (row.action_begun_at < since) {
    const isAnswered = row.action === 'ensure' && row.action_at !== null && row.attempts <= 1
    return isAnswered ? since : since + settings.actionTimeoutMs
  }
  // An answer that is lost tells nothing: what was asked for may still be on its way.
  return row.action_at ?? row.action_begun_at + settings.actionTimeoutMs
}

/** The last action is not under way in this process any more; where it was lost, its effect should be seen from then on. */
function lostFrom(row: Subject, seen: Seen, settings: DecideSettings): number {
  return (seen.lostAt ?? settledAt(row, seen.since, settings)) + settings.visibilityLagMs
}

/** `attempts` counts the actions of this kind that were begun. */
function retryAt(row: Subject, seen: Seen, settings: DecideSettings): number {
  const doublings = Math.min(Math.max(row.attempts - 1, 0), 30)
  const lostAt = seen.lostAt ?? settledAt(row, seen.since, settings)
  return lostAt + Math.min(settings.lastRetryMs, settings.firstRetryMs * 2 ** doublings)
}

function waitOr(step: Step, at: number, now: number, limitAt = Infinity): Step {
  if (now >= at) return step
  return { do: 'nothing', until: Math.min(at, limitAt) }
}
