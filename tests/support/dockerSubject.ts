/** The Docker spawner as a subject of the contract suite: a real daemon of the test's own and the exported agent. */
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { exportAgent } from '../../images/agent/export.ts'
import type { ContractSubject } from '../../spawners/contract.ts'
import { configSchema, profileSchema, type DockerConfig, type DockerProfile } from '../../spawners/docker/config.ts'
import docker from '../../spawners/docker/index.ts'
import type { Application, EnvironmentSpec, Spawner, SpawnerContext } from '../../spawners/spawner.ts'
import { baseImage } from './docker-cache.ts'
import type { TestDocker } from './docker.ts'
import { openGate } from './gate.ts'
import { agentApplication, contractSpec, spawnerContext } from './spawnerSubject.ts'

export interface DockerSite {
  readonly docker: TestDocker
  /** Of Docker's machine, which is this one: homes, data and the agent. */
  readonly folder: string
  /** Where the hub reaches Docker, through what can be cut. */
  readonly endpoint: string
  spawner(hub: string, part?: Partial<DockerConfig>, context?: Partial<SpawnerContext>): Promise<Spawner<DockerProfile>>
  spec(
    hub: string,
    id: string,
    application: Application,
    part?: Partial<EnvironmentSpec<DockerProfile>>,
  ): EnvironmentSpec<DockerProfile>
  cut(): Promise<() => Promise<void>>
}

const uid = 12_001

export async function dockerSite(t: ExecutionContext, daemon: TestDocker): Promise<DockerSite> {
  await mkdir('/srv', { recursive: true })
  const folder = await mkdtemp('/srv/hutch-')
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  await chmod(folder, 0o755)
  const home = join(folder, 'home')
  await mkdir(home)
  await chown(home, uid, uid)
  await exportAgent({ folder: join(folder, 'agent') })
  const socket = join(folder, 'gate.sock')
  const gate = await openGate(t, { path: daemon.socket }, socket)
  const endpoint = `unix://${socket}`
  return {
    docker: daemon,
    folder,
    endpoint,
    spawner: async (hub, part, context) => {
      const config = configSchema.parse({
        endpoint,
        agent: { from: 'folder', path: join(folder, 'agent') },
        hostRoots: [folder],
        stopGrace: '5s',
      })
      return await docker.create(
        { ...config, ...part },
        {
          ...spawnerContext({ hub, ...context }),
          bootstrap: (spec) => ({
            ...spawnerContext({ hub }).bootstrap(spec),
            report: { host: daemon.machine, port: 1 },
            stopTimeoutMs: 1_000,
            application: { ...spec.application, argv: [...spec.application.argv] },
          }),
        },
      )
    },
    spec: (hub, id, application, part) =>
      contractSpec(hub, id as EnvironmentSpec['id'], profileSchema.parse({ pull: 'never' }), {
        image: baseImage,
        account: { name: 'alice', uid, gid: uid, groups: [], home: '/home/alice', shell: '/bin/bash' },
        mounts: [{ name: 'home', source: { kind: 'host', path: home }, target: '/home/alice', readOnly: false }],
        resources: { cpu: 0.5, memoryBytes: 2 ** 28, gpus: 0 },
        application,
        ...part,
      }),
    cut: () => gate.cut(),
  }
}

export function dockerSubject(site: DockerSite): ContractSubject<DockerProfile> {
  return {
    patienceMs: 120_000,
    spawner: (hub) => site.spawner(hub),
    spec(hub, id, behaviour) {
      const spec = site.spec(hub, id, agentApplication(behaviour))
      return behaviour.does === 'refuse' ? { ...spec, image: 'nobody/has-it:1' } : spec
    },
    cut: () => site.cut(),
    count: async (id) =>
      (await site.docker.docker('ps', '--all', '--quiet', '--filter', `label=dev.hutch.environment=${id}`))
        .split('\n')
        .filter(Boolean).length,
  }
}
