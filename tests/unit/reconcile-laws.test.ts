/** The laws of the reconcile loop, in a world where everything goes wrong; and that broken loops break them. */
import test from 'ava'
import * as fc from 'fast-check'
import { createEnvironments } from '../../hub/reconcile/index.ts'
import { openStore } from '../../hub/store/index.ts'
import { breed, mutants } from '../support/mutants.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { live, type Plan, type Subject } from '../support/world.ts'
import { deathsInMidLaunch, plans } from '../support/worldPlans.ts'

/** Told apart from a world that broke down by itself. */
class Violated extends Error {}

async function holds(plan: Plan, subject: Subject): Promise<void> {
  const { violations } = await live(plan, subject)
  if (violations.length > 0) throw new Violated(violations.join('\n'))
}

test('the loop obeys the laws through lost answers, delays, outages, crashes at any call, losses and requeues', async (t) => {
  t.timeout(600_000)
  const subject = { createEnvironments, openStore }
  await fc.assert(
    fc.asyncProperty(plans, (plan) => holds(plan, subject)),
    { numRuns: 200, endOnFailure: true },
  )
  await fc.assert(
    fc.asyncProperty(deathsInMidLaunch, (plan) => holds(plan, subject)),
    { numRuns: 40, endOnFailure: true },
  )
  t.pass()
})

for (const mutant of mutants) {
  test.serial(`a hub is found out where ${mutant.title}`, async (t) => {
    t.timeout(600_000)
    const subject = await breed(mutant, await temporaryFolder(t))
    const found = await fc.check(
      fc.asyncProperty(mutant.plans ?? plans, (plan) => holds(plan, subject)),
      { numRuns: 400, seed: 42, endOnFailure: true },
    )
    t.true(found.failed, 'it lives: the properties miss this')
    t.true(found.errorInstance instanceof Violated, `it died of something else: ${String(found.errorInstance)}`)
  })
}
