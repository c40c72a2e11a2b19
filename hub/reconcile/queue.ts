/**
 * Who waits for a backend that is full: rows that were never asked for, in a fair order. The rows are all that is kept,
 * so a restart loses nobody's place, and who is stopped has left. Every hub can tell the places; only the one that
 * reconciles the spawner starts anything.
 */
import type { Kysely } from 'kysely'
import type { Log } from '../../spawners/spawner.ts'
import type { QueuePlace } from '../domain/services.ts'
import {
  estimates,
  fairOrder,
  isWithin,
  type Placed,
  rememberedMs,
  type Size,
  startable,
  sumOf,
} from '../quota/fair.ts'
import type { Waiting } from '../quota/fair.ts'
import type { Tables } from '../store/schema.ts'
import type { Board, Entry } from './board.ts'
import type { Timers } from './timers.ts'

export interface Queue {
  /** Whether this one, which was never asked for, may be asked for now. */
  mayStart(id: string): boolean
  /** It is being asked for, until its row says so or `done` is called. */
  starting(id: string): { done(): void }
  /** Those that may start now. */
  startable(): readonly string[]
  place(id: string): QueuePlace | undefined
  /** Calls back when places change, or when somebody may start. Returns the unsubscribe. */
  follow(changed: () => void): () => void
  close(): void
}

export interface QueueOptions {
  /** The spawner's name. */
  readonly name: string
  readonly capacity: Size
  readonly board: Board
  readonly db: Kysely<Tables>
  readonly timers: Timers
  readonly now: () => Date
  readonly log: Log
}

const hourMs = 3_600_000
/** Whoever waits moves up; and what was used before is asked for again. */
const freshMs = 5_000
const spentFreshMs = 60_000
/** Many changes come at once. */
const restMs = 200

interface Picture {
  readonly at: number
  readonly startable: ReadonlySet<string>
  readonly places: ReadonlyMap<string, QueuePlace>
  /** Of those that wait. */
  readonly owners: ReadonlyMap<string, string>
}

