/** A hub before a real SLURM cluster: not root, without SLURM's key, with the real agent on storage that nodes see. */
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { exportAgent } from '../../images/agent/export.ts'
import { people, type Name } from '../clusters/slurm/cluster.ts'
import { ordinaryUid } from './asUser.ts'
import { runHutch, type RunningHutch } from './hutch.ts'
import { installedJupyterHub } from './jupyterhub.ts'
import { readyJupyter } from './jupyter-on-path.ts'
import { logInAs, type Scientist } from './scientist.ts'
import { startSlurmSite, type SlurmSite } from './slurmSite.ts'

export interface SlurmHub {
  readonly site: SlurmSite
  readonly hutch: RunningHutch
  readonly binFolder: string
  logIn(name: Exclude<Name, 'emmy'>): Promise<Scientist>
  close(): Promise<void>
}

/** `part`: of the spawner's configuration, beside what it needs. */
export async function startSlurmHub(t: Pick<ExecutionContext, 'timeout'>, part: object = {}): Promise<SlurmHub> {
  const jupyter = await readyJupyter(t)
  if ('missing' in jupyter) throw new Error(jupyter.missing)
  const site = await startSlurmSite()
  const state = await mkdtemp(join(tmpdir(), 'hutch-'))
  try {
    const agentFolder = join(site.cluster.folder, 'exported')
    await exportAgent({ folder: agentFolder })
    // The hub alone may ask for tokens.
    await chown(site.tokens, ordinaryUid, ordinaryUid)
    const file = join(state, 'hutch.json')
    const jupyterHub = await installedJupyterHub()
    const spawner = { ...spawnerOf(site, agentFolder, jupyter.binFolder), ...part }
    await writeFile(file, JSON.stringify(configuration(site, agentFolder, spawner, jupyterHub)))
    const hutch = await runHutch({ state, args: ['--config', file] })
    return {
      site,
      hutch,
      binFolder: jupyter.binFolder,
      logIn: async (name) => await logInAs(hutch.url, name, (await hutch.passwords())[name] ?? ''),
      async close() {
        await hutch.stop()
        await site.close()
        await rm(state, { recursive: true, force: true, maxRetries: 5 })
      },
    }
  } catch (error) {
    await site.close()
    await rm(state, { recursive: true, force: true, maxRetries: 5 })
    throw error
  }
}

function spawnerOf(site: SlurmSite, agentFolder: string, binFolder: string): object {
  return {
    type: 'slurm',
    endpoint: site.cluster.restUrl,
    version: 'v0.0.38',
    tokens: site.tokens,
    observer: 'hutch',
    agentFolder,
    allowUnencrypted: true,
    output: join(site.outputFolder, '{user}-{id}'),
    path: [binFolder, '/usr/bin', '/bin'],
  }
}

function configuration(site: SlurmSite, agentFolder: string, cluster: object, jupyterHub = '/nonexistent'): object {
  const users = (Object.keys(people) as Name[]).map((name) => {
    const { uid, gid, groups, home } = site.account(name)
    return [name, { uid, gid, groups, home }]
  })
  return {
    hub: { id: 'sl' },
    login: { demo: true },
    accounts: { source: 'file', users: Object.fromEntries(users) },
    flavours: {
      small: { title: 'Small', cpu: 1, memory: '1GiB', walltime: '30min' },
      gpu: { title: 'One GPU', cpu: 1, memory: '1GiB', gpus: 1, walltime: '30min' },
      tight: { title: 'Tight', cpu: 1, memory: '200MiB', walltime: '30min' },
      brief: { title: 'Brief', cpu: 1, memory: '200MiB', walltime: '1min' },
    },
    spawners: { cluster },
    profiles: {
      lab: { title: 'JupyterLab', kind: 'notebook', flavours: ['small', 'gpu'], on: { cluster: {} } },
      terminal: { title: 'Terminal', kind: 'terminal', flavours: ['tight', 'brief', 'gpu'], on: { cluster: {} } },
      desktop: { title: 'Desktop', kind: 'desktop', flavours: ['small'], on: { cluster: {} } },
      // Made for JupyterHub, as it is.
      hub6: {
        title: 'JupyterHub 6',
        kind: 'notebook',
        protocol: 'jupyterhub',
        argv: [join(jupyterHub, 'jupyterhub-singleuser'), '--ServerApp.root_dir={home}'],
        flavours: ['small'],
        on: { cluster: {} },
      },
      hub6batch: {
        title: 'JupyterHub 6, as batchspawner starts it',
        kind: 'notebook',
        protocol: 'jupyterhub',
        argv: [join(jupyterHub, 'batchspawner-singleuser'), join(jupyterHub, 'jupyterhub-singleuser')],
        flavours: ['small'],
        on: { cluster: {} },
      },
      chooser: {
        title: 'Terminal, your choice',
        kind: 'terminal',
        flavours: ['tight'],
        on: {
          cluster: {
            choices: {
              partition: ['main', 'short'],
              account: ['research', 'beamtime'],
              qos: ['normal', 'two'],
              gpus: [0, 1],
              time: ['30min', '1h'],
            },
          },
        },
      },
    },
  }
}
