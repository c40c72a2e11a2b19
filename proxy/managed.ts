/** What the hub writes for its proxy. */
import type { Configuration } from '../config/schema.ts'
import type { ProxyConfigurationInput } from './config.ts'

export interface ManagedPlaces {
  /** Unix socket where the hub serves everything under /hub/. */
  readonly hubSocket: string
  /** Unix socket where the hub serves GET /proxy/feed; may be the same. */
  readonly feedSocket: string
  readonly feedSecretFile: string
  readonly admissionKeyFile: string
  readonly agentsKeyFile: string
  readonly snapshotFile: string
  /** Unix socket where the proxy answers GET /health and /metrics. */
  readonly controlSocket: string
}

export function proxyConfiguration(
  configuration: Configuration,
  publicUrl: URL,
  places: ManagedPlaces,
): ProxyConfigurationInput {
  const { listen, environments, proxy, log } = configuration
  const services = Object.entries(configuration.services).flatMap(([name, { url }]) =>
    url === undefined ? [] : [[name, url]],
  )
  return {
    listen,
    publicUrl: publicUrl.href,
    hub: { socket: places.hubSocket },
    services: Object.fromEntries(services) as Record<string, string>,
    feed: { socket: places.feedSocket, secretFile: places.feedSecretFile },
    admissionKeyFile: places.admissionKeyFile,
    agentsKeyFile: places.agentsKeyFile,
    ...(environments.hosts === undefined ? {} : { hosts: environments.hosts }),
    snapshotFile: places.snapshotFile,
    workers: proxy.workers,
    ...(proxy.tls === undefined ? {} : { tls: proxy.tls }),
    trustedProxies: proxy.trustedProxies,
    drainMs: proxy.drain,
    // The hub asks a proxy that it manages by the socket.
    control: proxy.managed || proxy.control === undefined ? { socket: places.controlSocket } : proxy.control,
    log: { level: log.level },
  }
}
