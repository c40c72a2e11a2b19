/** What an audit line may hold: never a secret, never more than a line. */
import test from 'ava'
import * as fc from 'fast-check'
import { type AuditEntry, lineOf, rowOf } from '../../hub/audit/entry.ts'
import { hubStop } from '../../hub/audit/hub-ends.ts'
import { syslogMessage } from '../../hub/audit/syslog-message.ts'
import { rememberedAudit } from '../support/audit.ts'
import { fakeEnvironment } from '../support/fakeHub.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'

const now = new Date('2026-11-21T10:00:00Z')
const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'

for (const [what, detail, hidden] of [
  ['a token of ours', { note: 'uses hutch_AbCdEfGhIjKlMnOpQrStUv for it' }, 'hutch_AbCdEf'],
  ['an ID token', { reason: `got ${jwt}!` }, 'eyJzdWI'],
  ['a list with one', { reasons: ['x', jwt] }, 'eyJzdWI'],
  ['a key', { text: '-----BEGIN RSA PRIVATE KEY-----\nMIIE' }, 'MIIE'],
  ['by its name: password', { password: 'hunter2' }, 'hunter2'],
  ['by its name: refresh_token', { refresh_token: 'abc-def' }, 'abc-def'],
  ['by its name: clientSecret', { clientSecret: 'abc-def' }, 'abc-def'],
  ['by its name: cookie', { Cookie: 'abc-def' }, 'abc-def'],
] as const) {
  test(`a secret in an entry is taken out: ${what}`, (t) => {
    const row = rowOf({ who: 'hub', did: 'x.y', detail }, now)
    t.false(JSON.stringify(row).includes(hidden))
    t.true(row.detail.includes('[secret]'))
  })
}

test('whatever is written, a line is one line, bounded, and JSON; and its syslog message has one structure', (t) => {
  const text = fc.string({ maxLength: 2_000, unit: 'binary' })
  const facts = fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean(), fc.array(text)), { maxKeys: 60 })
  fc.assert(
    fc.property(text, text, facts, (name, what, detail) => {
      const entry: AuditEntry = { who: { id: 'u', name }, did: 'x.y', what, detail }
      const line = lineOf({ id: 1, ...rowOf(entry, now) } as Parameters<typeof lineOf>[0])
      t.true(line.who.length <= 500 && (line.what ?? '').length <= 500)
      t.true(Object.keys(line.detail ?? {}).length <= 30)
      const message = syslogMessage(line, { facility: 'audit', hostname: 'häßlich host' })
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      t.notRegex(message.split('\uFEFF')[0] ?? '', /[\u0000-\u001f]/)
      t.regex(
        message,
        /^<110>1 2026-11-21T10:00:00\.000Z hlichhost hutch - x\.y \[hutch@32473 (?:[^\]\\]|\\.)*\] \uFEFF\{/u,
      )
    }),
  )
})

test('what the hub ends by itself is in the trail, with whose it was and why', async (t) => {
  const audit = rememberedAudit()
  const environment = fakeEnvironment('e1' as EnvironmentId, 'ada')
  const stopped: unknown[] = []
  const stop = hubStop(
    { get: () => Promise.resolve(environment), stop: async (...asked) => void stopped.push(asked) },
    audit,
  )
  await stop(environment.id, 'idle', 'It was not used.')
  t.deepEqual(stopped, [['e1', 'idle', 'It was not used.']])
  t.deepEqual(audit.entries, [
    {
      who: 'hub',
      did: 'environment.stopped',
      toWhom: { id: 'u-ada', name: 'ada' },
      what: 'e1',
      detail: { reason: 'idle' },
    },
  ])
})
