/** What the loops show to Prometheus. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { EndReason, Spawner } from '../../spawners/spawner.ts'
import type { Board } from './board.ts'

export interface ReconcileMetrics {
  /** One stage of a launch is done: from the request to accepted, running, ready. */
  launched(stage: 'accepted' | 'running' | 'ready', spawner: string, seconds: number): void
  ended(spawner: string, reason: EndReason, wasReady: boolean): void
  acted(
    action: 'ensure' | 'remove' | 'extend' | 'observe',
    spawner: string,
    result: 'ok' | 'failed',
    seconds: number,
  ): void
  observed(spawner: string, at: Date): void
  /** From the moment when something was to be done until it was begun. */
  lag(spawner: string, seconds: number): void
  orphans(spawner: string, count: number): void
  leads(spawner: string, leads: boolean): void
  claimed(spawner: string, result: 'given' | 'refused'): void
}

interface MetricsOptions {
  readonly registry: Registry
  readonly board: Board
  readonly spawners: ReadonlyMap<string, Pick<Spawner, 'watchAgeMs'>>
  readonly now: () => Date
}

export function createMetrics({ registry, board, spawners, now }: MetricsOptions): ReconcileMetrics {
  const registers = [registry]
  const launches = new Histogram({
    name: 'hutch_launch_seconds',
    help: 'From the request to each stage of a launch.',
    labelNames: ['stage', 'spawner'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800],
    registers,
  })
  const results = new Counter({
    name: 'hutch_launches_total',
    help: 'Environments that became ready or ended before, and why.',
    labelNames: ['spawner', 'result'],
    registers,
  })
  const ends = new Counter({
    name: 'hutch_environments_ended_total',
    help: 'Environments that ended, and why.',
    labelNames: ['spawner', 'reason'],
    registers,
  })
  const actions = new Histogram({
    name: 'hutch_backend_request_seconds',
    help: 'What was asked of a backend, and how long it took.',
    labelNames: ['spawner', 'action', 'result'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30],
    registers,
  })
  const lags = new Histogram({
    name: 'hutch_reconcile_lag_seconds',
    help: 'From the moment when a step was due until it was begun.',
    labelNames: ['spawner'],
    buckets: [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 30],
    registers,
  })
  const claims = new Counter({
    name: 'hutch_claims_total',
    help: 'Jobs that asked for their key, and what became of it; one that is refused is an alarm.',
    labelNames: ['spawner', 'result'],
    registers,
  })
  const orphanCount = new Gauge({
    name: 'hutch_orphans',
    help: 'What a backend has and the store does not know.',
    labelNames: ['spawner'],
    registers,
  })
  const leading = new Gauge({
    name: 'hutch_reconciles',
    help: '1 while this hub reconciles the spawner.',
    labelNames: ['spawner'],
    registers,
  })
  const observedAt = new Map<string, Date>()
  registerAge(registers, observedAt, now)
  registerWatchAge(registers, spawners)
  registerStates(registers, board)
  return {
    claimed: (spawner, result) => claims.inc({ spawner, result }),
    launched(stage, spawner, seconds) {
      launches.observe({ stage, spawner }, seconds)
      if (stage === 'ready') results.inc({ spawner, result: 'ready' })
    },
    ended(spawner, reason, wasReady) {
      ends.inc({ spawner, reason })
      if (!wasReady) results.inc({ spawner, result: reason })
    },
    acted: (action, spawner, result, seconds) => actions.observe({ spawner, action, result }, seconds),
    observed: (spawner, at) => void observedAt.set(spawner, at),
    lag: (spawner, seconds) => lags.observe({ spawner }, seconds),
    orphans: (spawner, count) => orphanCount.set({ spawner }, count),
    leads: (spawner, leads) => leading.set({ spawner }, leads ? 1 : 0),
  }
}

function registerAge(registers: Registry[], observedAt: ReadonlyMap<string, Date>, now: () => Date): void {
  const gauge: Gauge<'spawner'> = new Gauge({
    name: 'hutch_observation_age_seconds',
    help: 'Age of the last answer of each backend about everything that it has.',
    labelNames: ['spawner'],
    registers,
    collect() {
      for (const [spawner, at] of observedAt) gauge.set({ spawner }, (now().getTime() - at.getTime()) / 1_000)
    },
  })
}

function registerWatchAge(registers: Registry[], spawners: MetricsOptions['spawners']): void {
  const gauge: Gauge<'spawner'> = new Gauge({
    name: 'hutch_watch_age_seconds',
    help: 'How long ago a backend that tells its changes by itself was last heard of.',
    labelNames: ['spawner'],
    registers,
    collect() {
      for (const [spawner, each] of spawners) {
        const ageMs = each.watchAgeMs?.()
        if (ageMs !== undefined) gauge.set({ spawner }, ageMs / 1_000)
      }
    },
  })
}

function registerStates(registers: Registry[], board: Board): void {
  const gauge: Gauge<'spawner' | 'state'> = new Gauge({
    name: 'hutch_environments',
    help: 'Live environments by state.',
    labelNames: ['spawner', 'state'],
    registers,
    collect() {
      gauge.reset()
      for (const { environment } of board.all())
        gauge.inc({ spawner: environment.spawner, state: environment.state.is })
    },
  })
}
