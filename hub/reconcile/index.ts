/**
 * Environments: what is wanted is committed here, and the loops make it so. The laws: hub/domain/decide.ts.
 * hub/main.ts makes this once; start() returns when the routes are as they were, before any backend has answered.
 */
import { randomUUID } from 'node:crypto'
import type { Registry } from 'prom-client'
import { agentKeys } from '../../images/agent/link.ts'
import type { EndReason, EnvironmentId, Log, Spawner } from '../../spawners/spawner.ts'
import type { Environment } from '../domain/environment.ts'
import type { RouteTable } from '../domain/services.ts'
import { liveRows, rowsOf } from '../store/environments.ts'
import type { Store } from '../store/index.ts'
import type { Change } from '../store/changes.ts'
import { type OrphanAlarm, createOrphanDesk } from './orphan-desk.ts'
import { createClaimDesk, type ClaimDesk } from './claims.ts'
import { createBoard } from './board.ts'
import { createLoop, type Loop } from './loop.ts'
import { createMetrics } from './metrics.ts'
import { createProbe, type Probe } from './probe.ts'
import { createQueue, type Queue } from './queue.ts'
import { createReports, type Resolve } from './reports.ts'
import { loadRevocations, saveRevocation } from './revocations.ts'
import { createRouteTable } from './route-table.ts'
import { defaultSettings, type LoopSettings, type ReconcileSettings } from './settings.ts'
import { createEnvironmentsService, type LiveEnvironments } from './service.ts'
import { createStopAll, type StopAllOptions } from './stop-all.ts'
import { realTimers, type Timers } from './timers.ts'

export { reconcileSettings } from './settings.ts'

export interface ReconcileOptions {
  readonly store: Store
  readonly spawners: ReadonlyMap<string, Spawner>
  /** 32 bytes: every agent's key derives from it. */
  readonly agentsKey: Buffer
  readonly settings: ReconcileSettings
  readonly now: () => Date
  /** Names this hub process as the holder of leases. */
  readonly newId?: () => string
  readonly log: Log
  readonly metrics: Registry
  readonly timers?: Timers
  readonly probe?: Probe
  readonly resolve?: Resolve
  /** Told of each environment that a loop itself wants ended: over its time, too long at the start. */
  readonly expired?: (environment: Environment, reason: EndReason) => void
}

export interface Reconciled {
  readonly environments: LiveEnvironments
  readonly routes: RouteTable
  /** Returns when the routes are as they were, before any backend has answered. */
  start(): Promise<void>
  /** Lets what is under way finish, for a few seconds; environments go on. */
  close(): Promise<void>
  /** Wants every environment of these spawners (undefined: of all) absent, and waits; how many are still there. */
  stopAll(options: StopAllOptions): Promise<number>
  /** The key of a live environment's agent; undefined: there is no such, so it gets no connection. */
  readonly agentKeyOf: (id: string) => Buffer | undefined
  /** An agent's last connection was cut: it may have ended. */
  readonly hungUp: (id: EnvironmentId) => void
  readonly claims: ClaimDesk
  /** Whether this hub reconciles the spawner now. */
  leads(spawner: string): boolean
  /** What backends have and the store does not know, where somebody must decide. */
  orphans(): Promise<readonly OrphanAlarm[]>
  /** Says what is to become of those; done soon by the hub that reconciles the spawner. */
  decideOrphans(spawner: string, ids: readonly string[], decision: 'adopt' | 'remove'): Promise<void>
}

const pruneEveryMs = 3_600_000

