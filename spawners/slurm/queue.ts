/**
 * One look at the queue for everybody who wants to know, and not oftener than the cluster can bear: looks begin at
 * least `intervalMs` apart, and ten times as long as the last one took.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from './cluster.ts'

export interface Look {
  readonly digest: Digest
  readonly begunAt: number
}

export interface Queue {
  /** A look that is begun after this call. */
  fresh(signal: AbortSignal): Promise<Look>
  latest(): Look | undefined
  /** ms since the epoch: a look that is asked for earlier waits until then. */
  notBefore(): number
  /** Something was submitted: a look in a moment tells more than one now. */
  submitted(): void
  /** A job runs and says so: now is the moment. */
  wake(): void
  /** After each look. Returns the unsubscribe. */
  follow(seen: (look: Look, before: Look | undefined) => void): () => void
}

export interface QueueOptions {
  readonly intervalMs: number
  readonly look: (signal: AbortSignal) => Promise<Digest>
  readonly now: () => Date
}

const restFactor = 10
const lookTimeoutMs = 60_000
/** Of the interval: how long a submitted job gets to start before a look is spent on it. */
const settleShare = 0.3

export function createQueue({ intervalMs, look, now }: QueueOptions): Queue {
  const followers = new Set<(look: Look, before: Look | undefined) => void>()
  let latest: Look | undefined
  let begunAt = -Infinity
  let restMs = 0
  let submittedAt = -Infinity
  let running: Promise<unknown> = Promise.resolve()
  let waiting: Promise<Look> | undefined
  let woken = new AbortController()

  function notBefore(): number {
    const spaced = begunAt + Math.max(intervalMs, restMs)
    const settleMs = settleShare * intervalMs
    // One submit after the other must not put it off for ever.
    return Math.max(spaced, Math.min(submittedAt + settleMs, Math.max(spaced, begunAt) + settleMs))
  }

  async function next(): Promise<Look> {
    await running.catch(() => undefined)
    for (;;) {
      const leftMs = notBefore() - now().getTime()
      if (leftMs <= 0) break
      await sleep(leftMs, undefined, { signal: woken.signal }).catch(() => undefined)
      if (woken.signal.aborted) woken = new AbortController()
    }
    waiting = undefined
    const looking = lookNow()
    running = looking
    return await looking
  }

  async function lookNow(): Promise<Look> {
    begunAt = now().getTime()
    try {
      const seen = { begunAt, digest: await look(AbortSignal.timeout(lookTimeoutMs)) }
      restMs = restFactor * (now().getTime() - begunAt)
      const before = latest
      latest = seen
      for (const each of followers) each(seen, before)
      return seen
    } catch (error) {
      // How long a dead controller takes to say so tells nothing of its load.
      restMs = now().getTime() - begunAt
      throw error
    }
  }

  return {
    notBefore,
    latest: () => latest,
    async fresh(signal) {
      signal.throwIfAborted()
      waiting ??= next()
      // Whoever asked may be gone before it fails.
      waiting.catch(() => undefined)
      return await orAborted(waiting, signal)
    },
    submitted() {
      submittedAt = now().getTime()
    },
    wake() {
      submittedAt = -Infinity
      woken.abort()
    },
    follow(seen) {
      followers.add(seen)
      return () => void followers.delete(seen)
    },
  }
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
