/** When an environment that nobody uses is warned of and stopped: a pure rule. */

/** From a warning to the end, at least: in mails, and in the pages inside. */
export const warnBeforeMs = 30 * 60_000

/** Times are ms since the epoch. */
export interface Living {
  /** Evidence of use (kernels, input, CPU), or when it became ready: whatever was last. */
  readonly usedAt: number
  /** How long it may be unused; undefined: for ever. */
  readonly idleMs: number | undefined
  /** Its agent reports. One that is silent may be in use: nothing is known, so nothing is done. */
  readonly isHeard: boolean
}

/** A warning stands for the use that it was given after: whoever works on takes it back. */
export interface Warning {
  readonly usedAt: number
  readonly givenAt: number
}

export type IdleStep =
  | Readonly<{ do: 'nothing' }>
  | Readonly<{ do: 'warn'; stopsAt: number }>
  | Readonly<{ do: 'stop'; idleForMs: number }>

/** `warnMs`: from the warning to the stop, at least. */
export function idleStep(living: Living, warning: Warning | undefined, now: number, warnMs: number): IdleStep {
  const { usedAt, idleMs, isHeard } = living
  if (idleMs === undefined || !isHeard) return nothing
  const dueAt = usedAt + idleMs
  if (warning?.usedAt !== usedAt) {
    return now >= dueAt - warnMs ? { do: 'warn', stopsAt: Math.max(dueAt, now + warnMs) } : nothing
  }
  const stopsAt = Math.max(dueAt, warning.givenAt + warnMs)
  return now >= stopsAt ? { do: 'stop', idleForMs: now - usedAt } : nothing
}

const nothing: IdleStep = { do: 'nothing' }
