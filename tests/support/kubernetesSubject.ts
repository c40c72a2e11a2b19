/** The Kubernetes spawner as a subject of the contract suite: a real cluster, the exported agent, the least rights. */
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { exportAgent } from '../../images/agent/export.ts'
import type { ContractSubject } from '../../spawners/contract.ts'
import { configSchema } from '../../spawners/kubernetes/config.ts'
import kubernetes from '../../spawners/kubernetes/index.ts'
import { profileSchema, type KubernetesProfile } from '../../spawners/kubernetes/profile.ts'
import type { Application, EnvironmentSpec, Spawner } from '../../spawners/spawner.ts'
import { baseImage, type Cluster } from './kubernetes.ts'
import { startFaultProxy, type FaultProxy } from './kubernetesFaults.ts'
import { leastRights } from './kubernetesRights.ts'
import { agentApplication, contractSpec, silentLog, spawnerContext } from './spawnerSubject.ts'

export interface KubernetesSite {
  readonly cluster: Cluster
  /** The one of the account with a Role. */
  readonly namespace: string
  /** Of this machine, and so of the node: homes and data. */
  readonly folder: string
  /** Stands between every spawner of this site and the API server. */
  readonly faults: FaultProxy
  /** `config`: over the site's own. */
  spawner(hub: string, config?: object): Promise<Spawner<KubernetesProfile>>
  spec(
    hub: string,
    id: string,
    application: Application,
    part?: Partial<EnvironmentSpec<KubernetesProfile>>,
  ): EnvironmentSpec<KubernetesProfile>
  /** Of the hub's account, through what can be cut. */
  readonly kubeconfig: string
}

const uid = 12_001

export async function kubernetesSite(t: ExecutionContext, cluster: Cluster): Promise<KubernetesSite> {
  await mkdir('/srv', { recursive: true })
  const folder = await mkdtemp('/srv/hutch-')
  await chmod(folder, 0o755)
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const home = join(folder, 'home')
  await mkdir(home)
  await chown(home, uid, uid)
  await exportAgent({ folder: join(folder, 'agent') })
  const namespace = 'hutch'
  const faults = await startFaultProxy(t, cluster)
  const kubeconfig = await leastRights(cluster, { namespace, port: faults.port })
  const own = {
    kubeconfig,
    namespace,
    agent: { from: 'node', path: join(folder, 'agent') },
    hostPathRoots: [folder],
    proxySelector: { addresses: [`${cluster.gateway}/32`] },
  }
  return {
    cluster,
    namespace,
    folder,
    faults,
    kubeconfig,
    spawner: async (hub, config = {}) =>
      await kubernetes.create(configSchema.parse({ ...own, ...config }), {
        ...spawnerContext({ hub, log: silentLog }),
        bootstrap: (spec) => ({
          ...spawnerContext({ hub }).bootstrap(spec),
          listen: { host: '0.0.0.0' },
          report: { host: cluster.gateway, port: 1 },
          application: { ...spec.application, argv: [...spec.application.argv] },
        }),
      }),
    spec: (hub, id, application, part) =>
      contractSpec(hub, id as EnvironmentSpec['id'], profileSchema.parse({ imagePullPolicy: 'Never', stopGrace: 1 }), {
        image: baseImage,
        account: { name: 'alice', uid, gid: uid, groups: [], home: '/home/alice', shell: '/bin/bash' },
        mounts: [{ name: 'home', source: { kind: 'host', path: home }, target: '/home/alice', readOnly: false }],
        resources: { cpu: 0.2, memoryBytes: 2 ** 28, gpus: 0 },
        application,
        ...part,
      }),
  }
}

export function kubernetesSubject(site: KubernetesSite): ContractSubject<KubernetesProfile> {
  return {
    patienceMs: 120_000,
    spawner: (hub) => site.spawner(hub),
    spec(hub, id, behaviour) {
      const spec = site.spec(hub, id, agentApplication(behaviour))
      return behaviour.does === 'refuse' ? { ...spec, image: 'Not An Image' } : spec
    },
    cut: () => site.faults.cut(),
  }
}
