/** Where administrators see orphans and say what is to become of them; it works at any hub. */
import type { Store } from '../store/index.ts'
import { Problem } from '../domain/problem.ts'
import { type Alarm, alarmKey, alarmSchema, type Orphan } from './orphans.ts'

export interface OrphanAlarm {
  readonly spawner: string
  readonly since: Date
  readonly orphans: readonly Orphan[]
}

export interface OrphanDesk {
  orphans(): Promise<readonly OrphanAlarm[]>
  decideOrphans(spawner: string, ids: readonly string[], decision: 'adopt' | 'remove'): Promise<void>
}

export function createOrphanDesk(options: {
  store: Store
  spawners: readonly string[]
  nudge: (spawner: string) => void
}): OrphanDesk {
  const { store, spawners, nudge } = options
  return {
    async orphans() {
      const rows = await store.db.selectFrom('meta').selectAll().where('key', 'in', spawners.map(alarmKey)).execute()
      return spawners.flatMap((spawner) => {
        const row = rows.find(({ key }) => key === alarmKey(spawner))
        const alarm = row && alarmSchema.safeParse(JSON.parse(row.value)).data
        return alarm ? [{ spawner, since: new Date(alarm.since), orphans: alarm.orphans }] : []
      })
    },
    async decideOrphans(spawner, ids, decision) {
      const key = alarmKey(spawner)
      await store.writer.write(`orphans ${spawner}`, async (trx, tell) => {
        const row = await trx.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst()
        if (row === undefined) throw new Problem('conflict', 'There is nothing to decide for this spawner now.')
        const alarm: Alarm = alarmSchema.parse(JSON.parse(row.value))
        const decisions = { ...alarm.decisions, ...Object.fromEntries(ids.map((id) => [id, decision])) }
        const value = JSON.stringify({ ...alarm, decisions })
        await trx.updateTable('meta').set({ value }).where('key', '=', key).execute()
        tell({ of: 'orphans', spawner })
      })
      nudge(spawner)
    },
  }
}
