/** What is offered to whom: a table of who and what, and laws that hold whatever the rules. */
import test from 'ava'
import * as fc from 'fast-check'
import { type ConfigurationInput, configurationSchema } from '../../config/schema.ts'
import { moreMemory } from '../../hub/domain/more-memory.ts'
import type { Proposal } from '../../hub/domain/services.ts'
import { type OfferContext, standingOf, visitOf } from '../../hub/launch/offer-rules.ts'
import type { EnvironmentSpec } from '../../spawners/spawner.ts'

const profile = (flavours: string[], on: object = { cluster: {} }, groups: string[] = []) => ({
  title: 'T',
  kind: 'notebook' as const,
  flavours,
  on: on as Record<string, unknown>,
  groups,
})
const flavour = { title: 'F', cpu: 1, memory: '1GiB' }

const written: ConfigurationInput = {
  flavours: { small: flavour, large: flavour, gpu: flavour },
  spawners: { cluster: { type: 'slurm' }, bm05: { type: 'local' } },
  profiles: {
    lab: profile(['small', 'large', 'gpu'], { cluster: {}, bm05: {} }),
    reconstruction: profile(['gpu', 'small']),
    matlab: profile(['small']),
    live: profile(['small'], { bm05: {} }),
    staff: profile(['small'], { cluster: {} }, ['it']),
  },
  offers: [
    {
      title: 'First for imaging',
      when: { techniques: ['Imaging', 'tomography'] },
      opens: { flavours: ['gpu'] },
      first: { profiles: ['reconstruction'], flavours: ['gpu'] },
    },
    { title: 'Licensed', when: { groups: ['matlab-licence'] }, opens: { profiles: ['matlab'] } },
    {
      title: 'Your beamtime',
      when: { instruments: ['BM05'], visit: ['during'], around: '2h' },
      opens: { spawners: ['bm05'], options: { reservation: ['beamtime'] } },
      first: { spawners: ['bm05'], options: { reservation: ['beamtime'] } },
    },
    { title: 'This cycle', when: { fields: { cycle: ['2026/1'] }, users: ['ada'] }, first: { flavours: ['large'] } },
  ],
}
const configuration = configurationSchema.parse(written)

const now = new Date('2026-11-21T10:00:00Z')
const proposal = (changes: Partial<Proposal> = {}): Proposal => ({
  id: 'p1',
  title: 'T',
  instrument: 'ID19',
  fields: {},
  ...changes,
})
const beamtime = {
  instrument: 'BM05',
  startsAt: new Date('2026-11-20T08:00:00Z'),
  endsAt: new Date('2026-11-21T00:00:00Z'),
}
const imaging = proposal({ technique: 'imaging' })

/** Profile: its flavours @ its spawners. */
function shown(changes: Partial<OfferContext>): string {
  const standing = standingOf(configuration, { user: { name: 'eve' }, groups: [], proposals: [], now, ...changes })
  return standing.profiles
    .map(({ name, profile: { flavours, on }, first }) => {
      const title = first === undefined ? '' : `[${first}] `
      return `${title}${name}: ${flavours.join(' ')} @ ${Object.keys(on).join(' ')}`
    })
    .join('; ')
}

const plain = 'lab: small large @ cluster; reconstruction: small @ cluster'
const rows: readonly (readonly [what: string, context: Partial<OfferContext>, expected: string])[] = [
  ['nobody in particular', {}, plain],
  ['a group of the profile', { groups: ['it'] }, `${plain}; staff: small @ cluster`],
  ['a licence', { groups: ['matlab-licence'] }, `${plain}; matlab: small @ cluster`],
  [
    'imaging, written otherwise: its image first, with GPUs',
    { proposals: [imaging] },
    '[First for imaging] reconstruction: gpu small @ cluster; lab: gpu small large @ cluster',
  ],
  [
    'imaging among several techniques that a catalogue knows',
    { proposals: [proposal({ technique: 'SANS; imaging' })] },
    '[First for imaging] reconstruction: gpu small @ cluster; lab: gpu small large @ cluster',
  ],
  ['another technique', { proposals: [proposal({ technique: 'SANS' })] }, plain],
  [
    'during beamtime: the workstation of the instrument first',
    { proposals: [proposal(beamtime)] },
    'lab: small large @ bm05 cluster; reconstruction: small @ cluster; live: small @ bm05',
  ],
  [
    'the second of two proposals counts as well',
    { proposals: [proposal(), proposal(beamtime)] },
    'lab: small large @ bm05 cluster; reconstruction: small @ cluster; live: small @ bm05',
  ],
  ['beamtime of another instrument', { proposals: [proposal({ ...beamtime, instrument: 'ID19' })] }, plain],
  ['after it', { proposals: [proposal(beamtime)], now: new Date('2026-11-22T02:00:00Z') }, plain],
  [
    'just after it, within around',
    { proposals: [proposal(beamtime)], now: new Date('2026-11-22T01:59:59Z') },
    'lab: small large @ bm05 cluster; reconstruction: small @ cluster; live: small @ bm05',
  ],
  ['before it', { proposals: [proposal(beamtime)], now: new Date('2026-11-20T05:59:59Z') }, plain],
  [
    'two proposals: what either of them opens, never a mixture of the two within one rule',
    { proposals: [imaging, proposal({ ...beamtime, instrument: 'ID19' }), proposal({ instrument: 'BM05' })] },
    '[First for imaging] reconstruction: gpu small @ cluster; lab: gpu small large @ cluster',
  ],
  [
    'a field, for whom it is meant',
    { user: { name: 'ada' }, proposals: [proposal({ fields: { cycle: '2026/1' } })] },
    'lab: large small @ cluster; reconstruction: small @ cluster',
  ],
  ['a field, for another', { proposals: [proposal({ fields: { cycle: '2026/1' } })] }, plain],
]
for (const [what, context, expected] of rows) test(`offers: ${what}`, (t) => t.is(shown(context), expected))

