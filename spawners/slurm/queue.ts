/**
 * One look at the queue for everybody who wants to know, and not oftener than the cluster can bear: looks begin at
 * least `intervalMs` apart, and ten times as long as the last one took.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from './cluster.ts'
import { hasEnded } from './states.ts'

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
  /** ms since the epoch: until then nobody needs one, so that whoever does finds that it may begin at once. */
  welcomeAt(): number
  /** Something was removed: the next look tells whether it is gone. */
  removed(): void
  /** Something was submitted: a look in a moment tells more than one now. */
  submitted(): void
  /** A job runs and says so: now is the moment. */
  wake(): void
  /** A job says that it ends, or is silent all of a sudden: a look in a moment tells how it ended. */
  ending(): void
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
/**
 * At rest, in intervals: a job that starts says so itself, and needs a look at once. Whatever was looked at less than an
 * interval before makes it wait, so looks that nobody needs are few: of launches at rest, one in eight waits a moment.
 */
const restIntervals = 6
/** While nothing of ours is there. */
const emptyIntervals = 12
/** Of the interval: how long a submitted job gets to start and say so before the one look is spent on it. */
const settleShare = 0.9
/** Of the interval: how long a job that said goodbye takes to be over. */
const endShare = 0.2

export function createQueue({ intervalMs, look, now }: QueueOptions): Queue {
  const followers = new Set<(look: Look, before: Look | undefined) => void>()
  let latest: Look | undefined
  let begunAt = -Infinity
  let restMs = 0
  /** ms since the epoch: when somebody needs a look. What came before the last one began was answered by it. */
  let neededAt = -Infinity
  /** ms since the epoch: until then a job that was submitted may say that it runs, and would wait for a look now. */
  let settlesAt = -Infinity
  let isEmpty = false
  let running: Promise<unknown> = Promise.resolve()
  let waiting: Promise<Look> | undefined

  function notBefore(): number {
    return begunAt + Math.max(intervalMs, restMs)
  }

  function welcomeAt(): number {
    const restsUntil = begunAt + Math.max((isEmpty ? emptyIntervals : restIntervals) * intervalMs, restMs)
    return Math.max(notBefore(), Math.min(neededAt, Math.max(restsUntil, settlesAt)))
  }

  function needed(at: number): void {
    neededAt = Math.min(neededAt, at)
  }

  async function next(): Promise<Look> {
    await running.catch(() => undefined)
    while (notBefore() > now().getTime()) await sleep(Math.max(1, notBefore() - now().getTime()))
    waiting = undefined
    const looking = lookNow()
    running = looking
    return await looking
  }

  async function lookNow(): Promise<Look> {
    begunAt = now().getTime()
    neededAt = Infinity
    settlesAt = -Infinity
    try {
      const seen = { begunAt, digest: await look(AbortSignal.timeout(lookTimeoutMs)) }
      isEmpty = seen.digest.jobs.every(hasEnded)
      // What is just ending is looked at until it has.
      if (seen.digest.jobs.some(({ state }) => state === 'COMPLETING')) needed(begunAt)
      restMs = restFactor * (now().getTime() - begunAt)
      const before = latest
      latest = seen
      for (const each of followers) each(seen, before)
      return seen
    } catch (error) {
      // How long a dead controller takes to say so tells nothing of its load.
      restMs = now().getTime() - begunAt
      needed(begunAt)
      throw error
    }
  }

  return {
    notBefore,
    welcomeAt,
    latest: () => latest,
    async fresh(signal) {
      signal.throwIfAborted()
      waiting ??= next()
      // Whoever asked may be gone before it fails.
      waiting.catch(() => undefined)
      return await orAborted(waiting, signal)
    },
    submitted() {
      // From the first of several: one after the other must not put it off for ever.
      if (settlesAt === -Infinity) settlesAt = now().getTime() + settleShare * intervalMs
      needed(settlesAt)
    },
    removed: () => needed(now().getTime()),
    wake: () => needed(now().getTime()),
    ending: () => needed(now().getTime() + endShare * intervalMs),
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
