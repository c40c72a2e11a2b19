/** The configured spawners, each with its private folder and its way to tell agents their key. */
import { hkdfSync } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Configuration } from '../config/schema.ts'
import { agentKeys } from '../images/agent/link.ts'
import { agentBootstrap } from '../spawners/common/agentBootstrap.ts'
import type { Log, Spawner, SpawnerContext, SpawnerType } from '../spawners/spawner.ts'
import { resolveSpawner } from './setup/spawner-types.ts'

export interface SpawnersOptions {
  readonly configuration: Configuration
  readonly agentsKey: Buffer
  readonly agent: SpawnerContext['agent']
  /** The hub's listener for agents, as environments reach it. */
  readonly report: Readonly<{ host: string; port: number }>
  /** Software of this machine that environments of `local` spawners see besides the system's own. */
  readonly software: Readonly<{ readOnlyPaths: readonly string[]; path: readonly string[] }>
  /** Absent: nothing supplies any. */
  readonly tickets?: SpawnerContext['tickets']
  /** The token of an environment that speaks JupyterHub's protocol. */
  readonly serverTokenOf: (id: string) => string
  readonly log: Log
  readonly now: () => Date
}

export interface NamedSpawner extends Pick<SpawnerType, 'launchOptions'> {
  readonly spawner: Spawner
  readonly type: string
}

/** How long an application gets between SIGTERM and SIGKILL: JupyterLab shuts its kernels down meanwhile. */
const stopTimeoutMs = 10_000

export async function createSpawners(options: SpawnersOptions): Promise<ReadonlyMap<string, NamedSpawner>> {
  const { configuration, log, now, agent } = options
  const keyOf = agentKeys(options.agentsKey)
  const spawners = new Map<string, NamedSpawner>()
  for (const [name, { type, capacity: _, kerberos: __, ...own }] of Object.entries(configuration.spawners)) {
    const stateFolder = join(configuration.state, 'spawners', name)
    await mkdir(stateFolder, { recursive: true, mode: 0o700 })
    const spawnerType = await resolveSpawner(type, configuration.state)
    const spawner = await spawnerType.create(type === 'local' ? withSoftware(own, options.software) : own, {
      hub: configuration.hub.id,
      name,
      stateFolder,
      bootstrap: (spec) =>
        agentBootstrap({
          spec,
          key: keyOf(spec.id),
          report: options.report,
          listen: { host: type === 'local' ? '127.0.0.1' : '0.0.0.0' },
          startTimeoutMs: startTimeoutOf(configuration, spec.variables['HUTCH_PROFILE']),
          stopTimeoutMs,
        }),
      secretVariables: ({ id, protocol }): Readonly<Record<string, string>> => {
        if (protocol !== 'jupyterhub') return {}
        const token = options.serverTokenOf(id)
        return { JUPYTERHUB_API_TOKEN: token, JPY_API_TOKEN: token }
      },
      secret: (purpose) =>
        Buffer.from(hkdfSync('sha256', options.agentsKey, '', `hutch spawner ${name} ${purpose}`, 32)),
      ...(options.tickets === undefined ? {} : { tickets: options.tickets }),
      agent,
      log: log.child({ spawner: name }),
      now,
    })
    const { launchOptions } = spawnerType
    spawners.set(name, { spawner, type, ...(launchOptions === undefined ? {} : { launchOptions }) })
  }
  return spawners
}

function withSoftware(own: Record<string, unknown>, { readOnlyPaths, path }: SpawnersOptions['software']): object {
  const { readOnlyPaths: paths = [], path: searched = [] } = own as { readOnlyPaths?: string[]; path?: string[] }
  return { ...own, readOnlyPaths: [...paths, ...readOnlyPaths], path: [...path, ...searched] }
}

const usualStartTimeoutMs = 300_000

function startTimeoutOf({ profiles }: Configuration, profile = ''): number {
  return new Map(Object.entries(profiles)).get(profile)?.startTimeout ?? usualStartTimeoutMs
}
