/** The managed proxy of this hub: its files in the run folder, its configuration, its process. */
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import type { Configuration } from '../../config/schema.ts'
import { managedProxyConfiguration } from '../../proxy/managed.ts'
import { proxyNodeFlags } from '../../proxy/node-flags.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Secrets } from '../setup/secrets.ts'
import { writeWhole, type StateFolder } from '../setup/state-folder.ts'
import { proxyProgram } from './program-place.ts'
import { manageProxy, type ManagedProxy } from './proxy.ts'

export interface StartProxyOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly folder: StateFolder
  readonly secrets: Secrets
  readonly hubSocket: string
  readonly feedSocket: string
  readonly log: Log
}

const main = fileURLToPath(new URL('../../proxy/main.ts', import.meta.url))

export async function startProxy(options: StartProxyOptions): Promise<ManagedProxy> {
  const { configuration, publicUrl, folder, secrets, hubSocket, feedSocket, log } = options
  const inRun = (name: string): string => join(folder.run, name)
  const places = {
    hubSocket,
    feedSocket,
    feedSecretFile: inRun('proxy-feed.secret'),
    admissionKeyFile: inRun('proxy-admission.key'),
    agentsKeyFile: inRun('proxy-agents.key'),
    snapshotFile: join(folder.path, 'proxy-snapshot.json'),
    controlSocket: inRun('proxy.sock'),
  }
  await writeWhole(places.feedSecretFile, secrets.feedSecret)
  await writeWhole(places.admissionKeyFile, secrets.admissionKey.toString('base64url'))
  await writeWhole(places.agentsKeyFile, secrets.agentsKey.toString('base64url'))
  return await manageProxy({
    runFolder: folder.run,
    logFile: join(folder.logs, 'proxy.log'),
    argv: () => [process.execPath, ...proxyNodeFlags, proxyProgram(main)],
    configuration: managedProxyConfiguration(configuration, publicUrl, places),
    controlSocket: places.controlSocket,
    drainMs: configuration.proxy.drain,
    log,
  })
}
