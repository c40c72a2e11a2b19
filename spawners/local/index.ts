import type { SpawnerType } from '../spawner.ts'
import { configSchema, profileSchema, type LocalConfig, type LocalProfile } from './config.ts'
import { createLocal } from './create.ts'
import { exploreMachine } from './machine.ts'

/** Environments as processes of the hub's own machine. */
const local: SpawnerType<LocalConfig, LocalProfile> = {
  type: 'local',
  configSchema,
  profileSchema,
  create: async (config, context) => await createLocal(config, context, await exploreMachine()),
}
export default local
