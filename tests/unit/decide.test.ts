/** The laws in the pure function: rows for what each case decides, properties for what must never be decided. */
import test from 'ava'
import * as fc from 'fast-check'
import {
  type Answer,
  decide,
  type DecideSettings,
  type Seen,
  type Step,
  type Subject,
} from '../../hub/domain/decide.ts'
import { planOrphans } from '../../hub/reconcile/orphans.ts'

const settings: DecideSettings = {
  visibilityLagMs: 1_000,
  actionTimeoutMs: 30_000,
  firstRetryMs: 1_000,
  lastRetryMs: 60_000,
  launchPatienceMs: 3_600_000,
  removeAgainMs: 60_000,
  graceMs: 30_000,
  startTimeoutMs: () => 300_000,
  canExtend: true,
}

const wanted: Subject = {
  profile: 'p',
  wanted: 'present',
  wanted_reason: null,
  observed_at: null,
  action: null,
  action_begun_at: null,
  action_at: null,
  attempts: 0,
  port: null,
  wanted_at: 1_000,
  accepted_at: null,
  started_at: null,
  ready_at: null,
  ends_at: null,
  ended_at: null,
  extensions: '[]',
}
const asked: Subject = { ...wanted, action: 'ensure', action_begun_at: 2_000, attempts: 1 }
const accepted: Subject = { ...asked, action_at: 3_000, accepted_at: 3_000 }
const ran: Subject = { ...accepted, observed_at: 4_000, started_at: 4_000, port: 5, ready_at: 5_000 }
const unwanted = { wanted: 'absent', wanted_reason: 'cancelled' } as const

const longer = JSON.stringify([{ at: 5_000, ms: 500_000, until: 600_000 }])
const running: Answer = {
  is: 'found',
  begunAt: 10_000,
  observation: { phase: 'running', hosts: ['h'], startedAt: new Date(4_000) },
}
const absent = (begunAt: number): Answer => ({ is: 'absent', begunAt })
const seen = (answer: Answer, more: Partial<Seen> = {}): Seen => ({
  answer,
  since: 0,
  lostAt: null,
  earlierSettledAt: 0,
  probeAt: Infinity,
  extendAt: 0,
  hasAddress: false,
  hasTurn: true,
  ...more,
})

