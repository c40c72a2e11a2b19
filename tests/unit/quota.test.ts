/** Limits, pure: which holds, what it counts, what a refusal says; and that no order of events gets past one. */
import test from 'ava'
import * as fc from 'fast-check'
import { admit, type Ask, type Ground, type Held, type Slice, usageOf } from '../../hub/quota/admit.ts'
import { isWithin } from '../../hub/quota/held.ts'
import { type Limit, periodStart } from '../../hub/quota/limit.ts'
import { timeLimit } from '../../hub/quota/life.ts'
import { type Asker, rulesFor } from '../../hub/quota/rules.ts'
import { ranMs, settle } from '../../hub/quota/settle.ts'
import { refusalText } from '../../hub/quota/words.ts'
import { limitOf } from '../support/quota.ts'

const hour = 3_600_000
const noon = Date.parse('2026-11-21T12:00:00Z')

const ada: Asker = {
  user: { id: 'u1', name: 'ada' },
  groups: ['imaging', 'staff'],
  proposals: [
    { id: '20260042', fields: { shifts: '6' }, startsAt: new Date('2026-11-20'), endsAt: new Date('2026-11-22') },
  ],
}

const ask = (changes: Partial<Ask> = {}): Ask => ({
  ...ada,
  profile: 'lab',
  cpu: 4,
  memoryBytes: 8 * 2 ** 30,
  gpus: 0,
  gpuType: '',
  walltimeMs: 8 * hour,
  ...changes,
})

const held = (changes: Partial<Held> = {}): Held => ({
  id: 'e1',
  title: 'Fit run',
  userId: 'u1',
  groups: [],
  proposals: [],
  profile: 'lab',
  cpu: 8,
  memoryBytes: 2 ** 30,
  gpus: 0,
  gpuType: '',
  slices: [{ at: noon - hour, ms: 8 * hour }],
  ...changes,
})

const groundOf = (all: readonly Held[], cpuMs = 0): Ground => ({
  held: (scope) => all.filter((each) => isWithin(each, scope)),
  spent: () => ({ cpuMs, gpuMs: {} }),
})

const cpus = (most: Limit['most'], changes: Partial<Limit> = {}) => limitOf({ resource: 'cpus', most, ...changes })
const everyone = cpus(4)
const staff = cpus(8, { subject: { kind: 'group', name: 'staff' } })
const imaging = cpus(16, { subject: { kind: 'group', name: 'imaging' } })
const proposals = cpus({ field: 'shifts', factor: 4 }, { subject: { kind: 'proposal', name: '*' } })
const proposal = cpus(12, { subject: { kind: 'proposal', name: '20260042' } })
const own = cpus(2, { subject: { kind: 'user', name: 'ada' } })
const workshop = cpus(64, { from: noon - hour, until: noon + hour })
const over = cpus(99, { subject: { kind: 'user', name: 'ada' }, until: noon })
const others = cpus(1, { subject: { kind: 'user', name: 'marie' } })
const foreign = cpus(1, { subject: { kind: 'group', name: 'laser' } })

const choices: readonly (readonly [string, readonly Limit[], number | undefined])[] = [
  ['nobody limits it', [], undefined],
  ['what is meant for others is nothing to her', [others, foreign, over], undefined],
  ['everyone', [everyone], 4],
  ['a group before everyone', [staff, everyone], 8],
  ['the more generous of two groups', [staff, imaging], 16],
  ['every proposal before groups, from its field', [imaging, proposals], 24],
  ['the named proposal before every one', [proposals, proposal], 12],
  ['herself before everything', [own, proposal, workshop], 2],
  ['while it lasts, the exception', [everyone, workshop], 64],
]

for (const [name, limits, most] of choices) {
  test(`most specific wins: ${name}`, (t) => {
    for (const order of [limits, limits.toReversed()]) {
      const rules = rulesFor(ada, order, noon)
      t.is(rules[0]?.most, most)
      t.true(rules.length <= 1)
    }
  })
}

