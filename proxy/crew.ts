/** Whoever serves browsers on behalf of the primary: this process itself, or several that share the port. */
import type { Activity } from './activity.ts'
import type { Engine } from './engine.ts'
import type { HubMessage } from './feed.ts'
import type { Statistics } from './statistics.ts'
import type { Tables } from './tables.ts'
import type { UsedTickets } from './tickets.ts'

export interface Crew {
  /** The primary's tables have this change. Resolves when all of the crew have it. */
  apply(message: HubMessage): Promise<void>
  /** Throws StartError. Resolves when all of them accept connections. */
  listen(): Promise<void>
  statistics(): Promise<readonly Statistics[]>
  /** Throws StartError; the certificate before stays then. */
  reloadCertificate(): Promise<void>
  drain(): Promise<void>
  readonly size: number
}

/** What a crew asks of the primary. */
export interface Primary {
  readonly tables: Tables
  readonly tickets: UsedTickets
  readonly activity: Activity
  readonly transfers: Activity
}

export function crewOfOne(engine: Engine): Crew {
  return {
    apply: async (message) => engine.changed(message),
    listen: () => engine.listen(),
    statistics: async () => [engine.statistics()],
    reloadCertificate: () => engine.reloadCertificate(),
    drain: () => engine.drain(),
    size: 1,
  }
}
