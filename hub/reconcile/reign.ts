/**
 * One spawner's loop while this hub holds its lease. Every change of a row, answer of the backend, report and timer
 * leads to the same: decide for that one, and do the step. There is no other path, after a restart neither.
 */
import type { EnvironmentId } from '../../spawners/spawner.ts'
import { type DecideSettings, decide, type Step } from '../domain/decide.ts'
import type { Claim } from '../domain/environment.ts'
import { Fenced } from '../store/writer.ts'
import { end, ensure, extend, remove } from './act.ts'
import type { Entry } from './board.ts'
import { type Context, expireRow } from './context.ts'
import { type Memory, newMemory, seenOf } from './memory.ts'
import { createObserver } from './observe.ts'
import { probeEntry } from './probing.ts'
import { createSlots } from './slots.ts'

export interface Reign {
  /** Its agent reported. */
  heard(id: string, isReady: boolean): void
  /** Its agent's connection was cut, and it has no other. */
  hungUp(id: string): void
  /** Something may have happened in the backend. */
  nudge(): void
  /** See Observer. */
  fresh(): Promise<void>
  /** Begins nothing more and waits for what is under way, as long as the settings say. */
  close(): Promise<void>
}

export interface ReignOptions {
  readonly context: Context
  /** The lease is gone: another hub reconciles. */
  readonly deposed: () => void
}