test('days are counted; a field that is missing or no amount refuses and says so', (t) => {
  const days = cpus({ field: 'days', factor: 2 }, { subject: { kind: 'proposal', name: '*' } })
  t.is(rulesFor(ada, [days], noon)[0]?.most, 6)
  for (const value of ['-1', '1e9', 'NaN', '', '0x10', '9'.repeat(400), 'many']) {
    const asker = { ...ada, proposals: [{ id: '20260042', fields: { shifts: value } }] }
    const refused = admit({ ...ask(), ...asker }, groundOf([]), [proposals], noon)
    t.is(refused.length, 1, value)
    const words = refusalText(refused[0]!, { userId: 'u1', fitting: [], contact: 'the helpdesk' })
    t.regex(words, /cores at once follows from the \{shifts\} of the proposal.*the helpdesk/)
  }
})

test('what all hold together counts for all of them, and what one holds for one', (t) => {
  const together = cpus(12, { share: 'together', subject: { kind: 'proposal', name: '20260042' } })
  const of = (userId: string, id: string) => held({ id, userId, proposals: ['20260042'] })
  t.is(admit(ask(), groundOf([of('u2', 'e1')]), [together], noon).length, 0)
  t.is(admit(ask(), groundOf([of('u2', 'e1'), of('u3', 'e2')]), [together], noon).length, 1)
  t.is(admit(ask(), groundOf([of('u2', 'e1'), of('u3', 'e2')]), [cpus(12)], noon).length, 0)
})

test('GPUs and profiles are limited by kind and as a whole', (t) => {
  const whole = limitOf({ resource: 'gpus', most: 4 })
  const a100 = limitOf({ resource: 'gpus', of: 'a100', most: 1 })
  const labs = limitOf({ resource: 'environments', of: 'lab', most: 1 })
  const ground = groundOf([held({ gpus: 1, gpuType: 'a100' })])
  const refusedBy = (changes: Partial<Ask>) =>
    admit(ask(changes), ground, [whole, a100, labs], noon).map(({ rule }) => rule.limit.resource + rule.limit.of)
  t.deepEqual(refusedBy({ profile: 'desktop', gpus: 3, gpuType: 'l40s' }), [])
  t.deepEqual(refusedBy({ profile: 'desktop', gpus: 4, gpuType: 'l40s' }), ['gpus'])
  t.deepEqual(refusedBy({ profile: 'desktop', gpus: 1, gpuType: 'a100' }), ['gpusa100'])
  t.deepEqual(refusedBy({}), ['environmentslab'])
})

test('hours: the whole walltime is held, what ended counts as it was, each in the period that admitted it', (t) => {
  const monthly = limitOf({ resource: 'cpuHours', period: 'month', most: 100 })
  const before = periodStart('month', noon) - 1
  const refused = (all: Held[], spentHours: number, changes: Partial<Ask> = {}) =>
    admit(ask(changes), groundOf(all, spentHours * hour), [monthly], noon).length
  t.is(refused([], 68), 0, '68 + 4 × 8 = 100')
  t.is(refused([], 68.01), 1)
  t.is(refused([held()], 4), 0, '4 + 8 × 8 + 32 = 100')
  t.is(refused([held()], 4.1), 1)
  t.is(refused([held({ slices: [{ at: before, ms: 8 * hour }] })], 68), 0, 'admitted last month')
  t.is(
    refused(
      [
        held({
          slices: [
            { at: before, ms: 8 * hour },
            { at: noon, ms: hour },
          ],
        }),
      ],
      68,
    ),
    1,
    'extended in this',
  )
  t.is(refused([], 0, { walltimeMs: Infinity }), 1, 'without an end it can not be counted')
})

