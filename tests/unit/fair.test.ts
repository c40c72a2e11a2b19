/** The fair order of those who wait: rows for what it means, properties for what must always hold. */
import test from 'ava'
import * as fc from 'fast-check'
import {
  estimates,
  fairOrder,
  isWithin,
  type Placed,
  startable,
  sumOf,
  type Use,
  type Waiting,
} from '../../hub/quota/fair.ts'

const hour = 3_600_000
const now = Date.UTC(2026, 10, 21, 12)
const gib = 2 ** 30
const capacity = { cpu: 8, memoryBytes: 32 * gib }

const wait = (id: string, userId: string, more: Partial<Waiting> = {}): Waiting => ({
  id,
  userId,
  cpu: 2,
  memoryBytes: gib,
  since: now,
  walltimeMs: 8 * hour,
  ...more,
})
const place = (userId: string, more: Partial<Placed> = {}): Placed => ({
  userId,
  cpu: 2,
  memoryBytes: gib,
  since: now - hour,
  endsAt: now + hour,
  ...more,
})
const use = (spent: Readonly<Record<string, number>> = {}, placed: readonly Placed[] = []): Use => ({
  spent: (userId) => spent[userId] ?? 0,
  placed,
  capacity,
  now,
})
const ids = (all: readonly Waiting[]): string => all.map(({ id }) => id).join(' ')

const orders: readonly (readonly [string, readonly Waiting[], Use, string])[] = [
  ['who used less comes first', [wait('a', 'ada'), wait('b', 'bob')], use({ ada: 100, bob: 10 }), 'b a'],
  ['who has something now comes later', [wait('a', 'ada'), wait('b', 'bob')], use({}, [place('ada')]), 'b a'],
  [
    'of the same share, who asked first',
    [wait('a', 'ada', { since: now - 1 }), wait('b', 'bob', { since: now - 2 })],
    use(),
    'b a',
  ],
  [
    'one person with many does not come before others each time',
    [wait('a1', 'ada'), wait('a2', 'ada'), wait('a3', 'ada'), wait('b', 'bob', { since: now + 1 })],
    use(),
    'a1 b a2 a3',
  ],
  [
    'one’s own keep their order',
    [wait('z', 'ada', { since: now - 5 }), wait('a', 'ada', { since: now - 1 })],
    use(),
    'z a',
  ],
  [
    'waiting makes up for use',
    [wait('a', 'ada', { since: now - 12 * hour }), wait('b', 'bob')],
    use({ ada: 600 }),
    'a b',
  ],
]

for (const [title, waiting, used, expected] of orders) {
  test(`order: ${title}`, (t) => {
    t.is(ids(fairOrder(waiting, used)), expected)
    t.is(ids(fairOrder(waiting.toReversed(), used)), expected, 'in whatever order they are found')
  })
}

test('what is first is not passed over by something smaller', (t) => {
  const large = wait('large', 'ada', { cpu: 8, since: now - hour })
  const small = wait('small', 'bob', { cpu: 1 })
  t.is(ids(startable([large, small], [place('eve')], capacity)), '')
  t.is(ids(startable([small, large], [place('eve')], capacity)), 'small')
})

test('the estimate is when enough has ended, each after the one before', (t) => {
  const placed = [place('eve', { cpu: 6, endsAt: now + 2 * hour }), place('eve', { endsAt: now + hour })]
  const order = [wait('a', 'ada', { cpu: 2 }), wait('b', 'bob', { cpu: 4 }), wait('c', 'cid', { cpu: 8 })]
  const known = estimates(order, placed, capacity, now)
  t.is(known.get('a'), now + hour)
  t.is(known.get('b'), now + 2 * hour)
  t.is(known.get('c'), now + 10 * hour, 'after the eight hours of b')
  const endless = estimates(order, [place('eve', { cpu: 8, endsAt: undefined })], capacity, now)
  t.is(endless.size, 0, 'what has no end tells nothing')
})