export function createReign({ context, deposed }: ReignOptions): Reign {
  const { board, settings, timers, now, log, name, spawner, queue } = context
  const since = now().getTime()
  const rules: DecideSettings = {
    ...settings,
    visibilityLagMs: spawner.visibilityLagMs ?? 0,
    canExtend: spawner.extend !== undefined,
  }
  const memories = new Map<string, Memory>()
  const actions = createSlots(settings.mostAtOnce)
  const probes = createSlots(settings.mostAtOnce)
  const underWay = new Set<Promise<void>>()
  let isClosed = false
  let soonestAt = Infinity
  let cancelTimer = (): void => undefined

  function memoryOf(entry: Entry): Memory {
    const known = memories.get(entry.row.id)
    if (known) return known
    const made = newMemory(entry.row, since, settings.silentAfterMs)
    memories.set(entry.row.id, made)
    return made
  }

  function stepOf({ row, observation }: Entry, memory: Memory): Step {
    const { answer } = memory
    const told = answer.is === 'found' ? answer.observation : observation
    const hasAddress = told?.phase === 'running' && told.address !== undefined
    const hasTurn = queue === undefined || row.action !== null || queue.mayStart(row.id)
    return decide(row, seenOf(memory, { hasAddress, hasTurn }), now().getTime(), rules)
  }

  function consider(id: string): void {
    const entry = board.get(id)
    if (isClosed || entry?.row.spawner !== name) {
      if (entry === undefined) memories.delete(id)
      return
    }
    const memory = memoryOf(entry)
    if (memory.busy) return
    const at = now().getTime()
    if (memory.restUntil > at) return wake(memory, memory.restUntil)
    const step = stepOf(entry, memory)
    switch (step.do) {
      case 'nothing':
        return wake(memory, step.until ?? Infinity)
      case 'observe':
        return observer.by(step.from)
      case 'probe':
        if (!memory.probing) probe(entry, memory)
        return
      case 'ensure':
      case 'remove':
      case 'extend':
      case 'expire':
      case 'end':
        return act(id, memory, step.do)
    }
  }

  /** Decides once more when its turn has come: somebody may have changed their mind while it waited. */
  function act(id: string, memory: Memory, wanted: Step['do']): void {
    const dueAt = now().getTime()
    memory.busy = true
    const work = actions.run(async () => {
      const entry = board.get(id)
      if (isClosed || entry === undefined) return
      const step = stepOf(entry, memory)
      if (step.do !== wanted) return
      context.metrics.lag(name, (now().getTime() - dueAt) / 1_000)
      await perform(entry, memory, step)
    })
    follow(id, memory, work, () => {
      memory.busy = false
    })
  }

  async function perform(entry: Entry, memory: Memory, step: Step): Promise<void> {
    switch (step.do) {
      case 'ensure':
        await ensureInTurn(entry, memory)
        return observer.by(now().getTime() + rules.visibilityLagMs)
      case 'remove':
        await remove(context, entry, memory, rules)
        return observer.by(now().getTime() + rules.visibilityLagMs)
      case 'extend':
        await extend(context, entry, memory, { ...rules, until: step.until })
        return observer.by(now().getTime() + rules.visibilityLagMs)
      case 'expire':
        return await expireRow(context, entry.row.id, step.reason)
      case 'end':
        await end(context, entry, step.reason, step.message)
        // What the backend still lists of it is removed.
        return observer.by(now().getTime())
      case 'nothing':
      case 'observe':
      case 'probe':
        return undefined
    }
  }

  /** Its room is taken from this moment on, before anything is written. */
  async function ensureInTurn(entry: Entry, memory: Memory): Promise<void> {
    const turn = queue?.starting(entry.row.id)
    try {
      await ensure(context, entry, memory, rules)
    } finally {
      turn?.done()
    }
  }

  function probe({ row }: Entry, memory: Memory): void {
    memory.probing = true
    const work = probes.run(async () => {
      const entry = board.get(row.id)
      if (!isClosed && entry !== undefined) await probeEntry(context, entry, memory)
    })
    follow(row.id, memory, work, () => {
      memory.probing = false
    })
  }

  function follow(id: string, memory: Memory, work: Promise<void>, done: () => void): void {
    const followed = work
      .catch((error: unknown) => {
        if (error instanceof Fenced) return deposed()
        if (isClosed) return
        // The store can't be written, say: nothing is touched until it can.
        memory.restUntil = now().getTime() + settings.firstRetryMs
        log.error({ environment: id, spawner: name, err: error }, 'a step failed; it is tried again')
      })
      .finally(() => {
        underWay.delete(followed)
        done()
        consider(id)
      })
    underWay.add(followed)
  }

  function wake(memory: Memory, at: number): void {
    memory.dueAt = at
    if (at >= soonestAt) return
    soonestAt = at
    cancelTimer()
    cancelTimer = timers.after(at - now().getTime(), ring)
  }

  function ring(): void {
    soonestAt = Infinity
    const at = now().getTime()
    for (const [id, memory] of memories) {
      if (memory.dueAt > at) wake(memory, memory.dueAt)
      else {
        memory.dueAt = Infinity
        consider(id)
      }
    }
  }

  /** How it ended is the backend's to tell: where that is looked at seldom, it is looked at soon. */
  function ends(id: string): void {
    if (spawner.ending === undefined) return
    spawner.ending(id as EnvironmentId)
    observer.by(now().getTime())
  }

  /** Its agent says so, to whichever hub. */
  function saysGoodbye(entry: Entry): boolean {
    const { id, claim } = entry.row
    if (spawner.ending === undefined || claim === null || board.get(id) === undefined) return false
    const memory = memoryOf(entry)
    if (memory.claim === claim) return false
    memory.claim = claim
    const { application } = JSON.parse(claim) as Claim
    return application === 'ended' || application === 'failed'
  }

  const observer = createObserver({ context, memoryOf, consider, deposed })
  const unwatch = board.watch((entry) => {
    const { row } = entry
    if (row.spawner !== name) return
    consider(row.id)
    if (saysGoodbye(entry)) ends(row.id)
  })
  const leaveQueue = queue?.follow(() => {
    for (const id of queue.startable()) consider(id)
  })
  for (const { row } of board.all()) consider(row.id)
  observer.by(since)

  return {
    heard(id, isReady) {
      const entry = board.get(id)
      if (isClosed || entry?.row.spawner !== name) return
      const memory = memoryOf(entry)
      const at = now().getTime()
      const isNews = entry.row.ready_at === null ? isReady : entry.row.unreachable_since !== null
      memory.probeAt = isNews
        ? at
        : Math.max(memory.probeAt, entry.row.ready_at === null ? 0 : at + settings.silentAfterMs)
      if (isNews) consider(id)
    },
    hungUp(id) {
      if (!isClosed && board.get(id)?.row.spawner === name) ends(id)
    },
    nudge: () => observer.by(now().getTime()),
    fresh: () => observer.fresh(),
    async close() {
      isClosed = true
      cancelTimer()
      unwatch()
      leaveQueue?.()
      observer.close()
      const patience = Promise.withResolvers<void>()
      const cancel = timers.after(settings.closeMs, patience.resolve)
      await Promise.race([Promise.all(underWay), patience.promise])
      cancel()
    },
  }
}
