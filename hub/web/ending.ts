/** What ends an environment next, and why: for pages, mails and the warnings inside it. Pure. */
import type { Environment } from '../domain/environment.ts'

/** walltime: its own time; limit: the longest life that its owner's limits allow. */
type EndCause = 'walltime' | 'limit' | 'idle' | 'entitlement'

export interface Ending {
  readonly at: Date
  readonly cause: EndCause
  /** One sentence. */
  readonly why: string
}

/** What its owner's limits are. */
export interface TimeLimits {
  /** How long it may be unused; undefined: for ever. */
  readonly idleMs?: number | undefined
  /** How long it may live; undefined: for ever. */
  readonly longestMs?: number | undefined
}

/** By evidence of use: since when it is unused, and when it is stopped for that if nothing happens. */
export interface Idle {
  readonly since: Date
  readonly stopsAt: Date
}

/** Of what runs. `ending`: the first of what will end it; absent: nothing that is known now. */
export function endsOf(environment: Environment, limits: TimeLimits): { idle?: Idle; ending?: Ending } {
  const { is } = environment.state
  if (is !== 'ready' && is !== 'unreachable') return {}
  const idle = idleOf(environment, limits.idleMs)
  const ending = endingOf(environment, idle?.stopsAt, limits.longestMs)
  return { ...(idle === undefined ? {} : { idle }), ...(ending === undefined ? {} : { ending }) }
}

function idleOf({ state, readyAt, lastActivityAt }: Environment, idleMs: number | undefined): Idle | undefined {
  if (idleMs === undefined || state.is !== 'ready') return undefined
  const since = new Date(Math.max(readyAt?.getTime() ?? 0, lastActivityAt?.getTime() ?? 0))
  return { since, stopsAt: new Date(since.getTime() + idleMs) }
}

function endingOf(
  environment: Environment,
  idleStopsAt: Date | undefined,
  longestMs: number | undefined,
): Ending | undefined {
  const { endsAt, startedAt, unentitled } = environment
  const endings: Ending[] = []
  if (endsAt !== undefined) {
    const livesMs = endsAt.getTime() - (startedAt?.getTime() ?? 0)
    const isLimit = startedAt !== undefined && longestMs !== undefined && livesMs >= longestMs
    const why = isLimit ? 'Your limits allow it no longer life.' : 'Its time is over then.'
    endings.push({ at: endsAt, cause: isLimit ? 'limit' : 'walltime', why })
  }
  if (idleStopsAt !== undefined) endings.push({ at: idleStopsAt, cause: 'idle', why: 'It is not being used.' })
  if (unentitled !== undefined) {
    const why = unentitledText(unentitled.proposals)
    endings.push({ at: new Date(unentitled.until), cause: 'entitlement', why })
  }
  return endings.toSorted((a, b) => a.at.getTime() - b.at.getTime())[0]
}

/** Why its owner may not have it any more. */
export function unentitledText(proposals: readonly string[]): string {
  if (proposals.length === 0) return 'You may not use this installation any more.'
  const which = proposals.length === 1 ? 'the proposal' : 'the proposals'
  return `You are no longer on ${which} ${proposals.join(', ')}.`
}
