/**
 * Deadlines of very many things: one timer looks at all of them every half second, because a timer of their own
 * for each request would cost more than the request.
 */
export interface Timed {
  /** Milliseconds on performance.now()'s clock; 0: none. */
  deadlineAt: number
  expired(): void
}

export interface Deadlines {
  readonly things: Set<Timed>
  /** The time of the last look: cheap, and at most half a second old. */
  readonly nowMs: number
  stop(): void
}

const everyMs = 500

export function watchDeadlines(): Deadlines {
  const things = new Set<Timed>()
  let nowMs = performance.now()
  const timer = setInterval(() => {
    nowMs = performance.now()
    for (const thing of things) if (thing.deadlineAt !== 0 && thing.deadlineAt < nowMs) thing.expired()
  }, everyMs)
  return {
    things,
    get nowMs() {
      return nowMs
    },
    stop: () => clearInterval(timer),
  }
}
