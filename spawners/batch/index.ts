/** Environments as jobs of a batch system, by its commands. All but the way to it is spawners/slurm's. */
import type { SpawnerContext, SpawnerType } from '../spawner.ts'
import { optionsOf, withChosen } from '../slurm/choices.ts'
import type { Cluster } from '../slurm/cluster.ts'
import { createCluster } from '../slurm/commands/cluster.ts'
import { createLauncher } from '../slurm/commands/launcher.ts'
import { runCommand, type Run } from '../slurm/commands/run.ts'
import { createUids } from '../slurm/commands/uids.ts'
import { profileSchema, type SlurmProfile } from '../slurm/config.ts'
import { createSlurm } from '../slurm/create.ts'
import { createNames } from '../slurm/names.ts'
import { createTokens } from '../slurm/tokens.ts'
import { configSchema, templateOf, type BatchConfig } from './config.ts'

const batch: SpawnerType<BatchConfig, SlurmProfile> = {
  type: 'batch',
  configSchema,
  profileSchema,
  launchOptions: { of: optionsOf, choose: withChosen },
  async create(config, context) {
    return createSlurm({ ...config, accounting: true }, context, commandCluster(config, context, runCommand))
  },
}
export default batch

export function commandCluster(config: BatchConfig, context: SpawnerContext, run: Run): Cluster {
  // Times are told without their zone.
  const variables = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...config.variables }
  const { launcher } = config
  const tokens = launcher.by === 'token' ? createTokens(launcher.tokens, context.now) : undefined
  return createCluster({
    template: templateOf(config),
    folder: config.commands,
    variables,
    launcher: createLauncher(launcher, tokens),
    run,
    uids: createUids(run, variables, context.now),
    now: context.now,
    prefix: createNames(context.hub, context.secret('names')).prefix,
  })
}