test('offers: values that a spawner leaves to its users are opened and put first the same way', (t) => {
  const values = ['', 'beamtime', 'school'].map((value) => ({ value, title: value }))
  const of = (proposals: readonly Proposal[]) =>
    standingOf(configuration, { user: { name: 'eve' }, groups: [], proposals, now })
      .options([
        { name: 'reservation', title: 'Reservation', values },
        { name: 'partition', title: 'Partition', values: values.slice(0, 1) },
      ])
      .map((option) => option.values.map(({ value }) => value).join())
  t.deepEqual(of([]), [',school', ''])
  t.deepEqual(of([proposal(beamtime)]), ['beamtime,,school', ''])
})

const visits: readonly (readonly [
  starts: string | undefined,
  ends: string | undefined,
  visit: ReturnType<typeof visitOf>,
])[] = [
  [undefined, undefined, undefined],
  [undefined, '2026-12-01T00:00:00Z', undefined],
  ['2026-11-21T10:00:01Z', undefined, 'before'],
  ['2026-11-21T10:00:00Z', '2026-11-21T10:00:01Z', 'during'],
  ['2026-11-21T09:00:00Z', '2026-11-21T10:00:00Z', 'after'],
  ['2026-11-21T00:00:00Z', undefined, 'during'],
  ['2026-11-20T00:00:00Z', '2026-11-21T00:00:00Z', 'during'],
  ['2026-11-19T00:00:00Z', '2026-11-20T00:00:00Z', 'after'],
]
for (const [starts, ends, visit] of visits) {
  test(`a visit from ${starts} to ${ends} is ${visit}`, (t) => {
    const dated = { ...(starts && { startsAt: new Date(starts) }), ...(ends && { endsAt: new Date(ends) }) }
    t.is(visitOf(dated, now, 0), visit)
  })
}

/* Laws */

const some = <T>(values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 3 })
const names = {
  profiles: some(['lab', 'reconstruction', 'matlab', 'live'] as const),
  flavours: some(['small', 'large', 'gpu'] as const),
  spawners: some(['cluster', 'bm05'] as const),
}
const offered = fc.record(names).map((each) => ({ ...each, options: {} }))
const when = fc.record(
  {
    groups: fc.constantFrom(['a'], ['b'], ['a', 'b']),
    instruments: fc.constantFrom(['BM05'], ['ID19']),
    techniques: fc.constantFrom(['imaging'], ['SANS']),
  },
  { requiredKeys: [] },
)
const rules = fc.array(fc.record({ title: fc.constant('R'), when, opens: offered, first: offered }), { maxLength: 5 })
const contexts = fc.record({
  groups: some(['a', 'b', 'it'] as const),
  proposals: fc.array(
    fc
      .record({ instrument: fc.constantFrom('BM05', 'ID19'), technique: fc.constantFrom('imaging', 'SANS') })
      .map(proposal),
    { maxLength: 2 },
  ),
})
type Written = NonNullable<ConfigurationInput['offers']>

function lawful(holds: (open: Standings, context: OfferContext, offers: typeof configuration.offers) => boolean) {
  return fc.property(rules, contexts, (offers, { groups, proposals }) => {
    const parsed = configurationSchema.parse({ ...written, offers: offers as Written })
    const context = { user: { name: 'eve' }, groups, proposals, now }
    const standing = standingOf(parsed, context)
    return holds(standing, context, parsed.offers)
  })
}
type Standings = ReturnType<typeof standingOf>

test('law: nothing is offered that the configuration has not, nothing twice, and groups still count', (t) => {
  const law = lawful(({ profiles }, { groups }) =>
    profiles.every(({ name, profile: { flavours, on } }) => {
      const whole = configuration.profiles[name]
      const once =
        new Set(flavours).size === flavours.length &&
        new Set(profiles.map((each) => each.name)).size === profiles.length
      return (
        whole !== undefined &&
        once &&
        flavours.length > 0 &&
        flavours.every((each) => whole.flavours.includes(each)) &&
        Object.keys(on).length > 0 &&
        Object.keys(on).every((each) => each in whole.on) &&
        (name !== 'staff' || groups.includes('it'))
      )
    }),
  )
  t.notThrows(() => fc.assert(law, { numRuns: 500 }))
})

