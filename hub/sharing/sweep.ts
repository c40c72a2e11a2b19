/**
 * Looks again, once a minute, whether those who are in another's environment may still be: still in the group, still
 * entitled to the proposals, still welcome. What can't be told now changes nothing.
 */
import type { Log } from '../../spawners/spawner.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Environments, User } from '../domain/services.ts'
import { createRounds } from '../reconcile/rounds.ts'
import { realTimers, type Timers } from '../reconcile/timers.ts'
import type { Store } from '../store/index.ts'
import type { Visit } from './share.ts'
import type { Shares } from './shares.ts'
import type { Visits } from './visits.ts'

export interface Sweep {
  start(): void
  close(): Promise<void>
  /** One round; for tests. */
  look(): Promise<void>
}

export interface SweepOptions {
  readonly store: Pick<Store, 'db'>
  readonly environments: Pick<Environments, 'get'>
  readonly shares: Pick<Shares, 'openTo'>
  readonly visits: Pick<Visits, 'list' | 'end'>
  readonly groupsOf: (user: Pick<User, 'id' | 'name'>) => Promise<readonly string[]>
  /** Throws a Problem below 500 when they are not. */
  readonly requireEntitled: (user: User, environment: Environment, signal: AbortSignal) => Promise<void>
  readonly now: () => Date
  readonly log: Log
  readonly timers?: Timers
}

const everyMs = 60_000
const askMs = 10_000
const tidyEveryMs = 3_600_000
/** Visits stay on the owner's list for so long. */
const keptMs = 90 * 86_400_000

export function createSweep(options: SweepOptions): Sweep {
  const { store, environments, shares, visits, groupsOf, requireEntitled, now, log, timers = realTimers } = options
  const trouble = 'visits can not be looked at; trying again'
  const rounds = createRounds({ round: look, everyMs, timers, log, trouble })
  let tidiedAt = 0

  async function look(): Promise<void> {
    for (const visit of await visits.list({ open: true })) {
      if (rounds.isClosed) return
      const why = await over(visit).catch((error: unknown) => {
        log.debug({ visit: visit.id, err: error }, 'whether a visit may go on can not be told now')
        return undefined
      })
      if (why !== undefined) await visits.end(visit.id, { who: 'hub' }, why)
    }
    if (now().getTime() - tidiedAt > tidyEveryMs) await tidy()
  }

  /** Why it can't go on; undefined: it can. */
  async function over({ environment: id, visitor, role }: Visit): Promise<string | undefined> {
    const environment = await environments.get(id)
    if (environment === undefined || environment.state.is === 'ended') return 'the environment has ended'
    if (role === 'administrator') return undefined
    const user = { ...visitor, admin: false }
    const open = await shares.openTo({ user, groups: await groupsOf(user) })
    if (!open.some((share) => share.environment === id && share.role === role)) return 'it is not shared any more'
    try {
      await requireEntitled(user, environment, AbortSignal.timeout(askMs))
      return undefined
    } catch (error) {
      if (error instanceof Problem && error.status < 500) return error.detail
      throw error
    }
  }

  /** What belongs to environments that are gone. */
  async function tidy(): Promise<void> {
    tidiedAt = now().getTime()
    for (const table of ['shares', 'share_codes'] as const) {
      await store.db
        .deleteFrom(table)
        .where('environment_id', 'not in', (query) =>
          query.selectFrom('environments').select('environments.id').where('environments.ended_at', 'is', null),
        )
        .execute()
    }
    await store.db
      .deleteFrom('visits')
      .where('expires_at', '<', tidiedAt - keptMs)
      .execute()
  }

  return { start: () => rounds.start(), look, close: () => rounds.close() }
}
