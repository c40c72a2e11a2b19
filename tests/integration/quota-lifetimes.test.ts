/** Idle environments on both databases: a mail first, then the stop; whoever works, or is not heard of, stays. */
import test from 'ava'
import type { Mail } from '../../hub/notify/index.ts'
import { createLifetimes } from '../../hub/quota/lifetimes.ts'
import type { Timers } from '../../hub/reconcile/timers.ts'
import { databases } from '../support/postgres.ts'
import { limitOf } from '../support/quota.ts'
import { newRow } from '../support/rows.ts'
import { silentLog } from '../support/spawnerSubject.ts'
import { until } from '../support/until.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'

const minute = 60_000

test('the unused is warned of and stopped; who works, who is silent and who has no limit stay', async (t) => {
  t.timeout(240_000)
  for (const store of await databases(t)) {
    const start = Date.parse('2026-11-21T12:00:00Z')
    let minutes = 0
    const now = () => new Date(start + minutes * minute)
    const person = { title: '', admin: 0, blocked_reason: null, created_at: 0, last_activity_at: null }
    const people = ['ada', 'staff'].map((name) => ({ ...person, id: name, name, email: `${name}@example.org` }))
    await store.db.insertInto('users').values(people).execute()
    const add = async (id: string, userId: string, changes: object) => {
      const row = newRow({ id: id as EnvironmentId, userId, spawner: 's', now: now() })
      await store.db
        .insertInto('environments')
        .values({ ...row, ready_at: start, ...changes })
        .execute()
    }
    await add('unused', 'ada', {})
    await add('working', 'ada', {})
    await add('silent', 'ada', { unreachable_since: start })
    await add('starting', 'ada', { ready_at: null })
    await add('free', 'staff', { owner_groups: '["staff"]', ends_at: start + 26 * 60 * minute })
    const limits = [
      limitOf({ resource: 'idleMs', most: 120 * minute }),
      limitOf({ resource: 'idleMs', most: 900 * minute, subject: { kind: 'group', name: 'staff' } }),
    ]
    const mails: Mail[] = []
    const stopped: { id: string; message: string | undefined; minutes: number }[] = []
    const timers: Timers = {
      after(_ms, call) {
        const goOn = async (): Promise<void> => {
          minutes += 1
          const used = { last_activity_at: now().getTime() }
          if (minutes % 20 === 0) {
            await store.db.updateTable('environments').set(used).where('id', '=', 'working').execute()
          }
          call()
        }
        const timer = setTimeout(() => {
          goOn().catch((error: unknown) => t.fail(String(error)))
        }, 1)
        return () => clearTimeout(timer)
      },
    }
    const lifetimes = createLifetimes({
      store,
      limits: { fresh: () => Promise.resolve(limits) },
      notifier: {
        queue: (_db, news) => {
          mails.push(...news.filter(({ id }) => !mails.some((mail) => mail.id === id)))
          return Promise.resolve()
        },
      },
      async stop(id, reason, message) {
        t.is(reason, 'idle')
        stopped.push({ id, message, minutes })
        await store.db.updateTable('environments').set({ wanted: 'absent' }).where('id', '=', id).execute()
      },
      publicUrl: new URL('https://hutch.example.org'),
      entitlement: { round: () => Promise.resolve() },
      holder: 'a',
      now,
      log: silentLog,
      timers,
    })
    lifetimes.start()
    await until('it was stopped', () => stopped.length > 0, { timeoutMs: 120_000 })
    await until('time went on', () => minutes > 200, { timeoutMs: 120_000 })
    await lifetimes.close()
    t.deepEqual(
      stopped.map(({ id }) => id),
      ['unused'],
      store.type,
    )
    t.true((stopped[0]?.minutes ?? 0) >= 120)
    t.regex(stopped[0]?.message ?? '', /not used for/)
    const about = (what: string) => mails.filter(({ id }) => id.startsWith(what))
    t.deepEqual(
      about('idle').map(({ to }) => to),
      ['ada@example.org'],
    )
    t.regex(
      about('idle')[0]?.text ?? '',
      /An open page alone is not use[\s\S]*https:\/\/hutch\.example\.org\/hub\/environments\/unused\/time/,
    )
    t.is(about('reclaimed').length, 1)
    t.is(about('end free').length, 1, 'a day before the end, once')
  }
})
