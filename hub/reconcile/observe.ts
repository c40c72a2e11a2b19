/** Looks at everything that the backend has, in one request: often while things change, seldom at rest. */
import { setImmediate as turn } from 'node:timers/promises'
import type { EnvironmentId, Found } from '../../spawners/spawner.ts'
import { admittedMs } from '../domain/extension.ts'
import { isSameObservation, recordObservation, type RowChange } from '../domain/observation.ts'
import { Fenced } from '../store/writer.ts'
import type { Entry } from './board.ts'
import { askBackend, type Context, writeRow } from './context.ts'
import type { Memory } from './memory.ts'
import { createStrays } from './strays.ts'

export interface Observer {
  /** An observation is begun at this time or soon after. */
  by(at: number): void
  /** Resolves when an observation that is begun after this call was taken and written; rejects when it is closed. */
  fresh(): Promise<void>
  close(): void
}

export interface ObserverOptions {
  readonly context: Context
  readonly memoryOf: (entry: Entry) => Memory
  readonly consider: (id: string) => void
  readonly deposed: () => void
}

/** The backend is left alone this many times as long as the last observation took. */
const restFactor = 5
const shortestRestMs = 25

export function createObserver({ context, memoryOf, consider, deposed }: ObserverOptions): Observer {
  const { name, board, spawner, settings, timers, now, log, metrics, signal } = context
  const strays = createStrays(context)
  let isClosed = false
  let isLooking = false
  let notBefore = 0
  let nextAt = Infinity
  let timerAt = Infinity
  let intervalMs = settings.shortestObserveMs
  let failures = 0
  let waiting: { since: number; taken: PromiseWithResolvers<void> }[] = []
  let cancelTimer = (): void => undefined

  function by(at: number): void {
    intervalMs = settings.shortestObserveMs
    arm(at)
  }

  function arm(at: number): void {
    if (isClosed) return
    nextAt = Math.min(nextAt, at)
    if (isLooking) return
    // The backend may want to be spared; and what it wants may have changed since it was last asked.
    const dueAt = Math.max(nextAt, notBefore, spawner.observeNotBefore?.() ?? 0)
    if (dueAt === timerAt) return
    timerAt = dueAt
    cancelTimer()
    cancelTimer = timers.after(dueAt - now().getTime(), () => {
      timerAt = Infinity
      if ((spawner.observeNotBefore?.() ?? 0) > now().getTime()) arm(nextAt)
      else void look()
    })
  }

  async function look(): Promise<void> {
    isLooking = true
    nextAt = Infinity
    const begunAt = now().getTime()
    try {
      const found = await askBackend(context, 'observe', settings.observeTimeoutMs, (inner) => spawner.observe(inner))
      if (isClosed) return
      if (failures > 0) log.info({ spawner: name, failures }, 'the backend answers again')
      failures = 0
      metrics.observed(name, new Date(begunAt))
      // What it shows is written together; what it does not change is decided at once.
      const changes = take(found, begunAt)
      if (changes.length > 0) intervalMs = settings.shortestObserveMs
      tellWaiting(begunAt, changes)
      await strays.handle(found)
    } catch (error) {
      if (error instanceof Fenced) deposed()
      else if (!isClosed) failed(error)
    } finally {
      finish(begunAt)
    }
  }

  function finish(begunAt: number): void {
    isLooking = false
    if (isClosed) return
    const at = now().getTime()
    notBefore = at + Math.max(shortestRestMs, restFactor * (at - begunAt))
    const wanted = Math.min(nextAt, at + intervalMs)
    intervalMs = Math.min(settings.longestObserveMs, intervalMs * 2)
    nextAt = Infinity
    arm(wanted)
  }

  /** Law 2: what was known is not taken for what is; nothing else changes. */
  function failed(error: unknown): void {
    failures += 1
    const message = 'the backend can not be observed; nothing is decided by its absence'
    if (failures === 1) log.warn({ spawner: name, err: error }, message)
    for (const entry of board.all()) {
      if (entry.row.spawner !== name) continue
      memoryOf(entry).answer = { is: 'unknown' }
      consider(entry.row.id)
    }
  }

  function tellWaiting(begunAt: number, changes: readonly Promise<void>[]): void {
    const told = waiting.filter(({ since }) => since <= begunAt)
    if (told.length === 0) return
    waiting = waiting.filter(({ since }) => since > begunAt)
    void Promise.all(changes).then(() => told.forEach(({ taken }) => taken.resolve()))
  }

  /** The writes of what it changes. */
  function take(found: ReadonlyMap<EnvironmentId, Found>, begunAt: number): readonly Promise<void>[] {
    const changes: Promise<void>[] = []
    for (const entry of board.all()) {
      if (entry.row.spawner !== name) continue
      const observation = found.get(entry.row.id as EnvironmentId)?.observation
      const memory = memoryOf(entry)
      if (observation === undefined) memory.answer = { is: 'absent', begunAt }
      else if (observation.phase === 'unknown') memory.answer = { is: 'unknown' }
      else {
        const { answer, shown } = memory
        memory.answer = { is: 'found', begunAt, observation }
        if (shown?.text === entry.row.observation && isSameObservation(shown.observation, observation)) {
          // Nothing to write; and nothing to decide that time alone would not bring about.
          if (answer.is !== 'found') consider(entry.row.id)
          continue
        }
        const change = recordObservation(entry.row, observation, now().getTime(), () =>
          admittedMs(entry.environment.spec.resources.walltimeMs, entry.environment.extensions),
        )
        if (change !== undefined) {
          changes.push(record(entry, change))
          continue
        }
        if (entry.row.observation !== null) memory.shown = { observation, text: entry.row.observation }
      }
      consider(entry.row.id)
    }
    return changes
  }

  /** Decided when it is written: the board tells. */
  async function record({ row }: Entry, change: RowChange): Promise<void> {
    try {
      await writeRow(context, row.id, change)
      if (row.started_at === null && change.started_at != null) {
        metrics.launched('running', name, (now().getTime() - row.requested_at) / 1_000)
      }
    } catch (error) {
      if (error instanceof Fenced) deposed()
      else if (!isClosed) log.error({ environment: row.id, err: error }, 'an observation could not be written')
    }
  }

  async function follow(): Promise<void> {
    let waitMs = settings.firstRetryMs
    while (!signal.aborted) {
      try {
        await spawner.watch?.(() => by(now().getTime()), signal)
        waitMs = settings.firstRetryMs
      } catch (error) {
        if (!signal.aborted) log.debug({ spawner: name, err: error }, 'following the backend broke off')
      }
      const rest = Promise.withResolvers<void>()
      const cancel = timers.after(waitMs, rest.resolve)
      signal.addEventListener('abort', () => rest.resolve(), { once: true })
      if (!signal.aborted) await rest.promise
      cancel()
      waitMs = Math.min(settings.lastRetryMs, waitMs * 2)
      await turn()
    }
  }
  if (spawner.watch) void follow()

  return {
    by,
    async fresh() {
      if (isClosed) throw new Error('the backend is not observed from here any more')
      const taken = Promise.withResolvers<void>()
      waiting.push({ since: now().getTime(), taken })
      by(now().getTime())
      await taken.promise
    },
    close() {
      isClosed = true
      cancelTimer()
      for (const { taken } of waiting) taken.reject(new Error('the backend is not observed from here any more'))
    },
  }
}