test('an extension is an admission of its time alone', (t) => {
  const me = held({ cpu: 4 })
  const extension = ask({ extends: me, walltimeMs: 4 * hour })
  const limits = [cpus(4), limitOf({ resource: 'environments', most: 1 })]
  t.is(admit(extension, groundOf([me]), limits, noon).length, 0)
  const monthly = (most: number) => limitOf({ resource: 'cpuHours', period: 'month', most })
  t.is(admit(extension, groundOf([me]), [monthly(48)], noon).length, 0)
  t.is(admit(extension, groundOf([me]), [monthly(47)], noon).length, 1)
  const life = (hours: number) => limitOf({ resource: 'lifetimeMs', most: hours * hour })
  t.is(admit(extension, groundOf([me]), [life(12)], noon).length, 0)
  t.is(admit(extension, groundOf([me]), [life(11)], noon).length, 1)
})

test('the most specific lifetime holds, not the shortest', (t) => {
  const life = (hours: number, changes: Partial<Limit>) =>
    limitOf({ resource: 'lifetimeMs', most: hours * hour, ...changes })
  const limits = [life(8, {}), life(24, { subject: { kind: 'group', name: 'staff' } })]
  t.is(timeLimit(ada, limits, 'lifetimeMs', noon)?.most, 24 * hour)
  t.is(timeLimit({ ...ada, groups: [] }, limits, 'lifetimeMs', noon)?.most, 8 * hour)
  t.is(timeLimit(ada, limits, 'idleMs', noon), undefined)
})

test('a refusal says which limit, whose, what uses it, and what would fit', (t) => {
  const [refusal] = admit(ask(), groundOf([held(), held({ id: 'e2', title: 'Lab', cpu: 6 })]), [imaging], noon)
  t.is(
    refusalText(refusal!, { userId: 'u1', fitting: ['Small'], contact: 'x' }),
    'You may have at most 16 cores at once, the limit of the group imaging. You have 14 cores (“Fit run”, “Lab”), this needs 4 cores, and 2 cores are left. Small would fit, or stop one of yours, or ask for more on the page My usage.',
  )
  const pool = cpus(12, { share: 'together', subject: { kind: 'proposal', name: '20260042' }, until: noon + hour })
  const [shared] = admit(
    ask(),
    groundOf([held({ userId: 'u2', title: 'Secret', cpu: 10, proposals: ['20260042'] })]),
    [pool],
    noon,
  )
  const words = refusalText(shared!, { userId: 'u1', fitting: [], contact: 'x' })
  t.regex(words, /^The proposal 20260042 may have at most 12 cores at once, the limit of 20260042, until 21 Nov 2026\./)
  t.notRegex(words, /Secret/, 'what others run is not told')
})

test('what it took: by the backend’s clock, and never more than could be', (t) => {
  const ended = (startedAt: number, endedAt?: number) =>
    JSON.stringify({
      phase: 'ended',
      reason: 'completed',
      message: '',
      startedAt: new Date(startedAt),
      ...(endedAt === undefined ? {} : { endedAt: new Date(endedAt) }),
    })
  const row = { observation: null, started_at: noon, ends_at: null, ended_at: noon + hour }
  t.is(ranMs({ ...row, started_at: null }), 0, 'it never started')
  t.is(ranMs(row), hour)
  t.is(ranMs({ ...row, ends_at: noon + hour / 2 }), hour / 2, 'the backend had ended it by then')
  t.is(ranMs({ ...row, observation: ended(noon + 1, noon + 11) }), 10, 'the hub’s clock does not matter')
  t.is(ranMs({ ...row, observation: ended(noon, noon - hour) }), 0, 'a clock that jumped back')
  t.true(ranMs({ ...row, observation: ended(noon, Date.parse('9999-01-01')) }) < 11 * 366 * 24 * hour)
})

