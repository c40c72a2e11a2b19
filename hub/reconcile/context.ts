/** What the parts of one spawner's loop share while this hub holds the lease. */
import type { Transaction } from 'kysely'
import type { EndReason, EnvironmentId, Log, Spawner } from '../../spawners/spawner.ts'
import { type Environment, readEnvironment } from '../domain/environment.ts'
import { readExtensions } from '../domain/extension.ts'
import type { RowChange } from '../domain/observation.ts'
import type { Store } from '../store/index.ts'
import { changeLiveRow, rowOf, wantAbsent } from '../store/environments.ts'
import type { EnvironmentRow, Tables } from '../store/schema.ts'
import type { Lease } from '../store/leases.ts'
import type { Board } from './board.ts'
import type { ReconcileMetrics } from './metrics.ts'
import type { Probe } from './probe.ts'
import type { Queue } from './queue.ts'
import type { LoopSettings } from './settings.ts'
import { type Timers, withDeadline } from './timers.ts'

export interface LoopOptions {
  /** The spawner's name in the configuration. */
  readonly name: string
  /** The hub's own id. */
  readonly hub: string
  /** This hub process, among those that share the database. */
  readonly holder: string
  readonly spawner: Spawner
  readonly board: Board
  readonly store: Store
  readonly settings: LoopSettings
  readonly timers: Timers
  readonly now: () => Date
  readonly log: Log
  readonly metrics: ReconcileMetrics
  readonly probe: Probe
  /** Who waits while it is full; undefined: it has no capacity of the hub's. */
  readonly queue: Queue | undefined
  /** Told of each that the loop itself wants ended. */
  readonly expired: (environment: Environment, reason: EndReason) => void
}

export interface Context extends LoopOptions {
  readonly lease: Lease
  /** Aborted when the lease is lost or the hub stops. */
  readonly signal: AbortSignal
}

export interface WriteOptions {
  /** Only while its target is of this one. */
  readonly generation?: number
  /** What belongs into the same transaction. */
  readonly also?: (trx: Transaction<Tables>) => Promise<void>
}

/** Writes what only the loop may; false: the row has ended or moved on. @throws Fenced when the lease is lost. */
export async function writeRow(
  { store, lease, board }: Context,
  id: string,
  change: RowChange,
  { generation, also }: WriteOptions = {},
): Promise<boolean> {
  const { isChanged } = await store.writer.note(
    `environment ${id}`,
    async (trx, tell) => {
      await store.leases.check(trx, lease)
      if (!(await changeLiveRow(trx, id, change, generation))) return { isChanged: false, row: await rowOf(trx, id) }
      await also?.(trx)
      tell({ of: 'environments', ids: [id] })
      return { isChanged: true, row: undefined }
    },
    ({ isChanged, row }) => {
      const entry = board.get(id)
      if (isChanged && entry) board.apply({ ...entry.row, ...change })
      // The board was wrong about it: from now on it is not.
      else if (row) board.apply(row)
      else if (!isChanged) board.drop(id)
    },
  )
  return isChanged
}

/** The loop's own wish, where a limit is reached. */
export async function expireRow(context: Context, id: string, reason: EndReason): Promise<void> {
  const { store, lease, board, now } = context
  await store.writer.note(
    `environment ${id}`,
    async (trx, tell) => {
      await store.leases.check(trx, lease)
      tell({ of: 'environments', ids: [id] })
      return await wantAbsent(trx, id, reason, now().getTime())
    },
    (row) => {
      if (row === undefined) return
      board.apply(row)
      context.expired(readEnvironment(row), reason)
    },
  )
}

/** Nothing is held for it any more, and its owner reads why. */
export async function refuseExtension(context: Context, row: EnvironmentRow, why: string): Promise<void> {
  const { store, lease, board } = context
  const known = readExtensions(row.extensions)
  const last = known.at(-1)
  if (last === undefined) return
  const refused = { ...last, ms: 0, refused: withoutNul(why).slice(0, longestRefusal) }
  const change = { extensions: JSON.stringify([...known.slice(0, -1), refused]) }
  await store.writer.note(
    `environment ${row.id}`,
    async (trx, tell) => {
      await store.leases.check(trx, lease)
      // Another one may have been admitted meanwhile.
      if ((await rowOf(trx, row.id))?.extensions !== row.extensions) return false
      tell({ of: 'environments', ids: [row.id] })
      return await changeLiveRow(trx, row.id, change)
    },
    (isChanged) => {
      const entry = board.get(row.id)
      if (isChanged && entry) board.apply({ ...entry.row, ...change })
    },
  )
}

const longestRefusal = 500

/** Asks the backend, with a deadline, and counts it. */
export async function askBackend<T>(
  { timers, signal, now, metrics, name }: Context,
  what: 'ensure' | 'remove' | 'extend' | 'observe',
  timeoutMs: number,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const begunAt = now().getTime()
  const seconds = (): number => (now().getTime() - begunAt) / 1_000
  try {
    const answer = await withDeadline(timers, timeoutMs, signal, ask)
    metrics.acted(what, name, 'ok', seconds())
    return answer
  } catch (error) {
    metrics.acted(what, name, 'failed', seconds())
    throw error
  }
}

const longestLogCharacters = 65_536

/** What it printed last; empty when that can't be told. PostgreSQL's text holds no NUL. */
export async function lastLines(
  { spawner, timers, settings, signal, log }: Context,
  id: EnvironmentId,
): Promise<string> {
  try {
    const text = await withDeadline(timers, settings.logsTimeoutMs, signal, async (inner) => spawner.logs?.(id, inner))
    return withoutNul(text ?? '').slice(-longestLogCharacters)
  } catch (error) {
    log.debug({ environment: id, err: error }, 'its last lines can not be had')
    return ''
  }
}

export function withoutNul(text: string): string {
  return text.replaceAll('\0', '')
}
