/** Work that is done again and again: one round at a time, the next some time after the last is over. */
import type { Log } from '../../spawners/spawner.ts'
import type { Timers } from './timers.ts'

export interface Rounds {
  /** A round that goes on should leave off. */
  readonly isClosed: boolean
  /** The first begins at once. */
  start(): void
  /** What is to be done may be due at another time than was known: the wait for the next round begins anew. */
  rearm(): void
  /** Returns when the one that goes on is over. */
  close(): Promise<void>
}

export interface RoundsOptions {
  readonly round: () => Promise<void>
  /** From the end of one round to the next; a function is asked at each. */
  readonly everyMs: number | (() => number)
  readonly timers: Timers
  readonly log: Log
  /** What is logged when a round fails; the next one comes all the same. */
  readonly trouble: string
}

export function createRounds({ round, everyMs, timers, log, trouble }: RoundsOptions): Rounds {
  let cancel = (): void => undefined
  let running = Promise.resolve()
  let isRunning = false
  let isClosed = false

  function start(): void {
    cancel()
    isRunning = true
    running = round()
      .catch((error: unknown) => log.warn({ err: error }, trouble))
      .finally(() => {
        isRunning = false
        wait()
      })
  }

  function wait(): void {
    cancel()
    if (!isClosed) cancel = timers.after(typeof everyMs === 'number' ? everyMs : everyMs(), start)
  }

  return {
    get isClosed() {
      return isClosed
    },
    start,
    rearm() {
      if (!isRunning) wait()
    },
    async close() {
      isClosed = true
      cancel()
      await running
    },
  }
}
