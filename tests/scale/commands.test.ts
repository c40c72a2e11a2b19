/** The whole contract by commands: on a real SLURM and on a real Grid Engine. */
import test from 'ava'
import { gridEngineMissing } from '../clusters/gridengine/cluster.ts'
import { slurmMissing } from '../clusters/slurm/cluster.ts'
import { spawnerContract, type ContractSubject } from '../../spawners/contract.ts'
import type { SlurmProfile } from '../../spawners/slurm/config.ts'
import { available } from '../support/component.ts'
import { startGridEngineSite } from '../support/gridEngineSite.ts'
import { commandsSubject } from '../support/slurmCommands.ts'
import { startSlurmSite } from '../support/slurmSite.ts'

interface Site {
  readonly subject: ContractSubject<SlurmProfile>
  close(): Promise<void>
}

const systems: readonly Readonly<{ name: string; missing: () => string | undefined; start: () => Promise<Site> }>[] = [
  {
    name: 'SLURM',
    missing: slurmMissing,
    async start() {
      const site = await startSlurmSite({ minJobAgeSeconds: 300 })
      return { subject: commandsSubject(site), close: () => site.close() }
    },
  },
  { name: 'Grid Engine', missing: gridEngineMissing, start: startGridEngineSite },
]

for (const { name, missing, start } of systems) {
  test.serial(`the whole contract by the commands of ${name}`, async (t) => {
    t.timeout(1_200_000)
    const lacks = missing()
    if (!available(t, name, lacks === undefined, `${lacks ?? ''}; see tests/setup/packages.ts`)) return
    const site = await start()
    try {
      for (const { title, run } of spawnerContract) {
        await run(site.subject)
        t.log(title)
      }
      t.pass()
    } finally {
      await site.close()
    }
  })
}