const rows: [string, Subject, Seen, number, Partial<Step>][] = [
  ['what was never asked for is asked for', wanted, seen({ is: 'unknown' }), 1_000, { do: 'ensure' }],
  [
    'what waits for its turn is not asked for',
    wanted,
    seen({ is: 'unknown' }, { hasTurn: false }),
    9_000_000,
    { do: 'nothing' },
  ],
  ['a launch that is not answered waits', asked, seen({ is: 'unknown' }), 5_000, { do: 'nothing' }],
  [
    'law 6: an observation begun before the answer',
    accepted,
    seen(absent(2_500)),
    9_000,
    { do: 'observe', from: 4_000 },
  ],
  ['law 6: an observation within the lag', accepted, seen(absent(3_999)), 9_000, { do: 'observe', from: 4_000 }],
  ['law 5: accepted, and gone', accepted, seen(absent(4_000)), 9_000, { do: 'end', reason: 'vanished' }],
  ['law 5: it ran, and is gone', ran, seen(absent(9_000)), 9_000, { do: 'end', reason: 'vanished' }],
  ['law 2: it ran, and nobody can tell', ran, seen({ is: 'unknown' }), 99_000_000, { do: 'nothing' }],
  ['a lost launch waits for its turn', asked, seen(absent(4_000), { lostAt: 2_500 }), 3_400, { do: 'nothing' }],
  ['a lost launch is tried again', asked, seen(absent(4_000), { lostAt: 2_500 }), 4_000, { do: 'ensure' }],
  [
    'a launch of a dead hub may still come',
    asked,
    seen(absent(50_000), { since: 40_000 }),
    60_000,
    { do: 'observe', from: 71_000 },
  ],
  [
    'a new hub takes the word of a first launch that was accepted',
    accepted,
    seen(absent(50_000), { since: 40_000 }),
    60_000,
    { do: 'end', reason: 'vanished' },
  ],
  [
    'and not of a second one: of the first it knows nothing, which may still come',
    { ...accepted, attempts: 2 },
    seen(absent(50_000), { since: 40_000 }),
    60_000,
    { do: 'observe', from: 71_000 },
  ],
  [
    'a launch that was never accepted is given up',
    asked,
    seen(absent(99_000)),
    9_000_000,
    { do: 'end', reason: 'startTimeout' },
  ],
  [
    'it ended',
    ran,
    seen({ is: 'found', begunAt: 9_000, observation: { phase: 'ended', reason: 'outOfMemory', message: 'x' } }),
    9_000,
    { do: 'end', reason: 'outOfMemory', message: 'x' },
  ],
  [
    'a requeued one is left alone',
    ran,
    seen({ is: 'found', begunAt: 9_000, observation: { phase: 'pending', stage: 'queued', message: '' } }),
    9_000,
    { do: 'nothing' },
  ],
  [
    'it runs, and its agent is to be asked',
    { ...ran, ready_at: null },
    seen(running, { probeAt: 9_000 }),
    9_000,
    { do: 'probe' },
  ],
  [
    'it runs longer than it may',
    { ...ran, ends_at: 10_000 },
    seen(running),
    40_000,
    { do: 'expire', reason: 'timeLimit' },
  ],
  [
    'the backend is told of a later end',
    { ...ran, ends_at: 100_000, extensions: longer },
    seen(running),
    50_000,
    { do: 'extend', until: 600_000 },
  ],
  [
    'and told again after a rest',
    { ...ran, ends_at: 100_000, extensions: longer },
    seen(running, { extendAt: 51_000 }),
    50_000,
    { do: 'nothing', until: 51_000 },
  ],
  [
    'a backend that counts in minutes has done it',
    { ...ran, ends_at: 540_000, extensions: longer },
    seen(running),
    50_000,
    { do: 'nothing' },
  ],
  [
    'what was refused is not asked for again',
    {
      ...ran,
      ends_at: 100_000,
      extensions: JSON.stringify([{ at: 5_000, ms: 0, until: 600_000, refused: 'too long' }]),
    },
    seen(running),
    50_000,
    { do: 'nothing' },
  ],
  [
    'nobody extends what is to be stopped',
    { ...ran, ...unwanted, ends_at: 100_000, extensions: longer },
    seen(running),
    50_000,
    { do: 'remove' },
  ],
  ['the backend ends it first', { ...ran, ends_at: 10_000 }, seen(running), 39_999, { do: 'nothing' }],
  [
    'it does not get ready',
    { ...ran, ready_at: null, port: null },
    seen(running),
    334_000,
    { do: 'expire', reason: 'startTimeout' },
  ],
  [
    'a new hub gives it time',
    { ...ran, ready_at: null, port: null },
    seen(running, { since: 300_000 }),
    334_000,
    { do: 'nothing' },
  ],
  [
    'stopped before it was asked for',
    { ...wanted, ...unwanted },
    seen({ is: 'unknown' }),
    9_000,
    { do: 'end', reason: 'cancelled' },
  ],
  ['stopped, whatever the backend says', { ...ran, ...unwanted }, seen({ is: 'unknown' }), 9_000, { do: 'remove' }],
  [
    'a stop is over when it is gone',
    { ...ran, ...unwanted, action: 'remove', action_begun_at: 5_000, action_at: 6_000 },
    seen(absent(7_000)),
    9_000,
    { do: 'end', reason: 'cancelled' },
  ],
  [
    'and not before',
    { ...ran, ...unwanted, action: 'remove', action_begun_at: 5_000, action_at: 6_000 },
    seen(absent(6_999)),
    9_000,
    { do: 'observe' },
  ],
  [
    'nor while an earlier launch may come',
    { ...ran, ...unwanted, action: 'remove', action_begun_at: 5_000, action_at: 6_000 },
    seen(absent(7_000), { earlierSettledAt: 32_000 }),
    9_000,
    { do: 'observe', from: 33_000 },
  ],
  [
    'what does not go is removed again',
    { ...ran, ...unwanted, action: 'remove', action_begun_at: 5_000, action_at: 6_000 },
    seen(running),
    66_000,
    { do: 'remove' },
  ],
]

