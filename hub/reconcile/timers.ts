/** Time that passes, as a parameter: a test can let hours pass in a moment. */
export interface Timers {
  /** Calls back once, after `ms`; returns what cancels it. */
  after(ms: number, call: () => void): () => void
}

/** setTimeout would fire at once beyond this. */
const longestMs = 2 ** 31 - 1

export const realTimers: Timers = {
  after(ms, call) {
    const timer = setTimeout(call, Math.min(Math.max(ms, 0), longestMs))
    return () => clearTimeout(timer)
  },
}

class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded'
}

/** Gives `work` a signal, and up on it when it does not heed that. */
export async function withDeadline<T>(
  timers: Timers,
  ms: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const inner = new AbortController()
  const given = Promise.withResolvers<never>()
  const stop = (reason: unknown): void => {
    inner.abort(reason)
    given.reject(reason instanceof Error ? reason : new Error('stopped'))
  }
  const onAbort = (): void => stop(outer.reason)
  const cancel = timers.after(ms, () => stop(new DeadlineExceeded(`no answer within ${ms} ms`)))
  outer.addEventListener('abort', onAbort, { once: true })
  try {
    if (outer.aborted) onAbort()
    return await Promise.race([work(inner.signal), given.promise])
  } finally {
    cancel()
    outer.removeEventListener('abort', onAbort)
  }
}