export function createEnvironments(options: ReconcileOptions): Reconciled {
  const { store, spawners, agentsKey, now, log, timers = realTimers, expired = () => {} } = options
  const settings: LoopSettings = {
    ...defaultSettings,
    startTimeoutMs: options.settings.startTimeoutMs,
    ...(options.settings.moreMemory && { moreMemory: options.settings.moreMemory }),
    ...options.settings.times,
  }
  const routes = createRouteTable({ save: (revocation) => saveRevocation(store, revocation), now })
  const board = createBoard({ routes, hosts: options.settings.hosts })
  const metrics = createMetrics({ registry: options.metrics, board, spawners, now })
  const keyOf = agentKeys(agentsKey)
  const probe = options.probe ?? createProbe(keyOf)
  const { hub } = options.settings
  const holder = (options.newId ?? randomUUID)()
  const loops = new Map<string, Loop>()
  const queues = new Map<string, Queue>()
  for (const [name, spawner] of spawners) {
    const capacity = options.settings.capacities?.get(name)
    const queue = capacity && createQueue({ name, capacity, board, db: store.db, timers, now, log })
    if (queue !== undefined) queues.set(name, queue)
    const shared = {
      queue,
      expired,
      name,
      hub,
      holder,
      spawner,
      board,
      store,
      settings,
      timers,
      now,
      log,
      metrics,
      probe,
    }
    loops.set(name, createLoop(shared))
  }
  const nudge = (spawner: string): void => loops.get(spawner)?.nudge()
  const reports = createReports({
    board,
    store,
    timers,
    waitMs: settings.reportWaitMs,
    now,
    log,
    ...(options.resolve ? { resolve: options.resolve } : {}),
    nudge,
    heard: (spawner, id, isReady) => loops.get(spawner)?.heard(id, isReady),
  })
  const claims = createClaimDesk({
    board,
    store,
    spawners,
    reports,
    fresh: async (spawner) => await loops.get(spawner)?.fresh(),
    timers,
    waitMs: settings.claimWaitMs,
    now,
    log,
    metrics,
  })
  const environments = createEnvironmentsService({ store, board, reports, queues, now })
  const desk = createOrphanDesk({ store, spawners: [...spawners.keys()], nudge })
  let cancelPrune = (): void => undefined

  function heard(change: Change): void {
    catchUp(change).catch((error: unknown) => log.error({ err: error }, 'what another hub changed can not be read'))
  }

  /** In the order of the commits, so that nothing newer is overwritten. */
  async function catchUp(change: Change): Promise<void> {
    switch (change.of) {
      case 'environments':
        await store.writer.note(
          'reload',
          (trx) => rowsOf(trx, change.ids),
          (rows) => {
            const there = new Set(rows.map((row) => row.id))
            for (const row of rows) if (row.ended_at === null || board.get(row.id)) board.apply(row)
            for (const id of change.ids) if (!there.has(id)) board.drop(id)
          },
        )
        return
      case 'revocations':
        return routes.load(await loadRevocations(store, now().getTime()))
      case 'orphans':
        return nudge(change.spawner)
      case 'everything':
        await store.writer.note('reload', liveRows, (rows) => board.replace(rows))
        routes.load(await loadRevocations(store, now().getTime()))
    }
  }

  function prune(): void {
    routes.prune()
    claims.prune().catch((error: unknown) => log.warn({ err: error }, 'old claims can not be forgotten'))
    cancelPrune = timers.after(pruneEveryMs, prune)
  }

  return {
    routes,
    environments,
    claims,
    leads: (spawner) => loops.get(spawner)?.leads() === true,
    stopAll: createStopAll({ board, environments, timers }),
    agentKeyOf: (id) => (board.get(id) ? keyOf(id) : undefined),
    hungUp(id) {
      const spawner = board.get(id)?.row.spawner
      if (spawner !== undefined) loops.get(spawner)?.hungUp(id)
    },
    async start() {
      await store.changes.follow(heard)
      await catchUp({ of: 'everything' })
      await Promise.all([...loops.values()].map((loop) => loop.start()))
      prune()
    },
    async close() {
      cancelPrune()
      for (const queue of queues.values()) queue.close()
      await Promise.all([...loops.values()].map((loop) => loop.close()))
      await store.writer.drain()
    },
    ...desk,
  }
}