test('law: what is settled sums up to what it ran', (t) => {
  const slices = fc.array(fc.record({ at: fc.nat(), ms: fc.nat(100) }), { minLength: 1, maxLength: 5 })
  const sum = (all: readonly Slice[]) => all.reduce((total, { ms }) => total + ms, 0)
  fc.assert(
    fc.property(slices, fc.nat(600), (all, ms) => {
      const settled = settle(all, ms)
      const inOrder = settled.slice(0, -1).every((each, index) => each.ms <= (all[index]?.ms ?? 0))
      return sum(settled) === ms && inOrder && settled.every((each) => each.ms >= 0)
    }),
  )
  t.pass()
})

/**
 * A small world: launches, ends and extensions by several people, with a clock that jumps. Whatever the order, no limit
 * is exceeded: neither by what is held at once, nor by hours in any of their periods.
 */
type Event =
  | { do: 'launch'; user: number; cpu: number; hours: number; proposal: number }
  | { do: 'end'; which: number; ranShare: number }
  | { do: 'extend'; which: number; hours: number }
  | { do: 'clock'; hours: number }

const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('launch' as const),
        user: fc.nat(2),
        cpu: fc.integer({ min: 1, max: 4 }),
        hours: fc.integer({ min: 1, max: 30 }),
        proposal: fc.nat(1),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('end' as const),
        which: fc.nat(20),
        ranShare: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('extend' as const),
        which: fc.nat(20),
        hours: fc.integer({ min: 1, max: 30 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('clock' as const), hours: fc.integer({ min: -30, max: 60 }) }),
    },
  ),
  // Long ones, whatever the size of the run: few broken things show in three events.
  { minLength: 30, maxLength: 60, size: 'max' },
)

const pool = { share: 'together', subject: { kind: 'proposal', name: 'p0' } } as const
const worldLimits: readonly Limit[] = [
  cpus(8),
  cpus(6, { subject: { kind: 'user', name: 'n1' } }),
  cpus(10, pool),
  limitOf({ resource: 'environments', most: 4 }),
  limitOf({ resource: 'cpuHours', period: 'day', most: 90 }),
  limitOf({ resource: 'cpuHours', period: 'ever', most: 400, ...pool }),
  limitOf({ resource: 'cpuHours', period: 'week', most: 500, share: 'together' }),
]

type Admit = typeof admit

function exceeds(happened: readonly Event[], decide: Admit): string | undefined {
  let now = noon
  let count = 0
  const live: Held[] = []
  const ended: { held: Held; slices: readonly Slice[] }[] = []
  const ground: Ground = {
    held: (scope) => live.filter((each) => isWithin(each, scope)),
    spent: (scope, since) => ({
      cpuMs: ended
        .filter(({ held: each }) => isWithin(each, scope))
        .flatMap(({ held: { cpu }, slices }) => slices.map(({ at, ms }) => (at >= since ? cpu * ms : 0)))
        .reduce((sum, ms) => sum + ms, 0),
      gpuMs: {},
    }),
  }
  const askerOf = (user: number, proposal: number): Asker => ({
    user: { id: `u${user}`, name: `n${user}` },
    groups: [],
    proposals: [{ id: `p${proposal}`, fields: {} }],
  })
  for (const event of happened) {
    if (event.do === 'clock') now += event.hours * hour
    else if (event.do === 'launch') {
      const { user, cpu, proposal } = event
      const asked: Ask = { ...ask({ cpu, walltimeMs: event.hours * hour }), ...askerOf(user, proposal) }
      if (decide(asked, ground, worldLimits, now).length > 0) continue
      count += 1
      const slices = [{ at: now, ms: event.hours * hour }]
      live.push(held({ id: `e${count}`, userId: `u${user}`, proposals: [`p${proposal}`], cpu, slices }))
    } else {
      const index = event.which % Math.max(1, live.length)
      const one = live[index]
      if (one === undefined) continue
      if (event.do === 'end') {
        live.splice(index, 1)
        const total = one.slices.reduce((sum, { ms }) => sum + ms, 0)
        ended.push({ held: one, slices: settle(one.slices, Math.floor(total * event.ranShare)) })
      } else {
        const asker = askerOf(Number(one.userId.slice(1)), Number(one.proposals[0]?.slice(1)))
        const asked: Ask = { ...ask({ cpu: one.cpu, walltimeMs: event.hours * hour, extends: one }), ...asker }
        if (decide(asked, ground, worldLimits, now).length > 0) continue
        live[index] = { ...one, slices: [...one.slices, { at: now, ms: event.hours * hour }] }
      }
    }
    const broken = brokenRule(ground, [...live.flatMap((each) => each.slices), ...ended.flatMap((each) => each.slices)])
    if (broken !== undefined) return broken
  }
  return undefined

  /** Judged apart from the code above: what is held, and what belongs to each period that anything was admitted in. */
  function brokenRule(seen: Ground, slices: readonly Slice[]): string | undefined {
    for (const user of [0, 1, 2]) {
      for (const rule of rulesFor(askerOf(user, 0), worldLimits, now)) {
        const { limit, scope, most = 0 } = rule
        if (limit.resource !== 'cpuHours') {
          if (usageOf(rule, seen, now).used > most) return limit.resource
          continue
        }
        for (const start of new Set(slices.map(({ at }) => periodStart(limit.period, at)))) {
          const inPeriod = (cpu: number, all: readonly Slice[]) =>
            all.reduce(
              (sum, { at, ms }) => (periodStart(limit.period, at) === start ? sum + (cpu * ms) / hour : sum),
              0,
            )
          const used =
            seen.held(scope).reduce((sum, each) => sum + inPeriod(each.cpu, each.slices), 0) +
            ended
              .filter((each) => isWithin(each.held, scope))
              .reduce((sum, each) => sum + inPeriod(each.held.cpu, each.slices), 0)
          if (used > most * (1 + 1e-6)) return `${limit.resource} ${limit.period}`
        }
      }
    }
    return undefined
  }
}

