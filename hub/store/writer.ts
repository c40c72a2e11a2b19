/**
 * Changes that come together share one transaction, in their order: hundreds of launches a second are some dozen
 * commits a second, each of them on the disk. What is read and applied in memory follows the order of the commits.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { type Kysely, sql, type Transaction } from 'kysely'
import { Problem } from '../domain/problem.ts'
import type { Change, Changes } from './changes.ts'
import type { DatabaseType } from './migrations.ts'
import { StateError } from './state-error.ts'
import type { Tables } from './schema.ts'

/** `tell`: other hubs hear of it when it is committed. */
type Work<T> = (trx: Transaction<Tables>, tell: (change: Change) => void) => Promise<T>

export interface Writer {
  /**
   * Runs `work` in a transaction with others and returns its value once that is committed. Work that refuses
   * (throws a Problem or Fenced) must do so before its first write; it may run twice, when the database asks for it.
   * `committed` is called at once after the commit, in the order of the commits. `key`: what it locks; work that
   * goes together is sorted by it, so that hubs lock in one order, and keeps its order where the key is the same.
   */
  write<T>(key: string, work: Work<T>, committed?: (value: T) => void): Promise<T>
  /**
   * The same for what a loop sees and does: a crash of the hub loses none of it, a power failure may lose the last
   * moments, and they are seen again.
   */
  note<T>(key: string, work: Work<T>, committed?: (value: T) => void): Promise<T>
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

/** SQLite works in this thread: a request should not have to wait for more than this before its turn comes. */
const mostTogether: Readonly<Record<DatabaseType, number>> = { sqlite: 32, postgresql: 256 }
const mostWaiting = 20_000
const mostTries = 4

export interface WriterOptions {
  readonly db: Kysely<Tables>
  readonly type: DatabaseType
  readonly changes: Pick<Changes, 'tell'>
  /** Returns when what was committed is on the disk. Absent: it is when the commit returns. */
  readonly flush?: () => Promise<void>
}

export function createWriter(options: WriterOptions): Writer {
  const { type, changes } = options
  const notes: Job[] = []
  const writes: Job[] = []
  let running = Promise.resolve()
  let isRunning = false

  async function run(): Promise<void> {
    // Whatever was asked for in this turn of the event loop comes along.
    await turn()
    while (notes.length + writes.length > 0) {
      if (notes.length > 0) await together(next(notes), 'normal')
      if (writes.length > 0) await together(next(writes), 'full')
      await turn()
    }
    isRunning = false
  }

  function next(queue: Job[]): Job[] {
    return queue.splice(0, mostTogether[type]).toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  }

  /** One transaction for all; if it fails, one for each, so that nobody fails for another's fault. */
  async function together(jobs: readonly Job[], durability: Durability): Promise<void> {
    try {
      await transact(jobs, durability)
    } catch (error) {
      if (jobs.length === 1 || error instanceof StateError) for (const each of jobs) each.fail(error)
      else for (const each of jobs) await together([each], durability)
      return
    }
    for (const each of jobs) each.succeed()
  }

  async function transact(jobs: readonly Job[], durability: Durability, tries = 1): Promise<void> {
    try {
      await committing(options, durability, async (trx) => {
        const told: Change[] = []
        for (const each of jobs) await each.run(trx, (change) => told.push(change))
        await changes.tell(trx, told)
      })
    } catch (error) {
      if (tries >= mostTries || !isCollision(error)) throw error
      await transact(jobs, durability, tries + 1)
    }
  }

  function queue(jobs: Job[]): Writer['write'] {
    return <T>(key: string, work: Work<T>, committed?: (value: T) => void) => {
      if (jobs.length >= mostWaiting) {
        return Promise.reject(new StateError('the database is too slow for what is asked; try again in a minute'))
      }
      const { promise, resolve, reject } = Promise.withResolvers<T>()
      jobs.push(job(key, work, committed, resolve, reject))
      if (!isRunning) {
        isRunning = true
        running = run()
      }
      return promise
    }
  }

  return { write: queue(writes), note: queue(notes), drain: () => running }
}

type Durability = 'full' | 'normal'

/**
 * PostgreSQL's commits wait elsewhere. SQLite's would wait for the disk in this thread, and every request with them:
 * so the waiting is done beside it, and only for those that must be on the disk (see sqlite.ts).
 */
async function committing(
  { db, flush }: WriterOptions,
  durability: Durability,
  work: (trx: Transaction<Tables>) => Promise<void>,
): Promise<void> {
  if (flush === undefined) return await db.transaction().execute(work)
  await db.connection().execute(async (connection) => {
    await sql`pragma synchronous = normal`.execute(connection)
    try {
      await connection.transaction().execute(work)
    } finally {
      await sql`pragma synchronous = full`.execute(connection)
    }
  })
  if (durability === 'full') await flush()
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