for (const [title, row, what, now, expected] of rows) {
  test(`decide: ${title}`, (t) => {
    t.like(decide(row, what, now, settings), expected)
  })
}

const time = fc.integer({ min: 1_000, max: 10_000_000 })
const maybe = fc.option(time, { nil: null })
const subjects: fc.Arbitrary<Subject> = fc.record({
  profile: fc.constant('p'),
  wanted: fc.constantFrom('present', 'absent'),
  wanted_reason: fc.constant(null),
  observed_at: maybe,
  action: fc.constantFrom(null, 'ensure', 'remove'),
  action_begun_at: time,
  action_at: maybe,
  attempts: fc.nat(50),
  port: fc.constantFrom(null, 5),
  wanted_at: time,
  accepted_at: maybe,
  started_at: maybe,
  ready_at: maybe,
  ends_at: maybe,
  ended_at: fc.constant(null),
  extensions: fc.constantFrom('[]', longer),
})
const unknown = fc.record({
  answer: fc.constant<Answer>({ is: 'unknown' }),
  since: time,
  lostAt: maybe,
  earlierSettledAt: time,
  probeAt: time,
  extendAt: time,
  hasAddress: fc.boolean(),
  hasTurn: fc.boolean(),
})

test('law 2: as long as the backend can not tell, nothing that was asked for is ended, expired or launched again', (t) => {
  fc.assert(
    fc.property(subjects, unknown, time, (row, what, now) => {
      fc.pre(row.wanted === 'present' && (row.action !== null || row.observed_at !== null))
      return ['nothing', 'probe'].includes(decide(row, what, now, settings).do)
    }),
  )
  t.pass()
})

test('law 5: what was accepted or seen is never launched again, whatever is observed', (t) => {
  fc.assert(
    fc.property(subjects, unknown, time, time, (row, what, begunAt, now) => {
      fc.pre(row.accepted_at !== null || row.observed_at !== null)
      fc.pre(row.action !== null || row.observed_at !== null)
      return decide(row, { ...what, answer: absent(begunAt) }, now, settings).do !== 'ensure'
    }),
  )
  t.pass()
})

test('law 6: absence ends nothing before the last action was answered and the lag is over', (t) => {
  fc.assert(
    fc.property(subjects, unknown, fc.nat(1_999), time, (row, what, early, now) => {
      fc.pre(row.action !== null && row.action_at !== null)
      const begunAt = (row.action_at ?? 0) + settings.visibilityLagMs - 1 - early
      const step = decide(row, { ...what, since: 0, answer: absent(begunAt) }, now, settings)
      return step.do !== 'end'
    }),
  )
  t.pass()
})

test('law 4: many orphans are left alone until somebody decides; never more than the limit go by themselves', (t) => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(4_000), fc.nat(10), (count, others, removedLately) => {
      const orphans = Array.from({ length: count }, (_, index) => ({ id: `o${index}`, phase: 'running' }))
      const total = count + others
      const plan = planOrphans(orphans, { total, removedLately, alarm: undefined, now: 0 })
      const most = Math.max(3, total * 0.05)
      if (count > 0 && count + removedLately > most) return plan.remove.length === 0 && plan.alarm !== undefined
      return plan.remove.length === count && plan.alarm === undefined
    }),
  )
  const alarm = { since: 0, orphans: [], decisions: { o1: 'remove', o2: 'adopt' } } as const
  const three = ['o1', 'o2', 'o3'].map((id) => ({ id, phase: 'running' }))
  const plan = planOrphans(three, { total: 1_000, removedLately: 0, alarm: { ...alarm, orphans: [] }, now: 0 })
  t.deepEqual([plan.remove, plan.adopt], [['o1'], ['o2']], 'once there is an alarm, only words count')
})
