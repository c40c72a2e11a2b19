/** Work that is done again and again: one round at a time, the next some time after the last is over. */
import type { Log } from '../../spawners/spawner.ts'
import type { Timers } from './timers.ts'

export interface Rounds {
  /** A round that goes on should leave off. */
  readonly isClosed: boolean
  /** The first begins at once. */
  start(): void
  /** Returns when the one that goes on is over. */
  close(): Promise<void>
}

export interface RoundsOptions {
  readonly round: () => Promise<void>
  readonly everyMs: number
  readonly timers: Timers
  readonly log: Log
  /** What is logged when a round fails; the next one comes all the same. */
  readonly trouble: string
}

export function createRounds({ round, everyMs, timers, log, trouble }: RoundsOptions): Rounds {
  let cancel = (): void => undefined
  let running = Promise.resolve()
  let isClosed = false

  function start(): void {
    running = round()
      .catch((error: unknown) => log.warn({ err: error }, trouble))
      .finally(() => {
        if (!isClosed) cancel = timers.after(everyMs, start)
      })
  }

  return {
    get isClosed() {
      return isClosed
    },
    start,
    async close() {
      isClosed = true
      cancel()
      await running
    },
  }
}
