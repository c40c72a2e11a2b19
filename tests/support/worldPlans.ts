import * as fc from 'fast-check'
import type { Plan } from './world.ts'

const span = fc
  .tuple(fc.integer({ min: 0, max: 240_000 }), fc.integer({ min: 1_000, max: 120_000 }))
  .map(([from, forMs]): readonly [number, number] => [from, from + forMs])

/** Everything that can go wrong, a few of each. */
export const plans: fc.Arbitrary<Plan> = fc.record({
  environments: fc.array(
    fc.record({
      launchAt: fc.integer({ min: 0, max: 60_000 }),
      stopAfterMs: fc.option(fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 300_000 })), {
        nil: undefined,
        freq: 2,
      }),
      pendingMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 60_000 })),
      next: fc.record({
        what: fc.constantFrom('nothing', 'vanish', 'requeue', 'end'),
        afterMs: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 30_000, max: 200_000 })),
      }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  answers: fc
    .array(
      fc.record({
        effectMs: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 29_000 })),
        answerMs: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 45_000 })),
        lost: fc.constantFrom('never', 'late', 'early'),
      }),
      { minLength: 1, maxLength: 5 },
    )
    .filter((answers) =>
      answers.some(({ lost, answerMs, effectMs }) => lost === 'never' && answerMs < 30_000 && effectMs < 30_000),
    ),
  outages: fc.array(span, { maxLength: 2 }),
  blind: fc.array(span, { maxLength: 2 }),
  crashes: fc.array(
    fc.record({
      call: fc.integer({ min: 1, max: 40 }),
      when: fc.constantFrom('before', 'during', 'after'),
      downMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 90_000 })),
    }),
    { maxLength: 3 },
  ),
  visibilityLagMs: fc.constantFrom(0, 0, 2_000, 10_000),
})

/** A hub that dies while a launch is on its way, and a user who does not want it any more when the next hub comes. */
export const deathsInMidLaunch: fc.Arbitrary<Plan> = fc.record({
  environments: fc.array(
    fc.record({
      launchAt: fc.constant(100),
      stopAfterMs: fc.integer({ min: 100, max: 4_000 }),
      pendingMs: fc.constant(1_000),
      next: fc.constant({ what: 'nothing', afterMs: 0 } as const),
    }),
    { minLength: 1, maxLength: 2 },
  ),
  answers: fc.constant([
    { effectMs: 20_000, answerMs: 20_000, lost: 'never' } as const,
    { effectMs: 10, answerMs: 20, lost: 'never' } as const,
  ]),
  outages: fc.constant([]),
  blind: fc.constant([]),
  crashes: fc.integer({ min: 2, max: 12 }).map((call): Plan['crashes'] => [{ call, when: 'during', downMs: 0 }]),
  visibilityLagMs: fc.constant(0),
})
