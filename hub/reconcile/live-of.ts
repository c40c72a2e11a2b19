/** What a user has, newest first, as a transaction sees it. */
import type { Transaction } from 'kysely'
import { type Environment, readEnvironment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import { liveRowsOf, lockUser } from '../store/environments.ts'
import type { Store } from '../store/index.ts'
import type { Tables } from '../store/schema.ts'
import type { Board } from './board.ts'

export interface LiveOf {
  readonly userId: string
  readonly limits: string | null
  readonly live: Environment[]
}

/**
 * What a user has, newest first, as a transaction sees it: read once for all of the user's launches that are committed
 * together (the writer puts them side by side), each of which adds its own.
 */
export function createLiveOf(
  store: Store,
  board: Board,
): (trx: Transaction<Tables>, userId: string) => Promise<LiveOf> {
  const known = new WeakMap<Transaction<Tables>, LiveOf>()

  async function read(trx: Transaction<Tables>, userId: string): Promise<Environment[]> {
    switch (store.type) {
      case 'postgresql':
        return (await liveRowsOf(trx, userId)).map(readEnvironment)
      case 'sqlite':
        // This process alone writes, one commit after the other, and the board has heard of each before the next begins.
        return liveOn(board, userId)
    }
  }

  return async (trx, userId) => {
    const before = known.get(trx)
    if (before?.userId === userId) return before
    const locked = await lockUser(trx, store.type, userId)
    if (locked === undefined) {
      throw new Problem('forbidden', 'Your user does not exist any more. Log in again.')
    }
    const made = { userId, limits: locked.limits, live: await read(trx, userId) }
    known.set(trx, made)
    return made
  }
}

/** Newest first. */
export function liveOn(board: Board, userId: string): Environment[] {
  return board.of(userId).map(({ environment }) => environment)
}
