/** Labels and names: what of an environment Docker carries, so that a lost database can be mended. Pure. */
import type { EnvironmentId } from '../spawner.ts'

export const label = {
  hub: 'dev.hutch.hub',
  environment: 'dev.hutch.environment',
  owner: 'dev.hutch.owner',
  digest: 'dev.hutch.digest',
  walltime: 'dev.hutch.walltime-ms',
  gpus: 'dev.hutch.gpus',
  port: 'dev.hutch.port',
  /** Of a wish: the whole spec, which holds no secret. */
  spec: 'dev.hutch.spec',
  endsAt: 'dev.hutch.ends-at',
  /** What a volume is for. */
  role: 'dev.hutch.role',
} as const

export const containerName = (id: EnvironmentId): string => `hutch-${id}`

/** Holds the agent's bootstrap and the account's entries; goes with the container. */
export const filesVolume = (id: EnvironmentId): string => `hutch-${id}-files`

/** Empty; it is there from the launch until there is a container, which may be long: an image is fetched before. */
export const wishVolume = (id: EnvironmentId): string => `hutch-${id}-wanted`

/** Empty; carries the end that was moved. Labels of a container can't be changed. */
export const endVolume = (id: EnvironmentId): string => `hutch-${id}-end`

/** Names of networks have fewer characters than ids of hubs may have. */
export function networkName(hub: string): string {
  return `hutch-${hub.replaceAll(/[^A-Za-z0-9_.-]/g, '-')}`.slice(0, 63)
}
