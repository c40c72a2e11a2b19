/** The same cluster by its commands: as the hub's account, which becomes users by sudo or by SLURM's tokens. */
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commandCluster } from '../../spawners/batch/index.ts'
import { configSchema, type BatchConfig } from '../../spawners/batch/config.ts'
import { runCommand, type Run } from '../../spawners/slurm/commands/run.ts'
import type { SlurmProfile } from '../../spawners/slurm/config.ts'
import { createSlurm } from '../../spawners/slurm/create.ts'
import type { ContractSubject } from '../../spawners/contract.ts'
import type { Spawner } from '../../spawners/spawner.ts'
import { slurmSubject, type SlurmSite } from './slurmSite.ts'
import { spawnerContext } from './spawnerSubject.ts'

/** What a site with commands has, whatever its system. */
export interface CommandSite {
  /** Everybody may enter it. */
  readonly folder: string
  readonly stateFolder: string
  /** Among the site's accounts, `hutch` with them. */
  readonly within: (argv: readonly string[]) => readonly string[]
}

const project = new URL('../..', import.meta.url).pathname

export interface AsHub {
  /** Commands as the hub's account has them, with the site's sudo rule, wrapper and configuration in their places. */
  readonly run: Run
  readonly launcher: Readonly<{ by: 'command'; argv: readonly string[] }>
}

/** `conf`: lines for the wrapper's configuration. */
export async function asHub(site: CommandSite, conf: readonly string[]): Promise<AsHub> {
  const folder = join(site.folder, 'sudo')
  await mkdir(join(folder, 'hutch'), { recursive: true })
  const wrapper = join(folder, 'hutch-as-user')
  await copyFile(join(project, 'config/batch/hutch-as-user'), wrapper)
  await chmod(wrapper, 0o755)
  await writeFile(join(folder, 'hutch/as-user.conf'), ['minimum-uid 1000', ...conf, ''].join('\n'))
  const sudoers = `Defaults env_reset, !syslog, !pam_session\nDefaults secure_path="/usr/sbin:/usr/bin:/sbin:/bin"\nhutch ALL=(root) NOPASSWD: ${wrapper}\n`
  await writeFile(join(folder, 'sudoers'), sudoers, { mode: 0o440 })
  // The site's accounts have no passwords, and none is asked for.
  await writeFile(join(folder, 'pam'), 'auth required pam_deny.so\naccount required pam_permit.so\n')
  // In the view alone: nothing of the machine's own is touched.
  const script =
    'mount -t tmpfs none /etc/sudoers.d && mount --bind "$1/sudoers" /etc/sudoers && mount --bind "$1/pam" /etc/pam.d/sudo && mkdir -p /etc/hutch && mount --bind "$1/hutch" /etc/hutch && shift && exec "$@"'
  const become = ['setpriv', '--reuid', 'hutch', '--regid', 'hutch', '--init-groups', '--']
  return {
    run: async (argv, options) =>
      await runCommand(site.within(['sh', '-c', script, 'sh', folder, ...become, ...argv]), options),
    launcher: { by: 'command', argv: ['/usr/bin/sudo', '-n', '--', wrapper, '{user}', '{uid}'] },
  }
}

export async function openCommands(
  site: CommandSite,
  config: Omit<BatchConfig, 'interval'>,
  run: Run,
  hub: string,
): Promise<Spawner<SlurmProfile>> {
  const context = spawnerContext({ hub, name: 'commands', stateFolder: join(site.stateFolder, `commands-${hub}`) })
  await mkdir(context.stateFolder, { recursive: true })
  // Shorter than a site may have it.
  const own = { ...config, interval: 150, accounting: true }
  return createSlurm(own, context, commandCluster(own, context, run))
}

/** As a configuration has it. */
export function batchConfig(part: object): BatchConfig {
  return configSchema.parse(part)
}

/** SLURM by its commands and sudo, with everything else of the site as slurmrestd's spawner has it. */
export function commandsSubject(site: SlurmSite): ContractSubject<SlurmProfile> {
  const { cluster, stateFolder, agentFolder, outputFolder } = site
  const conf = join(cluster.folder, 'etc/slurm.conf')
  const place = { folder: cluster.folder, stateFolder, within: cluster.view.within }
  const programs = ['program /usr/bin/sbatch', 'program /usr/bin/scancel', `variable SLURM_CONF=${conf}`]
  return {
    ...slurmSubject(site),
    async spawner(hub) {
      const { run, launcher } = await asHub(place, programs)
      const config = batchConfig({
        system: 'slurm',
        launcher,
        variables: { SLURM_CONF: conf },
        agentFolder,
        output: join(outputFolder, '{user}-{id}'),
        extend: true,
      })
      return await openCommands(place, config, run, hub)
    },
    async cut() {
      await cluster.stop('slurmctld')
      return () => cluster.start('slurmctld')
    },
  }
}
