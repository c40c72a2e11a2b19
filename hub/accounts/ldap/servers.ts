/** Several directories that say the same: each asked in turn until one answers, and those last that failed. */
import type { Client } from 'ldapts'
import type { Log } from '../../../spawners/spawner.ts'
import { Problem } from '../../domain/problem.ts'
import { type LdapConnection, withServer } from './connection.ts'

/** One that failed is asked after the others for as long. */
const lastMs = 30_000
/** And by nobody for as long: a hundred launches must not each wait for the dead one. It may be one bad moment. */
const leftOutMs = 3_000
/** All that fail together take no longer than this many of them. */
const mostDeadlines = 3
/** Most conversations at once; each needs a connection and a bind. */
const mostAtOnce = 16
/** Beyond it nobody waits: the directory is too slow. */
const mostWaiting = 1_000

export interface Servers {
  /** The first answer. A Problem is one. @throws Error when none of them gave one. */
  ask<T>(signal: AbortSignal, work: (client: Client) => Promise<T>): Promise<T>
}

export interface ServersOptions {
  readonly addresses: readonly string[]
  readonly connection: LdapConnection
  readonly deadlineMs: number
  readonly now: () => Date
  readonly log: Log
}

export function createServers({ addresses, connection, deadlineMs, now, log }: ServersOptions): Servers {
  const failedAt = new Map<string, number>()
  const turn = createTurns()

  function failedWithin(address: string, ms: number): boolean {
    const age = now().getTime() - (failedAt.get(address) ?? Number.NaN)
    return age >= 0 && age < ms
  }

  function candidates(): readonly string[] {
    const later = (address: string) => Number(failedWithin(address, lastMs))
    return addresses
      .filter((address) => !failedWithin(address, leftOutMs))
      .toSorted((one, other) => later(one) - later(other))
  }

  async function ask<T>(signal: AbortSignal, work: (client: Client) => Promise<T>): Promise<T> {
    const errors: unknown[] = []
    // Whoever launches doesn't wait for all of many.
    const altogether = AbortSignal.timeout(mostDeadlines * deadlineMs)
    for (const address of candidates()) {
      if (altogether.aborted) break
      const deadline = AbortSignal.timeout(deadlineMs)
      try {
        const answer = await withServer(address, connection, AbortSignal.any([signal, altogether, deadline]), work)
        failedAt.delete(address)
        return answer
      } catch (error) {
        if (error instanceof Problem) throw error
        // Whoever asked has gone: that says nothing about the server.
        signal.throwIfAborted()
        failedAt.set(address, now().getTime())
        log.warn({ err: error, server: address }, 'a directory server does not answer')
        errors.push(error)
      }
    }
    if (errors.length === 0) throw new Error('all directory servers failed a moment ago')
    throw new AggregateError(errors, 'no directory server answers')
  }

  return { ask: (signal, work) => turn(signal, () => ask(signal, work)) }
}

/** One after the other beyond `mostAtOnce`, in the order of asking. */
function createTurns(): <T>(signal: AbortSignal, work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (signal, work) => {
    if (running >= mostAtOnce) {
      if (waiting.length >= mostWaiting) throw new Error(`${mostWaiting} wait for the directory already`)
      // Who waits takes over the place of who ends, so `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else {
      running += 1
    }
    try {
      signal.throwIfAborted()
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
