import { readFile } from 'node:fs/promises'
import type { DockerOptions } from 'dockerode'
import type { SpawnerType } from '../spawner.ts'
import { configSchema, profileSchema, type DockerConfig, type DockerProfile } from './config.ts'
import { createDocker } from './create.ts'
import { createEngine } from './engine.ts'

/** Environments as containers of one Docker. */
const docker: SpawnerType<DockerConfig, DockerProfile> = {
  type: 'docker',
  configSchema,
  profileSchema,
  async create(config, context) {
    // Loaded by hubs with a Docker alone.
    const { default: Docker } = await import('dockerode')
    return await createDocker(config, context, createEngine(new Docker(await reachedAt(config))))
  },
}
export default docker

async function reachedAt({ endpoint, tls }: DockerConfig): Promise<DockerOptions> {
  if (endpoint.startsWith('unix://')) return { socketPath: endpoint.slice('unix://'.length) }
  const { hostname, port } = new URL(endpoint)
  const { caFile, certificateFile, keyFile } = tls ?? { caFile: '', certificateFile: '', keyFile: '' }
  const [ca, cert, key] = await Promise.all([caFile, certificateFile, keyFile].map((file) => readFile(file)))
  return { protocol: 'https', host: hostname.replaceAll(/[[\]]/g, ''), port, ca, cert, key }
}
