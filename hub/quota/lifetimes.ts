/** Looks every minute at what is unused and what ends soon: warns, mails, stops. One hub at a time. */
import type { Log } from '../../spawners/spawner.ts'
import { isEnvironmentId, type EndReason, type EnvironmentId } from '../../spawners/spawner.ts'
import type { Mail, Notifier } from '../notify/index.ts'
import { createRounds } from '../reconcile/rounds.ts'
import { realTimers, type Timers } from '../reconcile/timers.ts'
import type { Store } from '../store/index.ts'
import type { Lease } from '../store/leases.ts'
import { formatDuration, formatMoment } from '../domain/format.ts'
import type { Entitlement } from './entitlement.ts'
import type { Fences } from './fences.ts'
import { idleStep, type Warning, warnBeforeMs } from './idle.ts'
import { timeLimit } from './life.ts'
import type { Limits } from './limits.ts'

export interface Lifetimes {
  start(): void
  close(): Promise<void>
}

export interface LifetimesOptions {
  readonly store: Pick<Store, 'db' | 'leases' | 'type'>
  readonly limits: Pick<Limits, 'fresh'>
  readonly notifier: Pick<Notifier, 'queue'>
  readonly entitlement: Entitlement
  /** Absent: no backend keeps limits of its own. */
  readonly fences?: Fences
  readonly stop: (id: EnvironmentId, reason: EndReason, message?: string) => Promise<void>
  readonly publicUrl: URL
  readonly holder: string
  readonly now: () => Date
  readonly log: Log
  readonly timers?: Timers
  /** From a warning to the stop. */
  readonly warnMs?: number
  /** What happened while no hub listened is told by the agents first. */
  readonly settleMs?: number
  readonly everyMs?: number
}

const minuteMs = 60_000
const dayMs = 86_400_000

export function createLifetimes(options: LifetimesOptions): Lifetimes {
  const { store, limits, notifier, entitlement, fences, stop, publicUrl, holder, now, log } = options
  const { warnMs = warnBeforeMs, settleMs = 5 * minuteMs, everyMs = minuteMs, timers = realTimers } = options
  const { db, leases } = store
  const warnings = new Map<string, Warning>()
  let since = Infinity
  let lease: Lease | undefined
  const trouble = 'lifetimes can not be looked at; trying again'
  const rounds = createRounds({ round, everyMs, timers, log, trouble })

  async function leads(): Promise<boolean> {
    const leaseMs = Math.max(3 * everyMs, 10_000)
    if (lease !== undefined && (await leases.renew(lease, leaseMs))) return true
    lease = await leases.take('lifetimes', holder, { ttlMs: leaseMs, evenIfHeld: store.type === 'sqlite' })
    // Another hub's warnings are not known: everybody is warned anew.
    warnings.clear()
    since = now().getTime()
    return lease !== undefined
  }

  async function round(): Promise<void> {
    if (!(await leads())) return
    await entitlement.round()
    const holding = await limits.fresh()
    await fences?.round(holding)
    const living = await db
      .selectFrom('environments')
      .innerJoin('users', 'users.id', 'environments.user_id')
      .select(['environments.id', 'user_id', 'environments.title', 'proposals', 'owner_groups', 'ready_at', 'ends_at'])
      .select(['environments.last_activity_at', 'unreachable_since', 'users.name', 'users.email'])
      .where('ended_at', 'is', null)
      .where('wanted', '=', 'present')
      .where('ready_at', 'is not', null)
      .execute()
    const there = new Set(living.map(({ id }) => id))
    for (const id of warnings.keys()) if (!there.has(id)) warnings.delete(id)
    const at = now().getTime()
    for (const each of living) {
      if (rounds.isClosed) return
      if (each.ends_at !== null && each.ends_at - at < dayMs && each.ends_at > at) await tellEnd(each, each.ends_at)
      const asker = {
        user: { id: each.user_id, name: each.name },
        groups: JSON.parse(each.owner_groups) as string[],
        proposals: (JSON.parse(each.proposals) as string[]).map((id) => ({ id, fields: {} })),
      }
      const idleMs = timeLimit(asker, holding, 'idleMs', at)?.most
      const usedAt = Math.max(each.ready_at ?? 0, each.last_activity_at ?? 0)
      const isHeard = each.unreachable_since === null && at - since >= settleMs
      const step = idleStep({ usedAt, idleMs, isHeard }, warnings.get(each.id), at, warnMs)
      switch (step.do) {
        case 'nothing':
          break
        case 'warn':
          warnings.set(each.id, { usedAt, givenAt: at })
          await mail(
            each,
            `idle ${each.id} ${usedAt}`,
            `“${each.title}” is not used`,
            idleText(each, usedAt, step.stopsAt),
          )
          break
        case 'stop':
          await reclaim(each, step.idleForMs)
      }
    }
  }

  interface Told {
    readonly id: string
    readonly title: string
    readonly email: string | null
  }

  async function reclaim(each: Told, idleForMs: number): Promise<void> {
    if (!isEnvironmentId(each.id)) return
    const long = formatDuration(idleForMs)
    await stop(each.id, 'idle', `It was stopped because it was not used for ${long}. Saved files stay.`)
    log.info({ environment: each.id, idleForMs }, 'an environment that was not used is stopped')
    const text = `“${each.title}” was stopped: nothing happened in it for ${long}. Saved files stay.\n\n${page('/hub/home')}\n`
    await mail(each, `reclaimed ${each.id}`, `“${each.title}” was stopped`, text)
  }

  async function tellEnd(each: Told, endsAt: number): Promise<void> {
    const when = formatMoment(new Date(endsAt))
    const text = `The time of “${each.title}” is over at ${when}. Save what you need by then, or ask for more time: ${timeOf(each)}\n`
    await mail(each, `end ${each.id} ${endsAt}`, `“${each.title}” ends at ${when}`, text)
  }

  function idleText(each: Told, usedAt: number, stopsAt: number): string {
    const [last, end] = [formatMoment(new Date(usedAt)), formatMoment(new Date(stopsAt))]
    return `Nothing has happened in “${each.title}” since ${last}: no kernel was busy, nobody typed. It is stopped at ${end} unless it is used. An open page alone is not use.\n\nTo keep it: ${timeOf(each)}\n`
  }

  async function mail({ email: to }: Told, id: string, subject: string, text: string): Promise<void> {
    await notifier.queue(db, [{ id, to, subject, text } satisfies Mail])
  }

  function timeOf({ id }: Told): string {
    return page(`/hub/environments/${id}/time`)
  }

  function page(path: string): string {
    return new URL(path, publicUrl).href
  }

  return {
    start: () => rounds.start(),
    async close() {
      await rounds.close()
      if (lease !== undefined) await leases.release(lease).catch(() => undefined)
    },
  }
}
