/** `Environments` of hub/domain/services.ts: the live ones from the board, the ended ones from the store. */
import type { EndReason, EnvironmentId } from '../../spawners/spawner.ts'
import { readEnvironment, type Unentitled } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments } from '../domain/services.ts'
import {
  changeLiveRow,
  deleteEndedRow,
  endedRowsOf,
  insertRow,
  lockEveryone,
  newestEndedRow,
  renameRow,
  rowOf,
  setActivity,
  startTimes,
  wantAbsent,
} from '../store/environments.ts'
import type { Store } from '../store/index.ts'
import type { Board } from './board.ts'
import { createLiveOf, liveOn } from './live-of.ts'
import type { Queue } from './queue.ts'
import type { Reports } from './reports.ts'

export interface LiveEnvironments extends Environments {
  /** Whether it has not ended, as far as this hub knows. */
  isLive(id: string): boolean
  /** As `stop`, with the words for its record. */
  stop(id: EnvironmentId, reason: EndReason, message?: string): Promise<void>
  /** Whether its owner may still have it, for all hubs and pages. What has ended stays as it is. */
  mark(id: EnvironmentId, unentitled: Unentitled | undefined): Promise<void>
}

export interface ServiceOptions {
  readonly store: Store
  readonly board: Board
  readonly reports: Reports
  readonly queues: ReadonlyMap<string, Pick<Queue, 'place'>>
  readonly now: () => Date
}

/** Fewer tell nothing about the next one. */
const fewestStarts = 3
const mostStarts = 20
const usualKeptMs = 60_000
/** Activity that is nearer to what is known is not worth a write. */
const activityStepMs = 30_000

