import test from 'ava'
import { slurmMissing } from '../clusters/slurm/cluster.ts'
import { spawnerContract } from '../../spawners/contract.ts'
import { available } from '../support/component.ts'
import { essentialCases } from '../support/essentialCases.ts'
import { commandsSubject } from '../support/slurmCommands.ts'
import { slurmSubject, startSlurmSite, type SlurmSite } from '../support/slurmSite.ts'

let site: SlurmSite | undefined

test.before(async (t) => {
  t.timeout(180_000)
  if (slurmMissing() === undefined) site = await startSlurmSite({ minJobAgeSeconds: 300 })
})
test.after.always(async (t) => {
  t.timeout(120_000)
  await site?.close()
})

const ways = [
  { by: 'slurmrestd', subject: slurmSubject, cases: spawnerContract },
  // All of them: tests/scale/commands.
  { by: 'its commands', subject: commandsSubject, cases: essentialCases },
] as const

for (const { by, subject, cases } of ways) {
  for (const { title, run } of cases) {
    // One cluster, and one after the other: some of them cut it off.
    test.serial(`on a real SLURM by ${by}: ${title}`, async (t) => {
      t.timeout(180_000)
      const missing = slurmMissing()
      if (!available(t, 'SLURM', missing === undefined, `${missing ?? ''}; see tests/setup/packages.ts`)) return
      if (site === undefined) return t.fail('the cluster did not come up')
      await run(subject(site))
      t.pass()
    })
  }
}
