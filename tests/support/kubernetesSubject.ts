/** The Kubernetes spawner as a subject of the contract suite: a real cluster, the exported agent, the least rights. */
import { createServer, connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { exportAgent } from '../../images/agent/export.ts'
import type { ContractSubject } from '../../spawners/contract.ts'
import { configSchema } from '../../spawners/kubernetes/config.ts'
import kubernetes from '../../spawners/kubernetes/index.ts'
import { profileSchema, type KubernetesProfile } from '../../spawners/kubernetes/profile.ts'
import type { Application, EnvironmentSpec, Spawner } from '../../spawners/spawner.ts'
import { baseImage, type Cluster } from './kubernetes.ts'
import { agentApplication, contractSpec, silentLog, spawnerContext } from './spawnerSubject.ts'

export interface KubernetesSite {
  readonly cluster: Cluster
  readonly namespace: string
  /** Of this machine, and so of the node: homes and data. */
  readonly folder: string
  spawner(hub: string): Promise<Spawner<KubernetesProfile>>
  spec(
    hub: string,
    id: string,
    application: Application,
    part?: Partial<EnvironmentSpec<KubernetesProfile>>,
  ): EnvironmentSpec<KubernetesProfile>
  /** Of the hub's account, through what can be cut. */
  kubeconfig(): Promise<string>
  /** The API server can't be reached until the returned function is called. */
  cut(): Promise<() => Promise<void>>
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
  const gate = await openGate(t, cluster.apiPort)
  const kubeconfig = join(folder, 'hub.kubeconfig')
  await writeFile(kubeconfig, await leastRights(cluster, namespace, gate.port), { mode: 0o600 })
  const config = configSchema.parse({
    kubeconfig,
    namespace,
    agent: { from: 'node', path: join(folder, 'agent') },
    hostPathRoots: [folder],
    proxySelector: { addresses: [`${cluster.gateway}/32`] },
  })
  return {
    cluster,
    namespace,
    folder,
    spawner: async (hub) =>
      await kubernetes.create(config, {
        ...spawnerContext({ hub, log: silentLog }),
        bootstrap: (spec) => ({
          ...spawnerContext({ hub }).bootstrap(spec),
          listen: { host: '0.0.0.0' },
          report: { host: cluster.gateway, port: 1 },
          application: { ...spec.application, argv: [...spec.application.argv] },
        }),
      }),
    spec: (hub, id, application, part) => {
      const spec = contractSpec(
        hub,
        id as EnvironmentSpec['id'],
        profileSchema.parse({ imagePullPolicy: 'Never', stopGrace: 1 }),
        {
          image: baseImage,
          account: { name: 'alice', uid, gid: uid, groups: [], home: '/home/alice', shell: '/bin/bash' },
          mounts: [{ name: 'home', source: { kind: 'host', path: home }, target: '/home/alice', readOnly: false }],
          resources: { cpu: 0.2, memoryBytes: 2 ** 28, gpus: 0 },
          application,
          ...part,
        },
      )
      return spec
    },
    kubeconfig: () => readFile(kubeconfig, 'utf8'),
    cut: () => gate.cut(),
  }
}

/** A way to the API server that can be closed. */
async function openGate(
  t: ExecutionContext,
  port: number,
): Promise<{ port: number; cut(): Promise<() => Promise<void>> }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((socket) => {
    if (isCut) return socket.destroy()
    const to = connect(port, '127.0.0.1')
    for (const [one, other] of [
      [socket, to],
      [to, socket],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    socket.pipe(to).pipe(socket)
    return undefined
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cut: async () => {
      isCut = true
      for (const socket of sockets) socket.destroy()
      // The spawner follows the cluster: it knows of the cut as soon as its connection has ended.
      await sleep(500)
      return async () => {
        isCut = false
      }
    },
  }
}

/** The hub's account with what config/kubernetes gives it and nothing more; not an administrator. */
async function leastRights(cluster: Cluster, namespace: string, port: number): Promise<string> {
  const metadata = { name: 'hutch-hub', namespace }
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: restricted } })
  await cluster.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata })
  const role = JSON.parse(
    await readFile(new URL('../../config/kubernetes/role.json', import.meta.url), 'utf8'),
  ) as object
  await cluster.apply({ ...role, metadata })
  await cluster.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'hutch-hub' },
    subjects: [{ kind: 'ServiceAccount', ...metadata }],
  })
  const token = (await cluster.kubectl('create', 'token', 'hutch-hub', '-n', namespace)).trim()
  const admin = await readFile(cluster.kubeconfig, 'utf8')
  const authority = await readFile(/certificate-authority: "([^"]*)"/.exec(admin)?.[1] ?? '')
  return admin
    .replace(/certificate-authority: "[^"]*"/, `certificate-authority-data: "${authority.toString('base64')}"`)
    .replace(/server: "[^"]*"/, `server: "https://127.0.0.1:${port}"`)
    .replace(/token: "[^"]*"/, `token: "${token}"`)
}

/** hostPath is not allowed in "restricted": homes here lie on the node, so that it is only warned of. */
const restricted = { 'pod-security.kubernetes.io/warn': 'restricted' }

export function kubernetesSubject(site: KubernetesSite): ContractSubject<KubernetesProfile> {
  return {
    patienceMs: 60_000,
    spawner: (hub) => site.spawner(hub),
    spec(hub, id, behaviour) {
      const spec = site.spec(hub, id, agentApplication(behaviour))
      return behaviour.does === 'refuse' ? { ...spec, image: 'Not An Image' } : spec
    },
    cut: () => site.cut(),
  }
}