export function createEnvironmentsService({ store, board, reports, queues, now }: ServiceOptions): LiveEnvironments {
  const usual = createUsualStarts(store, now)
  const liveOf = createLiveOf(store, board)
  return {
    reported: (id, report, remoteAddress) => reports.reported(id, report, remoteAddress),
    usage: (id) => reports.usage(id),
    queued: ({ id, spawner }) => queues.get(spawner)?.place(id),
    usualStartMs: usual,
    isLive: (id) => board.get(id) !== undefined,
    subscribe: (userId, changed) => board.subscribe(userId, changed),

    async launch(row, admit, { together, also } = {}) {
      const { committed } = await store.writer.write(
        `user ${row.user_id}`,
        async (trx, tell) => {
          // Before any user is locked: all hubs lock in one order.
          const isTogether = together?.() === true
          if (isTogether) await lockEveryone(trx, store.type)
          const { live, limits } = await liveOf(trx, row.user_id)
          if (live.some((other) => other.server === row.server)) {
            throw new Problem('conflict', `An environment with the name ${row.server} is there already.`)
          }
          await admit(live, { trx, limits, together: isTogether })
          tell({ of: 'environments', ids: [row.id] })
          const inserted = await insertRow(trx, row)
          const told = await also?.(trx)
          live.unshift(readEnvironment(inserted))
          return { committed: inserted, told }
        },
        ({ committed: inserted, told }) => {
          board.apply(inserted)
          told?.()
        },
      )
      return board.get(committed.id)?.environment ?? readEnvironment(committed)
    },

    async extend({ id, userId }, asked, admit, { together } = {}) {
      const extended = await store.writer.write(
        `user ${userId}`,
        async (trx, tell) => {
          const isTogether = together?.() === true
          if (isTogether) await lockEveryone(trx, store.type)
          const { live, limits } = await liveOf(trx, userId)
          const index = live.findIndex((each) => each.id === id)
          const before = live[index]
          if (before === undefined) throw new Problem('conflict', 'It has ended. Launch it again.')
          const { extension, endsAt } = asked(before)
          await admit(before, extension, live, { trx, limits, together: isTogether })
          const change = { extensions: JSON.stringify([...before.extensions, extension]) }
          const moved = endsAt === undefined ? change : { ...change, ends_at: endsAt }
          if (!(await changeLiveRow(trx, id, moved))) throw new Problem('conflict', 'It has ended. Launch it again.')
          tell({ of: 'environments', ids: [id] })
          const row = await rowOf(trx, id)
          if (row === undefined) throw noSuch()
          live[index] = readEnvironment(row)
          return row
        },
        (row) => board.apply(row),
      )
      return board.get(id)?.environment ?? readEnvironment(extended)
    },

    async get(id) {
      const entry = board.get(id)
      if (entry) return entry.environment
      const row = await rowOf(store.db, id)
      return row && readEnvironment(row)
    },

    async find(userName, server) {
      const entry = board.find(userName, server)
      if (entry) return entry.environment
      const row = await newestEndedRow(store.db, userName, server)
      return row && readEnvironment(row)
    },

    live: (userId) =>
      userId === undefined ? [...board.all()].map(({ environment }) => environment) : liveOn(board, userId),

    async list(userId, { endedSince, limit }) {
      const live = liveOn(board, userId).slice(0, limit)
      const left = limit - live.length
      if (left <= 0) return live
      const ended = await endedRowsOf(store.db, userId, endedSince.getTime(), left)
      return [...live, ...ended.map(readEnvironment)]
    },

    async stop(id, reason, message) {
      await store.writer.write(
        `environment ${id}`,
        async (trx, tell) => {
          const row = await wantAbsent(trx, id, reason, now().getTime(), message)
          if (row !== undefined) tell({ of: 'environments', ids: [id] })
          else if ((await rowOf(trx, id)) === undefined) throw noSuch()
          return row
        },
        (row) => row && board.apply(row),
      )
    },

    async mark(id, unentitled) {
      const change = { unentitled: unentitled === undefined ? null : JSON.stringify(unentitled) }
      await store.writer.write(
        `environment ${id}`,
        async (trx, tell) => {
          tell({ of: 'environments', ids: [id] })
          return await changeLiveRow(trx, id, change)
        },
        (isChanged) => {
          const entry = board.get(id)
          if (isChanged && entry) board.apply({ ...entry.row, ...change })
        },
      )
    },

    async forget(id) {
      const userId = await store.writer.write(
        `environment ${id}`,
        async (trx, tell) => {
          const row = await rowOf(trx, id)
          if (row === undefined) throw noSuch()
          if (row.ended_at === null) throw new Problem('conflict', 'It is still running. Stop it first.')
          await deleteEndedRow(trx, id)
          tell({ of: 'environments', ids: [id] })
          return row.user_id
        },
        () => board.drop(id),
      )
      board.tell(userId, id)
    },

    async rename(id, title) {
      const renamed = await store.writer.write(
        `environment ${id}`,
        async (trx, tell) => {
          const row = await renameRow(trx, id, title)
          if (row === undefined) throw noSuch()
          tell({ of: 'environments', ids: [id] })
          return row
        },
        (row) => row.ended_at === null && board.apply(row),
      )
      if (renamed.ended_at !== null) board.tell(renamed.user_id, id)
    },

    async active(at) {
      const latest = now().getTime()
      const news = Object.entries(at)
        .map(([id, moment]): [string, number] => [id, Math.min(moment, latest)])
        .filter(([id, moment]) => {
          const row = board.get(id)?.row
          return row !== undefined && moment >= (row.last_activity_at ?? 0) + activityStepMs
        })
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
      const [first] = news
      if (first === undefined) return
      await store.writer.note(
        `environment ${first[0]}`,
        async (trx) => {
          for (const [id, moment] of news) await setActivity(trx, id, moment)
        },
        () => {
          for (const [id, moment] of news) {
            const row = board.get(id)?.row
            if (row) board.apply({ ...row, last_activity_at: moment })
          }
        },
      )
    },
  }
}

function noSuch(): Problem {
  return new Problem('notFound', 'There is no such environment. Look on your home page.')
}

/** Medians, asked of the store once a minute whoever waits. */
function createUsualStarts(store: Store, now: () => Date): Environments['usualStartMs'] {
  const kept = new Map<string, { at: number; value: Promise<number | undefined> }>()

  async function median(profile: string, spawner: string): Promise<number | undefined> {
    const starts = await startTimes(store.db, profile, spawner, mostStarts)
    const times = starts.map((row) => (row.ready_at ?? 0) - row.requested_at).toSorted((a, b) => a - b)
    return times.length < fewestStarts ? undefined : times[Math.floor(times.length / 2)]
  }

  return (profile, spawner) => {
    // Both are names of the configuration, or of what ran by it, so there are few.
    const key = `${profile} ${spawner}`
    const at = now().getTime()
    const known = kept.get(key)
    if (known && at - known.at < usualKeptMs) return known.value
    const value = median(profile, spawner)
    value.catch(() => kept.delete(key))
    kept.set(key, { at, value })
    return value
  }
}
