/** Evidence that somebody or something works here; an open tab is none. */

export interface Activity {
  touch(at?: Date): void
  last(): Date | undefined
}

export function createActivity(now: () => Date): Activity {
  let last: Date | undefined
  return {
    touch(at = now()) {
      if (Number.isNaN(at.getTime())) return
      const seen = at > now() ? now() : at
      if (last === undefined || seen > last) last = seen
    },
    last: () => last,
  }
}
