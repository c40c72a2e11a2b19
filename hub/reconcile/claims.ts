/**
 * Who was started with a claim is given its bootstrap: once for each start, soon after it, while the backend shows it
 * running, and only on a host where the backend shows it. Anything else raises an alarm: somebody has read the claim.
 */
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import type { Claims, EnvironmentId, Log, Spawner } from '../../spawners/spawner.ts'
import { Problem } from '../domain/problem.ts'
import type { Store } from '../store/index.ts'
import type { Board, Entry } from './board.ts'
import type { ReconcileMetrics } from './metrics.ts'
import type { Reports } from './reports.ts'
import { type Timers, withDeadline } from './timers.ts'

export interface ClaimDesk {
  /** Undefined: nothing with this id lives that was started with a claim. */
  claimKeyOf(id: string): Buffer | undefined
  /** @throws Problem: conflict for a second claim, forbidden from a wrong host or too late, notFound when it is over. */
  claimed(id: EnvironmentId, remoteAddress: string): Promise<AgentBootstrap>
  /** Forgets claims of long ago. */
  prune(): Promise<void>
}

export interface ClaimDeskOptions {
  readonly board: Board
  readonly store: Store
  readonly spawners: ReadonlyMap<string, Spawner>
  readonly reports: Pick<Reports, 'check'>
  /** An observation of this spawner that is begun now. */
  readonly fresh: (spawner: string) => Promise<void>
  readonly timers: Timers
  readonly waitMs: number
  readonly now: () => Date
  readonly log: Log
  readonly metrics: Pick<ReconcileMetrics, 'claimed'>
}

const keptMs = 30 * 86_400_000

export function createClaimDesk(options: ClaimDeskOptions): ClaimDesk {
  const { board, store, spawners, reports, fresh, timers, waitMs, now, log, metrics } = options

  function live(id: string): { entry: Entry; claims: Claims } | undefined {
    const entry = board.get(id)
    const claims = entry && spawners.get(entry.row.spawner)?.claims
    return entry?.row.wanted === 'present' && claims !== undefined ? { entry, claims } : undefined
  }

  function require(id: string): NonNullable<ReturnType<typeof live>> {
    const found = live(id)
    if (found === undefined) throw new Problem('notFound', 'This environment has ended or is being stopped.')
    return found
  }

  async function give(id: EnvironmentId, address: string): Promise<AgentBootstrap> {
    await reports.check(id, address)
    const { entry, claims } = require(id)
    const { observation } = entry
    if (observation?.phase !== 'running') throw new Problem('backendUnreachable', 'It does not run yet. Ask again.')
    const startedAt = observation.startedAt.getTime()
    if (now().getTime() - startedAt > claims.withinMs) {
      throw new Problem('forbidden', 'Its start is too long ago for its key to be given out.')
    }
    if (!(await note(id, startedAt, address))) throw new Problem('conflict', 'Its key was given out already.')
    return claims.bootstrap(entry.environment.spec)
  }

  /** False: this start has its key. The database says it, whichever hub is asked. */
  async function note(id: EnvironmentId, startedAt: number, address: string): Promise<boolean> {
    return await store.writer.write(`claim ${id}`, async (trx) => {
      const row = { environment_id: id, started_at: startedAt, claimed_at: now().getTime(), address }
      const inserted = await trx
        .insertInto('claims')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      return (inserted.numInsertedOrUpdatedRows ?? 0n) > 0n
    })
  }

  /** What is known may be of an earlier start, on another host: a refusal needs a look that is begun now. */
  async function look(spawner: string): Promise<void> {
    try {
      await withDeadline(timers, waitMs, new AbortController().signal, () => fresh(spawner))
    } catch (cause) {
      throw new Problem('backendUnreachable', 'The backend can not be looked at just now. Ask again.', { cause })
    }
  }

  return {
    claimKeyOf(id) {
      const found = live(id)
      return found?.claims.key(found.entry.environment.id)
    },

    async claimed(id, address) {
      const { entry, claims } = require(id)
      const { spawner } = entry.row
      claims.claiming(id)
      try {
        const bootstrap = await give(id, address).catch(async (error: unknown) => {
          if (!isRefusal(error)) throw error
          await look(spawner)
          return await give(id, address)
        })
        metrics.claimed(spawner, 'given')
        log.info({ environment: id, address }, 'an environment was given its key')
        return bootstrap
      } catch (error) {
        if (isRefusal(error)) {
          metrics.claimed(spawner, 'refused')
          const alarm = 'a claim was refused: somebody else may have read it from the job; look at who asked from there'
          log.error({ environment: id, address, alarm: 'claim', reason: error.detail }, alarm)
        }
        throw error
      }
    },

    async prune() {
      await store.db
        .deleteFrom('claims')
        .where('claimed_at', '<', now().getTime() - keptMs)
        .execute()
    },
  }
}

function isRefusal(error: unknown): error is Problem {
  return error instanceof Problem && (error.type === 'conflict' || error.type === 'forbidden')
}
