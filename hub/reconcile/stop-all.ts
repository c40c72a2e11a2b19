/** A hub that stops and takes its environments along. */
import type { EndReason } from '../../spawners/spawner.ts'
import type { Board, Entry } from './board.ts'
import type { LiveEnvironments } from './service.ts'
import type { Timers } from './timers.ts'

export interface StopAllOptions {
  readonly reason: EndReason
  /** For their records. */
  readonly message: string
  readonly spawners?: readonly string[]
  readonly deadlineMs: number
}

export function createStopAll({
  board,
  environments,
  timers,
}: {
  board: Board
  environments: Pick<LiveEnvironments, 'stop'>
  timers: Timers
}): (options: StopAllOptions) => Promise<number> {
  return async ({ reason, message, spawners, deadlineMs }) => {
    const concerned = (): Entry[] => [...board.all()].filter(({ row }) => spawners?.includes(row.spawner) ?? true)
    await Promise.all(concerned().map(({ environment }) => environments.stop(environment.id, reason, message)))
    const over = Promise.withResolvers<void>()
    const check = (): void => {
      if (concerned().length === 0) over.resolve()
    }
    const unwatch = board.watch(check)
    const cancel = timers.after(deadlineMs, over.resolve)
    check()
    await over.promise
    unwatch()
    cancel()
    return concerned().length
  }
}
