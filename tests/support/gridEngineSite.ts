/** A real Grid Engine with what a hub needs of it, by its commands and sudo. */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContractSubject } from '../../spawners/contract.ts'
import { profileSchema, type SlurmProfile } from '../../spawners/slurm/config.ts'
import { startGridEngine, type GridEngine } from '../clusters/gridengine/cluster.ts'
import { people } from '../clusters/slurm/people.ts'
import { asHub, batchConfig, openCommands } from './slurmCommands.ts'
import { fakeAgent, told } from './slurmSite.ts'
import { contractSpec } from './spawnerSubject.ts'

export interface GridEngineSite {
  readonly subject: ContractSubject<SlurmProfile>
  /** Of whose environments they are. */
  readonly home: string
  close(): Promise<void>
}

export async function startGridEngineSite(): Promise<GridEngineSite> {
  const cluster = await startGridEngine()
  try {
    return await siteOf(cluster)
  } catch (error) {
    await cluster.close()
    throw error
  }
}

async function siteOf(cluster: GridEngine): Promise<GridEngineSite> {
  const { folder, view, variables } = cluster
  const [agentFolder, outputFolder, stateFolder] = ['agent', 'output', 'state'].map((name) => join(folder, name))
  for (const [path = '', mode] of [
    [agentFolder, 0o755],
    [outputFolder, 0o1777],
    [stateFolder, 0o700],
  ] as const) {
    await mkdir(path)
    await chmod(path, mode)
  }
  await writeFile(join(agentFolder ?? '', 'agent'), fakeAgent, { mode: 0o755 })
  const place = { folder, stateFolder: stateFolder ?? '', within: view.within }
  const { run, launcher } = await asHub(place, [
    ...['qsub', 'qdel', 'install', 'dd', 'rm'].map((name) => `program /usr/bin/${name}`),
    ...Object.entries(variables).map(([name, value]) => `variable ${name}=${value}`),
  ])
  const config = batchConfig({
    system: 'gridengine',
    launcher,
    variables,
    agentFolder,
    output: join(outputFolder ?? '', '{user}-{id}'),
  })
  const { uid } = people.ada
  const home = view.home('ada')
  return {
    home,
    close: () => cluster.close(),
    subject: {
      patienceMs: 120_000,
      spawner: async (hub) => await openCommands(place, config, run, hub),
      spec: (hub, id, behaviour) =>
        contractSpec(hub, id, profileSchema.parse(behaviour.does === 'refuse' ? { partition: 'nowhere' } : {}), {
          owner: 'ada',
          prefix: `/user/ada/${id}/`,
          account: { name: 'ada', uid, gid: uid, groups: [], home, shell: '/bin/bash' },
          resources: { cpu: 1, memoryBytes: 2 ** 27, gpus: 0, walltimeMs: 1_800_000 },
          mounts: [{ name: 'home', source: { kind: 'host', path: home }, target: home, readOnly: false }],
          variables: { HUTCH_TEST: told(behaviour) },
        }),
      async cut() {
        await cluster.kill('master')
        return () => cluster.start('master')
      },
      async count(id) {
        return (await cluster.run(['qstat', '-xml', '-u', '*'])).split(`-${id}-`).length - 1
      },
    },
  }
}
