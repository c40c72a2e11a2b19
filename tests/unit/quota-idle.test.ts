/** The rule of idle environments: nobody is stopped without a warning, while they work, or on a guess. */
import test from 'ava'
import * as fc from 'fast-check'
import { idleStep, type Living, type Warning } from '../../hub/quota/idle.ts'

const warnMs = 30
const idleMs = 100

type Event = 'tick' | 'use' | 'lost' | 'found' | 'restart'
type Rule = typeof idleStep

const events = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.constant<Event>('tick') },
    { weight: 1, arbitrary: fc.constantFrom<Event>('use', 'lost', 'found', 'restart') },
  ),
  { minLength: 20, maxLength: 120, size: 'max' },
)

/** Ten units pass with each event. What is wrong with what was done, if anything. */
function wrong(happened: readonly Event[], rule: Rule): string | undefined {
  let now = 1_000
  let usedAt = now
  let isHeard = true
  let warning: Warning | undefined
  let warnedAt = Infinity
  let quietSince = now
  for (const event of happened) {
    now += 10
    if (event === 'use') usedAt = now
    if (event === 'lost') isHeard = false
    if (event === 'found') isHeard = true
    if (event === 'restart') warning = undefined
    if (event !== 'tick') {
      warnedAt = event === 'use' || event === 'restart' ? Infinity : warnedAt
      quietSince = now
    }
    const living: Living = { usedAt, idleMs, isHeard }
    const step = rule(living, warning, now, warnMs)
    if (step.do === 'warn') {
      if (!isHeard) return 'warned of what is not known'
      warning = { usedAt, givenAt: now }
      warnedAt = now
      if (step.stopsAt < now + warnMs || step.stopsAt < usedAt + idleMs) return 'announced too early a stop'
    }
    if (step.do === 'stop') {
      if (!isHeard) return 'stopped on a guess'
      if (now - usedAt < idleMs) return 'stopped somebody who works'
      return now - warnedAt >= warnMs ? undefined : 'stopped without a warning in time'
    }
    if (isHeard && now - Math.max(usedAt, quietSince) > idleMs + warnMs + 20) return 'never stopped'
  }
  return undefined
}

test('law: warned in time, never while it is used or not heard of, and in the end stopped', (t) => {
  fc.assert(
    fc.property(events, (happened) => wrong(happened, idleStep) === undefined),
    { numRuns: 2_000 },
  )
  t.deepEqual(idleStep({ usedAt: 0, idleMs: undefined, isHeard: true }, undefined, 1e15, warnMs), { do: 'nothing' })
})

const mutants: Readonly<Record<string, Rule>> = {
  'stops without a warning': (living, _warning, now, warn) =>
    idleStep(living, { usedAt: living.usedAt, givenAt: 0 }, now, warn),
  'keeps an old warning': (living, warning, now, warn) =>
    idleStep(living, warning && { ...warning, usedAt: living.usedAt }, now, warn),
  'does not mind silence': (living, warning, now, warn) => idleStep({ ...living, isHeard: true }, warning, now, warn),
  'never stops': (living, warning, now, warn) => {
    const step = idleStep(living, warning, now, warn)
    return step.do === 'stop' ? { do: 'nothing' } : step
  },
  'is impatient': (living, warning, now, warn) => idleStep({ ...living, idleMs: idleMs - 20 }, warning, now, warn),
  'warns too late': (living, warning, now) => idleStep(living, warning, now, 0),
}

for (const [name, mutant] of Object.entries(mutants)) {
  test(`the law finds a rule that ${name}`, (t) => {
    const result = fc.check(
      fc.property(events, (happened) => wrong(happened, mutant) === undefined),
      { numRuns: 2_000, endOnFailure: true },
    )
    t.true(result.failed)
  })
}
