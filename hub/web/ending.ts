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

export interface EndingContext {
  /** When it is stopped for want of use, if nothing happens; undefined: it is not. */
  readonly idleStopsAt: Date | undefined
  /** What limits allow it to live; undefined: for ever. */
  readonly longestMs: number | undefined
}

/** The first of what will end it; undefined: nothing that is known now. */
export function endingOf(environment: Environment, { idleStopsAt, longestMs }: EndingContext): Ending | undefined {
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
function unentitledText(proposals: readonly string[]): string {
  if (proposals.length === 0) return 'You may not use this installation any more.'
  const which = proposals.length === 1 ? 'the proposal' : 'the proposals'
  return `You are no longer on ${which} ${proposals.join(', ')}.`
}
