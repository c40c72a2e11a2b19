/** The proxy of this hub: its files in the run folder, its configuration, and its process where the hub manages it. */
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import type { Configuration } from '../../config/schema.ts'
import type { ProxyConfigurationInput } from '../../proxy/config.ts'
import { proxyConfiguration } from '../../proxy/managed.ts'
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

/** Started and kept running; it is stopped with the hub. */
export async function startProxy(options: StartProxyOptions): Promise<ManagedProxy> {
  const { configuration, folder, log } = options
  const { written, controlSocket } = await prepareProxy(options)
  return await manageProxy({
    runFolder: folder.run,
    logFile: join(folder.logs, 'proxy.log'),
    argv: () => [process.execPath, ...proxyNodeFlags, proxyProgram(main)],
    configuration: written,
    controlSocket,
    drainMs: configuration.proxy.drain,
    log,
  })
}

/** For a proxy that somebody else runs: `hutch-proxy --config <state>/run/proxy.json`. */
export async function writeProxyFiles(options: StartProxyOptions): Promise<void> {
  const { written } = await prepareProxy(options)
  const file = join(options.folder.run, 'proxy.json')
  await writeWhole(file, JSON.stringify(written))
  options.log.info({ file }, 'the proxy is not managed: start hutch-proxy --config with this file')
}

async function prepareProxy(
  options: StartProxyOptions,
): Promise<{ written: ProxyConfigurationInput; controlSocket: string }> {
  const { configuration, publicUrl, folder, secrets, hubSocket, feedSocket } = options
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
  return { written: proxyConfiguration(configuration, publicUrl, places), controlSocket: places.controlSocket }
}