test('law: in no order of events is any limit exceeded', (t) => {
  fc.assert(
    fc.property(events, (happened) => exceeds(happened, admit) === undefined),
    { numRuns: 1_000 },
  )
  t.pass()
})

const without =
  (change: (limit: Limit) => boolean): Admit =>
  (asked, ground, limits, now) =>
    admit(asked, ground, limits.filter(change), now)

const mutants: Readonly<Record<string, Admit>> = {
  'admits everything': () => [],
  'forgets what ended': (asked, ground, limits, now) =>
    admit(asked, { ...ground, spent: () => ({ cpuMs: 0, gpuMs: {} }) }, limits, now),
  'forgets what runs': (asked, ground, limits, now) => admit(asked, { ...ground, held: () => [] }, limits, now),
  'does not count itself': (asked, ground, limits, now) => admit({ ...asked, cpu: 0 }, ground, limits, now),
  'takes the walltime for an hour': (asked, ground, limits, now) =>
    admit({ ...asked, walltimeMs: hour }, ground, limits, now),
  'looks at environments alone': without(({ resource }) => resource === 'environments'),
  'looks at one’s own alone': (asked, ground, limits, now) =>
    admit(
      asked,
      { ...ground, held: (scope) => ground.held(scope).filter(({ userId }) => userId === asked.user.id) },
      limits,
      now,
    ),
  'lets everybody’s limit win over one’s own': without(({ subject }) => subject.kind !== 'user'),
  'extensions cost nothing': (asked, ground, limits, now) =>
    asked.extends === undefined ? admit(asked, ground, limits, now) : [],
  'asks for one more than there is': (asked, ground, limits, now) =>
    admit(
      asked,
      ground,
      limits.map((limit) => ({ ...limit, most: typeof limit.most === 'number' ? limit.most + 1 : limit.most })),
      now,
    ),
}

for (const [name, mutant] of Object.entries(mutants)) {
  test(`the law finds an admission that ${name}`, (t) => {
    const result = fc.check(
      fc.property(events, (happened) => exceeds(happened, mutant) === undefined),
      { numRuns: 2_000, endOnFailure: true },
    )
    t.true(result.failed)
  })
}