export function createQueue({ name, capacity, board, db, timers, now, log }: QueueOptions): Queue {
  const underWay = new Set<string>()
  const followers = new Set<() => void>()
  let spent: { at: number; hours: ReadonlyMap<string, number> } | undefined
  let asking: Promise<void> | undefined
  let picture: Picture | undefined
  let told = new Map<string, string>()
  let cancel: (() => void) | undefined
  let isClosed = false

  function look(): Picture {
    const at = now().getTime()
    if (picture !== undefined && at - picture.at < freshMs) return picture
    const waiting: Waiting[] = []
    const placed: Placed[] = []
    for (const entry of board.all()) {
      if (entry.row.spawner !== name) continue
      if (isWaiting(entry) && !underWay.has(entry.row.id)) waiting.push(waitingOf(entry))
      else if (hasPlace(entry) || underWay.has(entry.row.id)) placed.push(placedOf(entry))
    }
    picture = paint(waiting, placed, at)
    return picture
  }

  function paint(waiting: readonly Waiting[], placed: readonly Placed[], at: number): Picture {
    const owners = new Map(waiting.map(({ id, userId }) => [id, userId]))
    if (isWithin(sumOf([...waiting, ...placed]), capacity)) {
      return { at, owners, startable: new Set(owners.keys()), places: new Map() }
    }
    // Before it is known what they used, nobody is put before another.
    const isKnown = ask(new Set(owners.values()), at)
    const order = fairOrder(waiting, { spent: (userId) => spent?.hours.get(userId) ?? 0, placed, capacity, now: at })
    const now = new Set(isKnown ? startable(order, placed, capacity).map(({ id }) => id) : [])
    const expected = estimates(order, placed, capacity, at)
    const places = order
      .filter(({ id }) => !now.has(id))
      .map(({ id }, index): [string, QueuePlace] => {
        const estimate = expected.get(id)
        const position = index + 1
        return [id, estimate === undefined ? { position } : { position, startEstimateAt: new Date(estimate) }]
      })
    return { at, owners, startable: now, places: new Map(places) }
  }

  /** Whether it is known what these used; if not, or if that is old, it is asked for. */
  function ask(users: ReadonlySet<string>, at: number): boolean {
    const isKnown = spent !== undefined && [...users].every((id) => spent?.hours.has(id))
    if (asking === undefined && (!isKnown || at - (spent?.at ?? 0) > spentFreshMs)) {
      asking = spentBy(db, [...users], at)
        .then((hours) => void (spent = { at, hours }))
        .catch((error: unknown) => log.warn({ spawner: name, err: error }, 'what was used before can not be asked for'))
        .finally(() => {
          asking = undefined
          if (!isClosed) later(restMs)
        })
    }
    return isKnown
  }

  function later(ms: number): void {
    picture = undefined
    if (cancel !== undefined || isClosed) return
    cancel = timers.after(ms, () => {
      cancel = undefined
      tell()
    })
  }

  function tell(): void {
    if (isClosed) return
    const { places, owners, startable: ready } = look()
    const texts = new Map([...places].map(([id, place]) => [id, JSON.stringify(place)]))
    for (const [id, userId] of owners) {
      if (texts.get(id) !== told.get(id)) board.tell(userId, id as Parameters<Board['tell']>[1])
    }
    told = texts
    if (ready.size > 0) for (const changed of followers) changed()
    // Places move while people wait, though nothing happens.
    if (places.size > 0) later(freshMs)
  }

  const unwatch = board.watch(({ row }) => {
    if (row.spawner !== name) return
    if (row.action !== null || row.ended_at !== null) underWay.delete(row.id)
    later(restMs)
  })
  later(0)

  return {
    mayStart: (id) => look().startable.has(id),
    startable: () => [...look().startable],
    place: (id) => look().places.get(id),
    starting(id) {
      underWay.add(id)
      picture = undefined
      return {
        done() {
          if (underWay.delete(id)) later(restMs)
        },
      }
    },
    follow(changed) {
      followers.add(changed)
      return () => void followers.delete(changed)
    },
    close() {
      isClosed = true
      cancel?.()
      unwatch()
    },
  }
}

/** Nothing was ever asked for, so nothing is there. */
function isWaiting({ row }: Entry): boolean {
  return row.wanted === 'present' && row.action === null && row.observed_at === null
}

function hasPlace({ row }: Entry): boolean {
  return row.action !== null || row.observed_at !== null
}

function waitingOf({ row, environment }: Entry): Waiting {
  const { cpu, memoryBytes, walltimeMs } = environment.spec.resources
  return { id: row.id, userId: row.user_id, since: row.requested_at, cpu, memoryBytes, walltimeMs }
}

function placedOf({ row, environment }: Entry): Placed {
  const { cpu, memoryBytes, walltimeMs } = environment.spec.resources
  const since = row.started_at ?? row.action_begun_at ?? row.requested_at
  const endsAt = row.ends_at ?? (walltimeMs === undefined ? undefined : since + walltimeMs)
  return { userId: row.user_id, cpu, memoryBytes, since, endsAt }
}

/** Core hours of each, within what is remembered. */
async function spentBy(db: Kysely<Tables>, users: readonly string[], at: number): Promise<Map<string, number>> {
  const hours = new Map(users.map((id) => [id, 0]))
  for (let first = 0; first < users.length; first += 500) {
    const rows = await db
      .selectFrom('ledger')
      .select((from) => ['name', from.fn.sum<number | string>('cpu_ms').as('cpu')])
      .where('kind', '=', 'user')
      .where('name', 'in', users.slice(first, first + 500))
      .where('charged_at', '>=', at - rememberedMs)
      .groupBy('name')
      .execute()
    for (const { name, cpu } of rows) hours.set(name, Number(cpu) / hourMs)
  }
  return hours
}
