/** A word of a search that is a year, a month or a day: all that began then. Pure. */
export interface Span {
  readonly from: Date
  /** The first moment after it. */
  readonly until: Date
}

/** `word`: 2026, 2026-03 or 2026-03-10, of years that a calendar page can show. Undefined: any other word. */
export function spanOf(word: string): Span | undefined {
  const [, year, month, day] = /^((?:19|20|21)\d\d)(?:-(\d\d)(?:-(\d\d))?)?$/.exec(word) ?? []
  if (year === undefined) return undefined
  const [y, m, d] = [Number(year), Number(month ?? 1) - 1, Number(day ?? 1)]
  const from = new Date(Date.UTC(y, m, d))
  // The 31st of February would be another day.
  if (from.getUTCMonth() !== m || from.getUTCDate() !== d) return undefined
  const until =
    month === undefined ? Date.UTC(y + 1, 0) : day === undefined ? Date.UTC(y, m + 1) : Date.UTC(y, m, d + 1)
  return { from, until: new Date(until) }
}