/** A backend through which people come and go; what it does is judged apart from the code above. */
interface Arrival {
  readonly user: number
  readonly cpu: number
  readonly memory: number
  readonly atHour: number
  readonly runsHours: number
}

const arrivals: fc.Arbitrary<Arrival[]> = fc.array(
  fc.record({
    user: fc.nat(4),
    cpu: fc.integer({ min: 1, max: 8 }),
    memory: fc.integer({ min: 1, max: 32 }),
    atHour: fc.nat(60),
    runsHours: fc.integer({ min: 1, max: 10 }),
  }),
  { minLength: 1, maxLength: 60, size: 'max' },
)

type Start = typeof startable

/** How long each waited, in hours; throws when there was more than the capacity at once. */
function run(all: readonly Arrival[], start: Start, order: typeof fairOrder): number[] {
  const waiting: (Waiting & { runsHours: number })[] = []
  let placed: (Placed & { endsAt: number })[] = []
  const spent = new Map<string, number>()
  const waited: number[] = []
  for (let hours = 0; hours < 60 + all.length * 12; hours += 1) {
    const at = now + hours * hour
    for (const each of placed.filter(({ endsAt }) => endsAt <= at)) {
      spent.set(each.userId, (spent.get(each.userId) ?? 0) + (each.cpu * (each.endsAt - each.since)) / hour)
    }
    placed = placed.filter(({ endsAt }) => endsAt > at)
    for (const [index, each] of all.entries()) {
      if (each.atHour !== hours) continue
      const { cpu, runsHours } = each
      const size = { cpu, memoryBytes: each.memory * gib, walltimeMs: runsHours * hour }
      waiting.push({ id: `e${index}`, userId: `u${each.user}`, since: at, runsHours, ...size })
    }
    const used = { spent: (id: string) => spent.get(id) ?? 0, placed, capacity, now: at }
    for (const each of start(order(waiting, used), placed, capacity)) {
      const index = waiting.findIndex(({ id }) => id === each.id)
      const [one] = waiting.splice(index, 1)
      if (one === undefined) continue
      waited.push(hours - (one.since - now) / hour)
      placed.push({ ...one, since: at, endsAt: at + one.runsHours * hour })
    }
    if (!isWithin(sumOf(placed), capacity)) throw new Error('more than the capacity')
  }
  if (waiting.length > 0) throw new Error(`${waiting.length} never started`)
  return waited
}

test('law: the capacity is never exceeded, and everybody starts', (t) => {
  fc.assert(
    fc.property(arrivals, (all) => run(all, startable, fairOrder).length === all.length),
    { numRuns: 300 },
  )
  t.pass()
})

test('law: an endless stream of people who never used anything does not keep the largest user waiting for ever', (t) => {
  const ada: Arrival = { user: 0, cpu: 8, memory: 1, atHour: 10, runsHours: 1 }
  const before = Array.from({ length: 10 }, (_, atHour): Arrival => ({ ...ada, atHour }))
  const stream = Array.from({ length: 200 }, (_, index): Arrival => ({ ...ada, user: 1 + index, atHour: 5 + index }))
  const waited = run([...before, ada, ...stream], startable, fairOrder)
  t.true(Math.max(...waited) < 60)
})

const mutants: Readonly<Record<string, readonly [Start, typeof fairOrder]>> = {
  'starts one too many': [(order, placed, all) => order.slice(0, startable(order, placed, all).length + 1), fairOrder],
  'looks at cores alone': [
    (order, placed, all) => startable(order, placed, { ...all, memoryBytes: Infinity }),
    fairOrder,
  ],
  'starts nothing large': [(order, placed, all) => startable(order, placed, { ...all, cpu: 7 }), fairOrder],
}

for (const [name, [start, order]] of Object.entries(mutants)) {
  test(`the law finds a queue that ${name}`, (t) => {
    const result = fc.check(
      fc.property(arrivals, (all) => run(all, start, order).length === all.length),
      { numRuns: 500, endOnFailure: true },
    )
    t.true(result.failed)
  })
}
