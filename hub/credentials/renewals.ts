/**
 * Renews the tickets of what runs, when half of their time is over. What this process gave no tickets, as after a
 * restart of the hub, gets some at once.
 */
import type { Log, Spawner } from '../../spawners/spawner.ts'
import type { Environment } from '../domain/environment.ts'
import { createRounds } from '../reconcile/rounds.ts'
import type { Timers } from '../reconcile/timers.ts'
import type { Credentials } from './index.ts'

export interface Renewals {
  start(): void
  close(): Promise<void>
}

export interface RenewalsOptions {
  readonly credentials: Credentials
  readonly live: () => readonly Environment[]
  readonly spawners: ReadonlyMap<string, Pick<Spawner, 'renewTickets'>>
  /** Whether this hub reconciles the spawner: the others leave it alone. */
  readonly leads: (spawner: string) => boolean
  readonly timers: Timers
  readonly now: () => Date
  readonly log: Log
}

const askTimeoutMs = 30_000
const retryMs = 30_000
const sideBySide = 4
const soonestMs = 1_000
const latestMs = 30_000

export function createRenewals(options: RenewalsOptions): Renewals {
  const { credentials, live, spawners, leads, timers, now, log } = options
  const closing = new AbortController()

  const wanted = (): readonly Environment[] => live().filter(({ spec }) => spec.tickets === true)

  /** What does not run yet gets its tickets by its launch. */
  const isOurs = ({ spawner, observation }: Environment): boolean => observation?.phase === 'running' && leads(spawner)

  async function renew({ id, spawner: name, spec }: Environment): Promise<void> {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(askTimeoutMs)])
    try {
      const cache = await credentials.tickets(spec, signal)
      await spawners.get(name)?.renewTickets?.(spec, cache, signal)
    } catch (error) {
      credentials.putOff(id, now().getTime() + retryMs)
      if (!closing.signal.aborted)
        log.warn({ environment: id, spawner: name, err: error }, 'its tickets stay as they are')
    }
  }

  async function round(): Promise<void> {
    const all = wanted()
    credentials.keepOnly(new Set(all.map(({ id }) => id)))
    const at = now().getTime()
    const due = all.filter(isOurs).filter(({ id }) => credentials.dueAt(id) <= at)
    for (let first = 0; first < due.length && !closing.signal.aborted; first += sideBySide) {
      await Promise.all(due.slice(first, first + sideBySide).map(renew))
    }
  }

  function untilDue(): number {
    const at = now().getTime()
    // What was given tickets just now may run in a moment.
    const ours = wanted().filter((each) => isOurs(each) || credentials.dueAt(each.id) > 0)
    const soonest = ours.reduce((least, { id }) => Math.min(least, credentials.dueAt(id) - at), latestMs)
    return Math.max(soonestMs, soonest)
  }

  const trouble = 'tickets can not be looked at; trying again'
  const rounds = createRounds({ round, everyMs: untilDue, timers, log, trouble })
  // What begins may be due sooner than was known.
  credentials.follow(() => rounds.rearm())
  return {
    start: () => rounds.start(),
    async close() {
      closing.abort(new Error('the hub stops'))
      await rounds.close()
    },
  }
}
