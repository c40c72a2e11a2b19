/** Who reconciles a spawner: this hub while it holds the lease, and then one reign after the other. */
import { liveRows } from '../store/environments.ts'
import type { Lease } from '../store/leases.ts'
import type { LoopOptions } from './context.ts'
import { createReign, type Reign } from './reign.ts'

export interface Loop {
  /** Returns when it is known whether this hub reconciles. */
  start(): Promise<void>
  heard(id: string, isReady: boolean): void
  hungUp(id: string): void
  nudge(): void
  /** An observation that is begun after this call was taken. @throws where another hub reconciles. */
  fresh(): Promise<void>
  /** True while this hub reconciles the spawner. */
  leads(): boolean
  close(): Promise<void>
}

export function createLoop(options: LoopOptions): Loop {
  const { name, holder, board, store, settings, timers, now, log, metrics } = options
  let held: { lease: Lease; reign: Reign; abort: AbortController; renewedAt: number } | undefined
  let isClosed = false
  let cancelTimer = (): void => undefined

  async function take(): Promise<void> {
    const askedAt = now().getTime()
    // SQLite's file belongs to this process alone (see hub/setup/lock.ts), so whoever held the lease is dead.
    const wanted = { ttlMs: settings.leaseMs, evenIfHeld: store.type === 'sqlite' }
    const lease = await store.leases.take(name, holder, wanted)
    if (lease === undefined) return
    // What the last holder wrote, up to its end.
    await store.writer.note('reload', liveRows, (rows) => board.replace(rows))
    if (isClosed) return await store.leases.release(lease)
    const abort = new AbortController()
    const context = { ...options, lease, signal: abort.signal }
    const reign = createReign({ context, deposed: () => depose(lease) })
    held = { lease, reign, abort, renewedAt: askedAt }
    metrics.leads(name, true)
    log.info({ spawner: name, epoch: lease.epoch }, 'this hub reconciles the spawner')
  }

  async function renew({ lease, renewedAt }: NonNullable<typeof held>): Promise<void> {
    const askedAt = now().getTime()
    try {
      if (!(await store.leases.renew(lease, settings.leaseMs))) return depose(lease)
      if (held?.lease === lease) held.renewedAt = askedAt
    } catch (error) {
      log.warn({ spawner: name, err: error }, 'the lease could not be renewed')
      // Another hub may have it soon: by then this one has stopped.
      if (now().getTime() - renewedAt > settings.leaseMs * 0.8) depose(lease)
    }
  }

  function depose(lease: Lease): void {
    if (held?.lease !== lease) return
    const { reign, abort } = held
    held = undefined
    metrics.leads(name, false)
    log.warn({ spawner: name, epoch: lease.epoch }, 'this hub does not reconcile the spawner any more')
    abort.abort(new Error('the lease is lost'))
    void reign.close()
  }

  async function tick(): Promise<void> {
    try {
      if (held) await renew(held)
      else await take()
    } catch (error) {
      log.warn({ spawner: name, err: error }, 'the lease can not be asked for; trying again')
    }
    if (!isClosed) cancelTimer = timers.after(settings.leaseMs / 3, () => void tick())
  }

  return {
    start: tick,
    heard: (id, isReady) => held?.reign.heard(id, isReady),
    hungUp: (id) => held?.reign.hungUp(id),
    nudge: () => held?.reign.nudge(),
    async fresh() {
      if (held === undefined) throw new Error('another hub reconciles this spawner')
      await held.reign.fresh()
    },
    leads: () => held !== undefined,
    async close() {
      isClosed = true
      cancelTimer()
      if (held === undefined) return
      const { lease, reign, abort } = held
      await reign.close()
      abort.abort(new Error('the hub stops'))
      held = undefined
      metrics.leads(name, false)
      await store.leases.release(lease).catch((error: unknown) => {
        log.warn({ spawner: name, err: error }, 'the lease could not be given back; it ends by itself')
      })
    },
  }
}
