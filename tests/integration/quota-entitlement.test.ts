/** Who leaves a proposal while an environment runs is warned, then it ends; who comes back, or can't be told, stays. */
import test from 'ava'
import { Registry } from 'prom-client'
import { Problem } from '../../hub/domain/problem.ts'
import type { Proposal } from '../../hub/domain/services.ts'
import type { Mail } from '../../hub/notify/index.ts'
import { createEntitlement } from '../../hub/quota/entitlement.ts'
import { createEnvironments } from '../../hub/reconcile/index.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'
import { databases } from '../support/postgres.ts'
import { newRow } from '../support/rows.ts'
import { silentLog } from '../support/spawnerSubject.ts'

const hour = 3_600_000

test('it is warned of with a grace, taken back for who is a member again, and stopped after it', async (t) => {
  t.timeout(240_000)
  for (const store of await databases(t)) {
    let at = Date.parse('2026-11-21T12:00:00Z')
    const now = () => new Date(at)
    const person = { title: '', admin: 0, blocked_reason: null, created_at: 0, last_activity_at: null }
    const people = ['ada', 'bob', 'eve'].map((name) => ({ ...person, id: name, name, email: `${name}@example.org` }))
    await store.db.insertInto('users').values(people).execute()
    const { environments, ...reconciled } = createEnvironments({
      store,
      spawners: new Map(),
      agentsKey: Buffer.alloc(32),
      settings: { hub: 'h', hosts: undefined, startTimeoutMs: () => 60_000 },
      now,
      log: silentLog,
      metrics: new Registry(),
    })
    const launch = async (id: string, userId: string, proposals: readonly string[]) => {
      const row = newRow({ id: id as EnvironmentId, userId, owner: userId, spawner: 's', now: now() })
      await environments.launch({ ...row, proposals: JSON.stringify(proposals) }, () => undefined)
    }
    await launch('both', 'ada', ['p1', 'p2'])
    await launch('one', 'ada', ['p1'])
    await launch('none', 'bob', [])
    await launch('barred', 'eve', [])
    const members = new Set(['p1', 'p2'])
    let isAway = false
    let isEveBarred = false
    const mails: Mail[] = []
    let questions = 0
    const entitlement = createEntitlement({
      db: store.db,
      catalogue: {
        entitled(_user, ids) {
          questions += 1
          if (isAway) return Promise.reject(new Problem('catalogueUnreachable', 'It does not answer.'))
          const found = ids.filter((id) => members.has(id))
          return Promise.resolve(found.map((id): Proposal => ({ id, title: id, instrument: '', fields: {} })))
        },
      },
      authorisation: {
        require: ({ name }) =>
          name === 'eve' && isEveBarred
            ? Promise.reject(new Problem('notAuthorised', 'Not any more.'))
            : Promise.resolve(),
      },
      notifier: { queue: (_db, news) => Promise.resolve(void mails.push(...news)) },
      mark: (id, unentitled) => environments.mark(id, unentitled),
      stop: (id, reason, message) => environments.stop(id, reason, message),
      publicUrl: new URL('https://hutch.example.org'),
      everyMs: hour,
      graceMs: 24 * hour,
      now,
      log: silentLog,
    })
    const after = async (ms: number): Promise<void> => {
      at += ms
      await entitlement.round()
    }
    const of = async (id: string) => await environments.get(id as EnvironmentId)
    await after(0)
    t.is(mails.length, 0)
    t.is(questions, 1, 'once for all that somebody has')
    await after(hour / 2)
    t.is(questions, 1, 'and not again so soon')

    members.delete('p2')
    await after(hour)
    t.deepEqual((await of('both'))?.unentitled?.proposals, ['p2'])
    t.is((await of('one'))?.unentitled, undefined, 'of another proposal')
    t.deepEqual(
      mails.map(({ to }) => to),
      ['ada@example.org'],
    )
    t.regex(mails[0]?.text ?? '', /no longer on the proposal p2\. “Environment both” is stopped at 22 Nov/)
    members.add('p2')
    await after(hour)
    t.is((await of('both'))?.unentitled, undefined, 'a member again')
    members.delete('p2')
    isEveBarred = true
    await after(hour)
    t.deepEqual((await of('barred'))?.unentitled?.proposals, [])
    isAway = true
    await after(25 * hour)
    t.is((await of('both'))?.wanted.is, 'present', 'nobody can tell, so nothing is stopped')
    t.is((await of('barred'))?.wanted.is, 'absent')
    isAway = false
    await after(hour)
    t.like(await of('both'), { wanted: { is: 'absent', reason: 'cancelled' } })
    t.is((await of('one'))?.wanted.is, 'present')
    t.is((await of('none'))?.wanted.is, 'present')
    t.is(mails.length, 3, store.type)
    await reconciled.close()
  }
})
