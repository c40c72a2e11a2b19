/** What the backend shows and the board does not: leftovers of what has ended, orphans, and what another hub wrote. */
import { sql } from 'kysely'
import { type EnvironmentId, type Found, isEnvironmentId } from '../../spawners/spawner.ts'
import { rowsOf } from '../store/environments.ts'
import type { EnvironmentRow } from '../store/schema.ts'
import { adoptOrphan } from './adopt.ts'
import { askBackend, type Context } from './context.ts'
import { type Alarm, alarmKey, alarmSchema, type Orphan, orphanOf, planOrphans } from './orphans.ts'
import { createSlots } from './slots.ts'

export interface Strays {
  handle(found: ReadonlyMap<EnvironmentId, Found>): Promise<void>
}

const hourMs = 3_600_000

export function createStrays(context: Context): Strays {
  const { name, board, store, spawner, settings, now, log, metrics } = context
  const slots = createSlots(settings.mostAtOnce)
  /** When it may be removed again, by id. */
  const triedUntil = new Map<string, number>()
  let removedAt: number[] = []
  let alarm: Alarm | undefined
  let isAlarmRead = false

  async function handle(found: ReadonlyMap<EnvironmentId, Found>): Promise<void> {
    const strange: [EnvironmentId, Found][] = []
    for (const each of found) if (board.get(each[0])?.row.spawner !== name) strange.push(each)
    for (const id of triedUntil.keys()) if (!found.has(id as EnvironmentId)) triedUntil.delete(id)
    if (strange.length === 0 && isAlarmRead && alarm === undefined) return
    const rows = new Map(
      (
        await rowsOf(
          store.db,
          strange.map(([id]) => id),
        )
      ).map((row) => [row.id, row]),
    )
    const orphans: Orphan[] = []
    for (const [id, each] of strange) {
      const row = rows.get(id)
      if (row === undefined || isZombie(row, each)) orphans.push(orphanOf(id, each))
      else if (row.ended_at !== null) removeLater(id)
      else if (row.spawner === name) board.apply(row)
      else log.error({ environment: id, spawner: name, other: row.spawner }, 'two spawners show the same environment')
    }
    await decideOrphans(orphans, found.size)
  }

  async function decideOrphans(orphans: readonly Orphan[], total: number): Promise<void> {
    metrics.orphans(name, orphans.length)
    const at = now().getTime()
    removedAt = removedAt.filter((each) => each > at - hourMs)
    // Decisions may come from another hub: what is in the store counts.
    if (!isAlarmRead || alarm !== undefined || orphans.length > 0) alarm = await readAlarm()
    isAlarmRead = true
    const before = JSON.stringify(alarm)
    const plan = planOrphans(orphans, { total, removedLately: removedAt.length, alarm, now: at })
    if (plan.alarm !== undefined && alarm === undefined) {
      const fields = { spawner: name, orphans: orphans.length, total }
      log.error(
        fields,
        'the backend has many environments that the store does not know: none is removed until an administrator says adopt or remove',
      )
    }
    alarm = plan.alarm
    if (JSON.stringify(alarm) !== before) await writeAlarm(alarm)
    for (const id of plan.remove) {
      if (removeLater(id)) removedAt.push(at)
    }
    for (const id of plan.adopt) {
      const orphan = orphans.find((each) => each.id === id)
      if (orphan) await adoptOrphan(context, orphan)
    }
  }

  /** False: it was tried a moment ago. */
  function removeLater(id: string): boolean {
    const at = now().getTime()
    if (!isEnvironmentId(id) || (triedUntil.get(id) ?? 0) > at) return false
    triedUntil.set(id, at + settings.removeAgainMs)
    log.info({ environment: id, spawner: name }, 'what is left of an environment is removed')
    void slots.run(() => removeNow(id))
    return true
  }

  async function removeNow(id: EnvironmentId): Promise<void> {
    try {
      await askBackend(context, 'remove', settings.actionTimeoutMs, (signal) => spawner.remove(id, signal))
    } catch (error) {
      triedUntil.set(id, now().getTime() + settings.lastRetryMs)
      log.warn({ environment: id, spawner: name, err: error }, 'what is left of an environment could not be removed')
    }
  }

  async function readAlarm(): Promise<Alarm | undefined> {
    const row = await store.db.selectFrom('meta').select('value').where('key', '=', alarmKey(name)).executeTakeFirst()
    const parsed = row && alarmSchema.safeParse(JSON.parse(row.value))
    return parsed?.data
  }

  async function writeAlarm(wanted: Alarm | undefined): Promise<void> {
    await store.writer.note(`orphans ${name}`, async (trx, tell) => {
      await store.leases.check(trx, context.lease)
      const key = alarmKey(name)
      tell({ of: 'orphans', spawner: name })
      if (wanted === undefined) return void (await trx.deleteFrom('meta').where('key', '=', key).execute())
      const value = JSON.stringify(wanted)
      await trx
        .insertInto('meta')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value: sql`excluded.value` }))
        .execute()
    })
  }

  return { handle }
}

/** It was taken for vanished, and there it is: somebody's work, so it is treated like what nobody knows. */
function isZombie(row: EnvironmentRow, { observation }: Found): boolean {
  return row.ended_at !== null && row.end_reason === 'vanished' && observation.phase !== 'ended'
}