test('law: what a rule opens is offered to nobody whom no rule that opens it fits', (t) => {
  let closed = 0
  const law = lawful(({ profiles }, { groups, proposals }, offers) => {
    const fits = ({ when: { groups: wanted, instruments, techniques } }: (typeof offers)[number]) =>
      (wanted === undefined || wanted.some((group) => groups.includes(group))) &&
      ((instruments === undefined && techniques === undefined) ||
        proposals.some(
          (each) =>
            (instruments === undefined || instruments.includes(each.instrument)) &&
            (techniques === undefined || techniques.includes(each.technique ?? '')),
        ))
    const shut = (kind: 'profiles' | 'flavours' | 'spawners', name: string): boolean => {
      const opening = offers.filter(({ opens }) => opens[kind].includes(name))
      return opening.length > 0 && !opening.some(fits)
    }
    if (shut('profiles', 'lab')) closed += 1
    return profiles.every(
      ({ name, profile: { flavours, on } }) =>
        !shut('profiles', name) &&
        flavours.every((each) => !shut('flavours', each)) &&
        Object.keys(on).every((each) => !shut('spawners', each)),
    )
  })
  t.notThrows(() => fc.assert(law, { numRuns: 500 }))
  t.true(closed > 0)
})

test('law: what comes first changes the order and nothing else, and whoever is not named keeps theirs', (t) => {
  const law = fc.property(rules, contexts, (offers, { groups, proposals }) => {
    const context = { user: { name: 'eve' }, groups, proposals, now }
    const of = (each: Written) => standingOf(configurationSchema.parse({ ...written, offers: each }), context).profiles
    const ordered = of(offers as Written)
    const unordered = of(offers.map((rule) => ({ ...rule, first: {} })) as Written)
    const text = (list: typeof ordered) =>
      list
        .map(({ name, profile: { flavours, on } }) =>
          [name, ...flavours.toSorted(), ...Object.keys(on).toSorted()].join(),
        )
        .toSorted()
        .join(';')
    const named = new Set(offers.flatMap(({ first }) => first.profiles as string[]))
    const rest = (list: typeof ordered) =>
      list
        .filter(({ name }) => !named.has(name))
        .map(({ name }) => name)
        .join()
    return text(ordered) === text(unordered) && rest(ordered) === rest(unordered)
  })
  t.notThrows(() => fc.assert(law, { numRuns: 500 }))
})

test('law: without rules all is as the configuration has it', (t) => {
  const parsed = configurationSchema.parse({ ...written, offers: [] })
  const { profiles } = standingOf(parsed, { user: { name: 'eve' }, groups: ['it'], proposals: [imaging], now })
  t.deepEqual(Object.fromEntries(profiles.map(({ name, profile: each }) => [name, each])), parsed.profiles)
})

for (const [title, name, memory, gpus, says] of [
  ['the next larger one, not the largest', 'lab', '2GiB', 0, 'Next time choose “Medium”, which has 4 GiB.'],
  ['of several as large, the one with fewer cores', 'wide', '2GiB', 0, 'Next time choose “Medium”, which has 4 GiB.'],
  ['one with GPUs for one that had some', 'lab', '2GiB', 1, 'Next time choose “With a GPU”, which has 64 GiB.'],
  ['one with GPUs where there is no other', 'lab', '32GiB', 0, 'Next time choose “With a GPU”, which has 64 GiB.'],
  [
    'none that is not open to all',
    'small',
    '4GiB',
    0,
    '4 GiB is the most that “T” offers: ask your administrator for more.',
  ],
  ['nothing of a profile that is gone', 'gone', '2GiB', 0, ''],
] as const) {
  test(`who ran out of memory is told ${title}`, (t) => {
    const own = configurationSchema.parse({
      ...written,
      flavours: {
        huge: { ...flavour, title: 'Huge', memory: '32GiB' },
        broad: { ...flavour, title: 'Broad', cpu: 8, memory: '4GiB' },
        medium: { ...flavour, title: 'Medium', memory: '4GiB' },
        small: { ...flavour, title: 'Small', memory: '2GiB' },
        gpu: { ...flavour, title: 'With a GPU', memory: '64GiB', gpus: 1 },
        large: { ...flavour, title: 'Licensed', memory: '8GiB' },
      },
      profiles: {
        lab: profile(['huge', 'gpu', 'medium', 'small']),
        wide: profile(['broad', 'medium', 'small']),
        small: profile(['small', 'large', 'medium']),
      },
      offers: [{ title: 'Licensed', when: { groups: ['licence'] }, opens: { flavours: ['large'] } }],
    })
    const resources = { cpu: 1, memoryBytes: Number.parseInt(memory, 10) * 2 ** 30, gpus }
    t.is(moreMemory(own, { profile: name, spec: { resources } as EnvironmentSpec }), says)
  })
}
