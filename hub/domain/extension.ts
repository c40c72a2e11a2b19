/** More time for what runs: what was admitted, as the row keeps it. Pure. */

/** Its time was made longer: admitted `at`, by `ms`. Times are ms since the epoch. */
export interface Extension {
  readonly at: number
  /** 0: refused, and nothing is held for it. */
  readonly ms: number
  /** Its end from then on. */
  readonly until: number
  /** Why the backend did not do it, for the user. */
  readonly refused?: string
}

export function readExtensions(text: string): readonly Extension[] {
  // Most have none, and this is asked for at every step.
  return text === '[]' ? [] : (JSON.parse(text) as Extension[])
}

/** The end that was admitted and that the backend may not have heard of yet; undefined: there is none but its own. */
export function admittedEnd(extensions: readonly Extension[]): number | undefined {
  const last = extensions.at(-1)
  return last === undefined || last.refused !== undefined ? undefined : last.until
}

/** From its start, also where the backend starts it anew; undefined: it has no end of its own. */
export function admittedMs(walltimeMs: number | undefined, extensions: readonly Extension[]): number | undefined {
  return walltimeMs === undefined ? undefined : extensions.reduce((sum, { ms }) => sum + ms, walltimeMs)
}
