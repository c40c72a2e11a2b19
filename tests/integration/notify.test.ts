/** Mails on both databases, to a real mail server: none is lost while it is down, none is sent twice by two hubs. */
import test from 'ava'
import { createNotifier, type Notifier } from '../../hub/notify/index.ts'
import { createSmtp } from '../../hub/notify/smtp.ts'
import { createRequests } from '../../hub/quota/requests.ts'
import type { NewLimit } from '../../hub/quota/limits.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Store } from '../../hub/store/index.ts'
import type { Timers } from '../../hub/reconcile/timers.ts'
import { freePort } from '../support/hutch.ts'
import { databases } from '../support/postgres.ts'
import { smtpSink } from '../support/smtp-sink.ts'
import { silentLog } from '../support/spawnerSubject.ts'
import { until } from '../support/until.ts'

/** Rounds follow each other fast, and the clock goes an hour with each of them. */
function hurried(): { timers: Timers; now: () => Date } {
  let hours = 0
  const start = Date.now()
  return {
    now: () => new Date(start + hours * 3_600_000),
    timers: {
      after(_ms, call) {
        const timer = setTimeout(() => {
          hours += 1
          call()
        }, 20)
        return () => clearTimeout(timer)
      },
    },
  }
}

function notifierOn(store: Store, port: number, holder: string): Notifier {
  const send = createSmtp(
    { host: '127.0.0.1', port, tls: 'none', from: 'Hutch <hutch@example.org>', administrators: [] },
    undefined,
  )
  return createNotifier({ store, send, administrators: ['boss@example.org'], holder, log: silentLog, ...hurried() })
}

test('a mail server that is down loses nothing; each mail comes once; what is refused for good is given up', async (t) => {
  t.timeout(240_000)
  for (const store of await databases(t)) {
    const port = await freePort()
    // SQLite has one hub.
    const notifiers = ['a', 'b'].slice(0, store.type === 'sqlite' ? 1 : 2).map((name) => notifierOn(store, port, name))
    const mail = (id: string, to: string | null) => ({ id, to, subject: `About ${id}\r\nBcc: x@y.z`, text: 'Å\n.\n' })
    for (const notifier of notifiers) {
      await notifier.queue(store.db, [mail('1', 'ada@example.org'), mail('2', null), mail('3', 'a@b,c@d')])
      await notifier.queue(store.db, [mail('1', 'ada@example.org'), mail('4', 'gone@example.org')])
      notifier.start()
    }
    const attempts = async (id: string): Promise<number> =>
      (await store.db.selectFrom('mails').selectAll().where('id', '=', id).executeTakeFirst())?.attempts ?? 0
    await until('it was tried more than once', async () => (await attempts('1')) > 1, { timeoutMs: 60_000 })
    const sink = await smtpSink(port)
    sink.refused.add('gone@example.org')
    const over = async () =>
      (await store.db.selectFrom('mails').select('id').where('failed_at', 'is not', null).execute()).length === 1
    await until('it is there', () => sink.mails.length > 0, { timeoutMs: 60_000 })
    await until('the other was given up', over, { timeoutMs: 60_000 })
    for (const notifier of notifiers) await notifier.close()
    t.deepEqual(
      sink.mails.map(({ to }) => to),
      [['ada@example.org']],
      store.type,
    )
    const [first] = sink.mails
    t.regex(first?.text ?? '', /^Subject: About 1 Bcc: x@y\.z/m)
    t.regex(first?.text ?? '', /^Message-ID: <[0-9a-f]{32}@example\.org>/im)
    await sink.close()
  }
})

test('a request is told to administrators, decided once, becomes a limit with an end, and is answered', async (t) => {
  t.timeout(240_000)
  for (const store of await databases(t)) {
    const user = { id: 'u1', name: 'ada', title: 'Ada', email: 'ada@example.org', admin: 0, blocked_reason: null }
    await store.db
      .insertInto('users')
      .values({ ...user, created_at: 0, last_activity_at: null })
      .execute()
    const sink = await smtpSink(await freePort())
    const notifier = notifierOn(store, sink.port, 'a')
    notifier.start()
    const limits: NewLimit[] = []
    let serial = 0
    const requests = createRequests({
      store,
      notifier,
      quota: { addLimit: (limit) => Promise.resolve(void limits.push(limit)) },
      audit: { write: () => Promise.resolve() },
      publicUrl: new URL('https://hutch.example.org'),
      now: () => new Date('2026-11-21T12:00:00Z'),
      newId: () => `r${(serial += 1)}`,
    })
    const actor = { who: user }
    const wanted = { limit: 'cpus', most: '64', until: '2026-12-24' }
    for (const [bad, reason, words] of [
      [{ ...wanted, until: undefined }, 'x', /until: is missing/],
      [{ ...wanted, until: '2026-11-20' }, 'x', /until: is missing/],
      [{ ...wanted, until: '2029-01-01' }, 'x', /a year ahead at most/],
      [{ ...wanted, most: '-4' }, 'x', /most: is no amount/],
      [wanted, ' ', /reason: is missing/],
    ] as const) {
      await t.throwsAsync(requests.ask(user, bad, reason, actor), { instanceOf: Problem, message: words })
    }
    await requests.ask(user, wanted, 'Beamtime', actor)
    for (let more = 0; more < 9; more += 1) await requests.ask(user, wanted, 'More', actor)
    await t.throwsAsync(requests.ask(user, wanted, 'More', actor), { message: /10 requests that wait/ })
    t.is((await requests.list()).length, 10)

    const decisions = await Promise.allSettled(
      [true, false, true].map((grant) => requests.decide('r6', { grant, answer: 'Good luck' }, { who: 'hub' })),
    )
    t.is(decisions.filter(({ status }) => status === 'fulfilled').length, 1, 'decided once')
    t.like(limits[0], {
      subject: { kind: 'user', name: 'ada' },
      resource: 'cpus',
      most: 64,
      until: Date.parse('2026-12-24'),
    })
    t.is(limits.length, 1)
    await t.throwsAsync(requests.decide('nobody', { grant: true, answer: '' }, { who: 'hub' }), { message: /no such/ })
    const mailTo = (address: string) => sink.mails.filter(({ to }) => to.includes(address))
    await until(
      'both were told',
      () => mailTo('boss@example.org').length === 10 && mailTo('ada@example.org').length === 1,
      {
        timeoutMs: 60_000,
      },
    )
    t.regex(
      mailTo('ada@example.org')[0]?.text ?? '',
      /was granted[\s\S]*Good luck[\s\S]*https:\/\/hutch\.example\.org\/hub\/usage/,
    )
    await notifier.close()
    await sink.close()
  }
})
