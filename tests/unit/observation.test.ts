/** Whether an observation says the same again: what is taken for the same is never written, so it must be. */
import test from 'ava'
import {
  array,
  assert,
  constant,
  constantFrom,
  integer,
  nat,
  oneof,
  property,
  record,
  type Arbitrary,
} from 'fast-check'
import type { Told } from '../../hub/domain/decide.ts'
import { isSameObservation } from '../../hub/domain/observation.ts'
import { canonicalJson } from '../../spawners/common/specDigest.ts'

const date = integer({ min: 0, max: 3 }).map((at) => new Date(at))
const word = constantFrom('a', 'b', '')
const told = oneof(
  record(
    { phase: constant('pending' as const), stage: word, message: word, position: nat(2), startEstimateAt: date },
    { requiredKeys: ['phase', 'stage', 'message'] },
  ),
  record(
    {
      phase: constant('running' as const),
      hosts: array(word, { maxLength: 2 }),
      startedAt: date,
      endsAt: date,
      address: constantFrom(new URL('http://a/'), new URL('http://b/')),
    },
    { requiredKeys: ['phase', 'hosts', 'startedAt'] },
  ),
) as Arbitrary<Told>

test('two observations are the same when they would be written alike', (t) => {
  assert(
    property(told, told, (a, b) => {
      t.is(isSameObservation(a, b), canonicalJson(a) === canonicalJson(b))
      t.true(isSameObservation(a, structuredCopy(a)))
    }),
    { numRuns: 2_000 },
  )
})

/** With dates and addresses of its own, as the backend's next answer has. */
function structuredCopy(observation: Told): Told {
  const copy = Object.entries(observation).map(([name, value]: [string, unknown]) => [
    name,
    value instanceof Date ? new Date(value) : value instanceof URL ? new URL(value) : structuredClone(value),
  ])
  return Object.fromEntries(copy) as Told
}
