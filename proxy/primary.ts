/** The one process that follows the hub, keeps the snapshot, redeems tickets and answers the control socket. */
import { unwatchFile, watchFile } from 'node:fs'
import { createActivity } from './activity.ts'
import type { ProxyConfiguration } from './config.ts'
import { serveControl } from './control.ts'
import type { Crew, Primary } from './crew.ts'
import type { HubMessage } from './feed.ts'
import { followHub } from './follower.ts'
import type { Logs } from './log.ts'
import { keepSnapshot } from './snapshot.ts'
import { createTables } from './tables.ts'
import { createUsedTickets } from './tickets.ts'

export interface PrimaryOptions {
  readonly configuration: ProxyConfiguration
  readonly feedSecret: string
  readonly logs: Logs
  readonly now: () => number
  readonly random: () => number
  readonly hireCrew: (primary: Primary) => Crew
}

export interface RunningPrimary {
  readonly stop: () => Promise<void>
  readonly reloadCertificate: () => void
}

const certificateCheckMs = 10_000

/** Throws StartError. Resolves when browsers are served. */
export async function runPrimary(options: PrimaryOptions): Promise<RunningPrimary> {
  const { configuration, logs, now } = options
  const { log } = logs
  const tables = createTables(now)
  const activity = createActivity(now)
  const transfers = createActivity(now)
  const crew = options.hireCrew({ tables, activity, transfers, tickets: createUsedTickets(now) })
  const snapshot = keepSnapshot({
    file: configuration.snapshotFile,
    log,
    routes: () => tables.routes.all(),
    revocations: tables.revocations.all,
  })
  const apply = async (message: HubMessage): Promise<void> => {
    tables.apply(message)
    await crew.apply(message)
  }
  await apply({ type: 'table', seq: 0, ...(await snapshot.read()) })
  await crew.listen()
  const follower = followHub({
    url: feedUrl(configuration.feed),
    secret: options.feedSecret,
    log,
    activity,
    transfers,
    random: options.random,
    async apply(message) {
      await apply(message)
      if (message.type !== 'revoke') snapshot.routesChanged()
      if (message.type === 'revoke' || message.type === 'table') await snapshot.saveRevocations()
    },
  })
  const own = (): Record<string, number> => ({
    hutch_proxy_routes: tables.routes.size,
    hutch_proxy_feed_connected: follower.connected ? 1 : 0,
    hutch_proxy_table_age_seconds: follower.heardAt === undefined ? -1 : (performance.now() - follower.heardAt) / 1_000,
  })
  const control = await serveControl({
    where: configuration.control,
    health: () => ({ routes: tables.routes.size, feed: follower.connected, workers: crew.size }),
    statistics: async () => [...(await crew.statistics()), { numbers: own() }],
  })
  const reloadCertificate = (): void => {
    crew.reloadCertificate().then(
      () => log.info({}, 'the certificate was read again'),
      (error: unknown) => log.error({ err: error }, 'the certificate could not be read; the one before stays'),
    )
  }
  // Both: between one and the other they do not fit, and the one before stays.
  const watched = configuration.tls === undefined ? [] : Object.values(configuration.tls)
  for (const file of watched) watchFile(file, { interval: certificateCheckMs, persistent: false }, reloadCertificate)
  log.info({ listen: configuration.listen, routes: tables.routes.size, workers: crew.size }, 'the proxy serves')
  return {
    reloadCertificate,
    async stop() {
      log.info({ drainMs: configuration.drainMs }, 'the proxy stops when what goes on is done')
      for (const file of watched) unwatchFile(file, reloadCertificate)
      await crew.drain()
      follower.stop()
      await snapshot.flush()
      control.close()
      log.info({}, 'the proxy has stopped')
      logs.flush()
    },
  }
}

function feedUrl(feed: ProxyConfiguration['feed']): string {
  return 'socket' in feed ? `ws+unix:${feed.socket}:/proxy/feed` : `${feed.url.replace(/\/$/, '')}/proxy/feed`
}
