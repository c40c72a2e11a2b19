/** Every live row in memory, so that pages, routes and the loops ask no database; it follows the commits. */
import type { EnvironmentId } from '../../spawners/spawner.ts'
import { type Environment, readEnvironment } from '../domain/environment.ts'
import type { Told } from '../domain/decide.ts'
import { readObservation } from '../domain/observation.ts'
import { routeOf } from '../domain/route.ts'
import type { RouteTable } from '../domain/services.ts'
import type { EnvironmentRow } from '../store/schema.ts'

export interface Entry {
  readonly row: EnvironmentRow
  readonly environment: Environment
  /** Of the row alone: most decisions need no more. */
  readonly observation: Told | undefined
}

export interface Board {
  get(id: string): Entry | undefined
  all(): IterableIterator<Entry>
  /** The live ones of a user, newest first. */
  of(userId: string): readonly Entry[]
  /** The live one with this URL. */
  find(userName: string, server: string): Entry | undefined
  /** A row as it was committed: live ones are kept, ended ones leave. */
  apply(row: EnvironmentRow): void
  /** Live rows as they are: what is not among them has ended elsewhere. */
  replace(rows: readonly EnvironmentRow[]): void
  /** It is in the store no more. */
  drop(id: string): void
  subscribe(userId: string, changed: (id: EnvironmentId) => void): () => void
  /** For what is seen without being in the row: a claim of use. */
  tell(userId: string, id: EnvironmentId): void
  /** The loops and whoever waits for a change. */
  watch(changed: (entry: Entry) => void): () => void
}

export function createBoard(options: { routes: Pick<RouteTable, 'put' | 'delete'>; hosts: string | undefined }): Board {
  const { routes, hosts } = options
  const entries = new Map<string, Entry>()
  const owned = new Map<string, Set<string>>()
  const published = new Map<string, string>()
  const subscribers = new Map<string, Set<(id: EnvironmentId) => void>>()
  const watchers = new Set<(entry: Entry) => void>()

  function publish(entry: Entry): void {
    // Most changes are of environments that are not ready yet: they need not be read for this.
    if (entry.row.ready_at === null && !published.has(entry.row.id)) return
    const { environment } = entry
    const route = routeOf(environment, hosts)
    const text = route && JSON.stringify(route)
    if (text === published.get(environment.id)) return
    if (route === undefined || text === undefined) {
      published.delete(environment.id)
      routes.delete(environment.id)
    } else {
      published.set(environment.id, text)
      routes.put(route)
    }
  }

  function tell(userId: string, id: EnvironmentId): void {
    for (const changed of subscribers.get(userId) ?? []) changed(id)
  }

  function keep(entry: Entry): void {
    const { id, user_id } = entry.row
    entries.set(id, entry)
    const those = owned.get(user_id) ?? new Set()
    owned.set(user_id, those.add(id))
  }

  function forget({ id, user_id }: EnvironmentRow): void {
    entries.delete(id)
    const those = owned.get(user_id)
    those?.delete(id)
    if (those?.size === 0) owned.delete(user_id)
  }

  function apply(row: EnvironmentRow): void {
    const entry = read(row)
    if (row.ended_at === null) keep(entry)
    else forget(row)
    publish(entry)
    tell(row.user_id, row.id as EnvironmentId)
    for (const changed of watchers) changed(entry)
  }

  function drop(id: string): void {
    const entry = entries.get(id)
    if (entry === undefined) return
    forget(entry.row)
    published.delete(id)
    routes.delete(id)
    tell(entry.row.user_id, id as EnvironmentId)
    for (const changed of watchers) changed(entry)
  }

  return {
    apply,
    drop,
    tell,
    get: (id) => entries.get(id),
    all: () => entries.values(),
    of: (userId) =>
      [...(owned.get(userId) ?? [])]
        .flatMap((id) => entries.get(id) ?? [])
        .toSorted((a, b) => b.row.requested_at - a.row.requested_at),
    find(userName, server) {
      for (const entry of entries.values()) {
        if (entry.row.server === server && entry.environment.owner === userName) return entry
      }
      return undefined
    },
    replace(rows) {
      const there = new Set(rows.map((row) => row.id))
      for (const row of rows) if (!isSame(entries.get(row.id)?.row, row)) apply(row)
      for (const id of entries.keys()) if (!there.has(id)) drop(id)
    },
    subscribe(userId, changed) {
      const those = subscribers.get(userId) ?? new Set()
      subscribers.set(userId, those.add(changed))
      return () => {
        those.delete(changed)
        if (those.size === 0 && subscribers.get(userId) === those) subscribers.delete(userId)
      }
    },
    watch(changed) {
      watchers.add(changed)
      return () => void watchers.delete(changed)
    },
  }
}

/** Read when somebody looks: a storm of changes is read once. */
function read(row: EnvironmentRow): Entry {
  let environment: Environment | undefined
  let observation: { told: Told | undefined } | undefined
  return {
    row,
    get observation() {
      observation ??= { told: readObservation(row.observation) }
      return observation.told
    },
    get environment() {
      environment ??= readEnvironment(row)
      return environment
    },
  }
}

/** Columns are texts, numbers and nothing else. */
function isSame(a: EnvironmentRow | undefined, b: EnvironmentRow): boolean {
  return a !== undefined && (Object.keys(b) as (keyof EnvironmentRow)[]).every((column) => a[column] === b[column])
}
