import type { SpawnerType } from '../spawner.ts'
import { createApi } from './api.ts'
import { optionsOf, withChosen } from './choices.ts'
import { configSchema, type KubernetesConfig } from './config.ts'
import { createKubernetes } from './create.ts'
import { profileSchema, type KubernetesProfile } from './profile.ts'

/** Environments as pods of a Kubernetes cluster. */
const kubernetes: SpawnerType<KubernetesConfig, KubernetesProfile> = {
  type: 'kubernetes',
  configSchema,
  profileSchema,
  launchOptions: {
    of: optionsOf,
    choose: (profile, chosen) => withChosen(profile, chosen, (merged) => profileSchema.parse(merged)),
  },
  async create(config, context) {
    // 90 MB that only hubs with a cluster pay for.
    const { KubeConfig } = await import('@kubernetes/client-node')
    const login = new KubeConfig()
    if (config.kubeconfig === undefined) login.loadFromCluster()
    else login.loadFromFile(config.kubeconfig)
    if (config.context !== undefined) login.setCurrentContext(config.context)
    return await createKubernetes(config, context, createApi(login))
  },
}
export default kubernetes
