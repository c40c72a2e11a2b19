/**
 * Changes that come together share one transaction, in their order: hundreds of launches a second are a few commits
 * a second, each of them on the disk. What is read and applied in memory follows the order of the commits.
 */
import type { Kysely, Transaction } from 'kysely'
import { Problem } from '../domain/problem.ts'
import type { Change, Changes } from './changes.ts'
import { StateError } from './state-error.ts'
import type { Tables } from './schema.ts'

/** `tell`: other hubs hear of it when it is committed. */
export type Work<T> = (trx: Transaction<Tables>, tell: (change: Change) => void) => Promise<T>

export interface Writer {
  /**
   * Runs `work` in a transaction with others and returns its value once that is committed. Work that refuses
   * (throws a Problem or Fenced) must do so before its first write; it may run twice, when the database asks for it.
   * `committed` is called at once after the commit, in the order of the commits. `key`: what it locks; work that
   * goes together is sorted by it, so that hubs lock in one order, and keeps its order where the key is the same.
   */
  write<T>(key: string, work: Work<T>, committed?: (value: T) => void): Promise<T>
  /** Waits for what was given so far. */
  drain(): Promise<void>
}

/** Another hub has taken over what this one wanted to write about. */
export class Fenced extends Error {
  override readonly name = 'Fenced'
}

interface Job {
  readonly key: string
  run(trx: Transaction<Tables>, tell: (change: Change) => void): Promise<void>
  succeed(): void
  fail(error: unknown): void
}

const mostTogether = 256
const mostWaiting = 20_000
const mostTries = 4

export function createWriter(db: Kysely<Tables>, changes: Pick<Changes, 'tell'>): Writer {
  let waiting: Job[] = []
  let running = Promise.resolve()
  let isRunning = false

  async function run(): Promise<void> {
    isRunning = true
    // Whatever was asked for in this turn of the event loop comes along.
    await new Promise((resolve) => setImmediate(resolve))
    while (waiting.length > 0) {
      const jobs = waiting.slice(0, mostTogether).toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      waiting = waiting.slice(mostTogether)
      await together(jobs)
    }
    isRunning = false
  }

  /** One transaction for all; if it fails, one for each, so that nobody fails for another's fault. */
  async function together(jobs: readonly Job[]): Promise<void> {
    try {
      await transact(jobs)
    } catch (error) {
      if (jobs.length === 1 || error instanceof StateError) for (const each of jobs) each.fail(error)
      else for (const each of jobs) await together([each])
      return
    }
    for (const each of jobs) each.succeed()
  }

  async function transact(jobs: readonly Job[], tries = 1): Promise<void> {
    try {
      await db.transaction().execute(async (trx) => {
        const told: Change[] = []
        for (const each of jobs) await each.run(trx, (change) => told.push(change))
        await changes.tell(trx, told)
      })
    } catch (error) {
      if (tries >= mostTries || !isCollision(error)) throw error
      await transact(jobs, tries + 1)
    }
  }

  return {
    write<T>(key: string, work: Work<T>, committed?: (value: T) => void) {
      if (waiting.length >= mostWaiting) {
        return Promise.reject(new StateError('the database is too slow for what is asked; try again in a minute'))
      }
      const { promise, resolve, reject } = Promise.withResolvers<T>()
      waiting.push(job(key, work, committed, resolve, reject))
      if (!isRunning) running = run()
      return promise
    },
    drain: () => running,
  }
}

function job<T>(
  key: string,
  work: Work<T>,
  committed: ((value: T) => void) | undefined,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): Job {
  let outcome: { value: T } | { refusal: unknown } | undefined
  return {
    key,
    async run(trx, tell) {
      try {
        outcome = { value: await work(trx, tell) }
      } catch (error) {
        if (!(error instanceof Problem) && !(error instanceof Fenced)) throw error
        outcome = { refusal: error }
      }
    },
    succeed() {
      if (outcome === undefined) return reject(new Error('this was committed without having been run'))
      if ('refusal' in outcome) return reject(outcome.refusal)
      try {
        committed?.(outcome.value)
        resolve(outcome.value)
      } catch (error) {
        reject(error)
      }
    },
    fail: reject,
  }
}

/** PostgreSQL: serialization_failure, deadlock_detected. Two hubs wrote at once; one of them tries again. */
function isCollision(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code
  return code === '40001' || code === '40P01'
}
