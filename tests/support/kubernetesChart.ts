/** The chart installed into a real cluster with images of this checkout: hub and proxy as pods, PostgreSQL outside. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { imageArchive } from './docker-cache.ts'
import { portOf } from './fakeAgents.ts'
import { freePort } from './hutch.ts'
import { startKubernetes, type Cluster } from './kubernetes.ts'
import { startPostgresServer } from './postgres.ts'
import { until } from './until.ts'

const run = promisify(execFile)
export const chart = join(import.meta.dirname, '../../config/kubernetes/chart')
export const ada = { uid: 26_001, groups: [{ name: 'p42', gid: 36_042 }] }

export interface Installed {
  readonly cluster: Cluster
  readonly url: string
  /** Of the demo person. */
  password(name: string): Promise<string>
  /** `helm upgrade` with another value; returns when the pods are the new ones and browsers reach them. */
  upgrade(change: string): Promise<void>
  /** `helm upgrade` with more values over these; returns when the pods are the new ones. */
  readonly change: (values: object) => Promise<void>
}

/** Where the chart is installed, and where environments are. */
export const places = { hub: 'facility', environments: 'rooms' } as const

const { hub: namespace, environments } = places
export const service = '10.96.0.200'

/** Undefined: something is missing, and the test has said so. */
export async function installChart(
  t: ExecutionContext,
  { helm, containerd }: { helm: string; containerd: string },
): Promise<Installed | undefined> {
  const images: { file: string; tag: string }[] = []
  for (const name of ['hub', 'agent', 'notebook', 'desktop'])
    images.push(await imageArchive(name, (line) => t.log(line)))
  const cluster = await startKubernetes(t, { images: images.map(({ file }) => file), services: true, containerd })
  const secret = 'a password of the test'
  const database = await startPostgresServer(t, secret)
  if (cluster === undefined || database === undefined) return undefined
  await makeHome(t, cluster)
  await cluster.kubectl('create', 'namespace', namespace)
  await cluster.kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted')
  const literal = `--from-literal=password=${secret}`
  await cluster.kubectl('create', 'secret', 'generic', 'database', literal, '-n', namespace)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const [hub = '', agent = '', notebook = '', desktop = ''] = images.map(({ tag }) => tag)
  const values = {
    ...valuesOf(url, { notebook, desktop }),
    images: { hub, agent, agentFrom: 'copy', pullPolicy: 'Never' },
    database: {
      host: cluster.gateway,
      port: await openWay(t, cluster.gateway, database.tcp.port),
      tls: false,
      passwordSecret: 'database',
    },
  }
  const file = join(cluster.folder, 'values.json')
  await writeFile(file, JSON.stringify(values))
  t.teardown(async () => {
    if (t.passed) return
    const logs = ['logs', '-n', namespace, '-l', 'app.kubernetes.io/name=hutch', '-c', 'hub', '--tail=60', '--prefix']
    t.log(await cluster.kubectl(...logs).catch(String), await cluster.kubectl('get', 'pods', '-A').catch(String))
  })
  const forward = forwarder(t, cluster, port)
  const upgrade = async (...more: readonly string[]): Promise<void> => {
    const argv = ['upgrade', '--install', 'hutch', chart, '-n', namespace, '-f', file, '--wait', '--timeout', '10m']
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, HOME: cluster.folder }
    await run(helm, [...argv, ...more], { env, timeout: 660_000 })
  }
  const install = async (...more: readonly string[]): Promise<void> => {
    await upgrade(...more)
    await forward()
  }
  await install()
  return {
    cluster,
    url,
    async password(name) {
      const people = '/var/lib/hutch/state/demo-people.json'
      const text = await cluster.kubectl('exec', '-n', namespace, 'deploy/hutch', '-c', 'hub', '--', 'cat', people)
      return (JSON.parse(text) as { name: string; password: string }[]).find((one) => one.name === name)?.password ?? ''
    },
    upgrade: (change) => install('--set', change),
    async change(more) {
      const other = join(cluster.folder, 'more.json')
      await writeFile(other, JSON.stringify(more))
      await upgrade('-f', other)
    },
  }
}

function valuesOf(url: string, { notebook, desktop }: { notebook: string; desktop: string }): object {
  // Of two cores, nearly all is promised to nobody: whoever needs it takes it.
  const on = (part: object = {}): object => ({
    cluster: { imagePullPolicy: 'Never', stopGrace: 2, cpuGuarantee: 0.05, ...part },
  })
  const profile = (title: string, kind: string, image: string, part?: object): object => ({
    title,
    kind,
    image,
    flavours: ['small'],
    on: on(part),
  })
  return {
    publicUrl: url,
    configuration: {
      // Demo people are for loopback alone: browsers come by kubectl port-forward.
      listen: '127.0.0.1:8000',
      login: { demo: true },
      accounts: { source: 'file', users: { ada: { ...ada, gid: ada.uid, home: '/home/ada' } } },
      flavours: { small: { title: 'Small', cpu: 2, memory: '1GiB' } },
      profiles: {
        lab: profile('JupyterLab', 'notebook', notebook),
        desk: profile('Desktop', 'desktop', desktop),
        shell: profile('Terminal', 'terminal', notebook),
        free: profile('Free', 'terminal', notebook, { network: 'open' }),
      },
    },
    environments: {
      namespace: environments,
      spawner: { homeClaim: { storageClass: 'homes', size: '1Gi', accessModes: ['ReadWriteOnce'] } },
    },
    agents: { clusterIP: service, address: service },
  }
}

/** What a storage class would make: a directory of the node, for the one claim. */
async function makeHome(t: ExecutionContext, { apply }: Cluster): Promise<void> {
  await mkdir('/srv', { recursive: true })
  const folder = await mkdtemp('/srv/hutch-')
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  await chown(folder, ada.uid, ada.uid)
  await chmod(folder, 0o700)
  await apply({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'home-of-ada' },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'homes',
      local: { path: folder },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node1'] }] },
          ],
        },
      },
    },
  })
}

/** PostgreSQL listens on loopback: pods reach it at the gateway. */
async function openWay(t: ExecutionContext, host: string, to: number): Promise<number> {
  const server = createServer((socket) => {
    const other = connect(to, '127.0.0.1')
    socket.on('error', () => other.destroy()).on('close', () => other.destroy())
    other.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.pipe(other).pipe(socket)
  })
  server.listen(0, host)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return portOf(server)
}

/** `kubectl port-forward` to the pod that is there now; the one before ends. */
function forwarder(t: ExecutionContext, cluster: Cluster, port: number): () => Promise<void> {
  let stop = async (): Promise<void> => undefined
  t.teardown(async () => await stop())
  return async () => {
    await stop()
    const [command = '', ...argv] = cluster.kubectlLine('port-forward', '-n', namespace, 'deploy/hutch', `${port}:8000`)
    const child = spawn(command, argv, { stdio: 'ignore', env: { ...process.env, KUBECONFIG: cluster.kubeconfig } })
    const ended = once(child, 'exit')
    stop = async () => {
      child.kill()
      await ended
    }
    await until(
      'browsers reach it',
      async () => (await fetch(`http://127.0.0.1:${port}/hub/login`).catch(() => undefined))?.status === 200,
      { timeoutMs: 120_000, everyMs: 200 },
    )
  }
}
