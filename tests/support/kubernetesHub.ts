/** A facility with one cluster: the real hub as an ordinary user, its account's least rights, two people, one proposal. */
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { startHutch, type RunningHutch } from './hutch.ts'
import { readyJupyter } from './jupyter-on-path.ts'
import { baseImage, type Cluster } from './kubernetes.ts'
import { leastRights } from './kubernetesRights.ts'
import { kubernetesSite, type KubernetesSite } from './kubernetesSubject.ts'

export const people = {
  ada: { uid: 26_001, groups: [{ name: 'p42', gid: 36_042 }] },
  rosalind: { uid: 26_002, groups: [{ name: 'p43', gid: 36_043 }] },
} as const
type Name = keyof typeof people

export interface KubernetesHub {
  readonly site: KubernetesSite
  readonly data: string
  hutch(): RunningHutch
  /** Kills it and starts the next one on the same state. */
  dieAndRestart(meanwhile?: () => Promise<void>): Promise<void>
  /** Puts what the database is into a place of this name; with `back`, puts it back. Only while no hub runs. */
  keepDatabase(name: string, back?: 'back'): Promise<void>
}

export async function startKubernetesHub(t: ExecutionContext, cluster: Cluster): Promise<KubernetesHub> {
  const jupyter = await readyJupyter(t)
  if ('missing' in jupyter) throw new Error(jupyter.missing)
  const site = await kubernetesSite(t, cluster)
  const data = join(site.folder, 'data')
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'far' },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'far',
      nfs: { server: cluster.gateway, path: '/export/claimed' },
    },
  })
  await makeHomes(site.folder)
  await makeData(data)
  const state = await mkdtemp(join(tmpdir(), 'hutch-'))
  t.teardown(() => rm(state, { recursive: true, force: true, maxRetries: 5 }))
  const file = join(state, 'hutch.json')
  await writeFile(file, JSON.stringify(configuration(site, data, jupyter.binFolder)))
  await writeFile(join(state, 'hub.kubeconfig'), await readFile(site.kubeconfig), { mode: 0o600 })
  // As another cluster: a way of its own to an API server, an account and a place of its own there.
  const second = await leastRights(cluster, { namespace: 'hutch-two', port: cluster.apiPort })
  await writeFile(join(state, 'second.kubeconfig'), await readFile(second), { mode: 0o600 })
  const start = async (port?: number): Promise<RunningHutch> =>
    await startHutch(t, { state, args: ['--config', file], ...(port === undefined ? {} : { port }) })
  let hutch = await start()
  return {
    site,
    data,
    hutch: () => hutch,
    async dieAndRestart(meanwhile) {
      await hutch.kill()
      await meanwhile?.()
      hutch = await start(Number(new URL(hutch.url).port))
    },
    async keepDatabase(name, back) {
      const place = join(state, 'kept', name)
      await mkdir(place, { recursive: true })
      const [from, to] = back ? [place, state] : [state, place]
      const files = (await readdir(from)).filter((file) => file.startsWith('hutch.sqlite'))
      for (const file of (await readdir(to)).filter((each) => each.startsWith('hutch.sqlite'))) await rm(join(to, file))
      for (const file of files) await cp(join(from, file), join(to, file))
    },
  }

  function configuration(
    { cluster: { gateway }, namespace, folder }: KubernetesSite,
    root: string,
    bin: string,
  ): object {
    const users = names().map((name) => {
      const { uid, groups } = people[name]
      return [name, { uid, gid: uid, home: `${folder}/homes/${name}`, groups }]
    })
    const rule = (name: string, readOnly: boolean): object => ({
      name,
      source: `${root}/{proposal}/${name}`,
      target: `/data/{proposal}/${name}`,
      allowedRoots: [root],
      readOnly,
    })
    // The escape hatch brings this machine's JupyterLab into an image that has none.
    const software = join(bin, '../..')
    const patch = {
      spec: {
        volumes: [{ name: 'software', hostPath: { path: software, type: 'Directory' } }],
        containers: [
          { name: 'environment', volumeMounts: [{ name: 'software', mountPath: software, readOnly: true }] },
        ],
      },
    }
    const path = { PATH: [bin, '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter) }
    const on = (part: object = {}): object => ({ cluster: { imagePullPolicy: 'Never', stopGrace: 5, patch, ...part } })
    const common = {
      type: 'kubernetes',
      agent: { from: 'node', path: join(folder, 'agent') },
      hostPathRoots: [folder],
      proxySelector: { addresses: [`${gateway}/32`] },
      umask: '0007',
    }
    const eat = 'held = []\nwhile True: held.append(b"x" * 2**22)'
    return {
      hub: { id: 'facility' },
      login: { demo: true },
      accounts: { source: 'file', users: Object.fromEntries(users) },
      catalogue: { type: 'file', path: join(root, 'catalogue.yaml') },
      mounts: [rule('raw', true), rule('processed', false)],
      agents: { listen: `${gateway}:0` },
      flavours: {
        small: { title: 'Small', cpu: 0.5, memory: '1GiB' },
        tight: { title: 'Tight', cpu: 0.2, memory: '192MiB' },
        vast: { title: 'Vast', cpu: 900, memory: '1GiB' },
      },
      spawners: {
        cluster: {
          ...common,
          kubeconfig: join(state, 'hub.kubeconfig'),
          namespace,
          pullPatience: '2s',
          mountPatience: '12s',
          unschedulablePatience: '8s',
        },
        second: { ...common, kubeconfig: join(state, 'second.kubeconfig'), namespace: 'hutch-two' },
      },
      profiles: {
        lab: {
          title: 'JupyterLab',
          kind: 'notebook',
          image: baseImage,
          flavours: ['small', 'vast'],
          variables: path,
          on: on(),
        },
        greedy: {
          title: 'Greedy',
          kind: 'web',
          argv: ['/usr/bin/python3', '-c', eat],
          image: baseImage,
          flavours: ['tight'],
          on: on(),
        },
        shell: { title: 'Shell', kind: 'terminal', image: baseImage, flavours: ['tight'], on: on() },
        elsewhere: {
          title: 'Elsewhere',
          kind: 'terminal',
          image: baseImage,
          flavours: ['tight'],
          on: { second: { imagePullPolicy: 'Never', stopGrace: 5 } },
        },
        lost: { title: 'Lost', kind: 'terminal', image: 'localhost/nobody-has-it:1', flavours: ['tight'], on: on() },
        far: {
          title: 'Far',
          kind: 'terminal',
          image: baseImage,
          flavours: ['tight'],
          on: on({
            volumes: [
              { target: '/far', from: { type: 'nfs', server: gateway, path: '/export' } },
              { target: '/claimed', from: { type: 'newClaim', name: 'far-{owner}', storageClass: 'far', size: '1Gi' } },
            ],
          }),
        },
        rejected: {
          title: 'Rejected',
          kind: 'terminal',
          image: baseImage,
          flavours: ['tight'],
          on: on({ patch: { spec: { dnsPolicy: 'Sometimes' } } }),
        },
      },
    }
  }
}

function names(): Name[] {
  return Object.keys(people) as Name[]
}

async function makeHomes(folder: string): Promise<void> {
  for (const name of names()) {
    const path = join(folder, 'homes', name)
    await mkdir(path, { recursive: true })
    await chown(path, people[name].uid, people[name].uid)
    await chmod(path, 0o700)
  }
}

async function makeData(data: string): Promise<void> {
  const [{ gid }] = people.ada.groups
  for (const name of ['raw', 'processed']) {
    const path = join(data, '42', name)
    await mkdir(path, { recursive: true })
    await chown(path, 0, gid)
    await chmod(path, name === 'raw' ? 0o750 : 0o2770)
  }
  await writeFile(join(data, '42/raw/run1'), 'measured for 42\n')
  await chown(join(data, '42/raw/run1'), 0, gid)
  await chmod(join(data, '42/raw/run1'), 0o640)
  await writeFile(
    join(data, 'catalogue.yaml'),
    JSON.stringify({ proposals: [{ id: '42', title: 'Micelles', instrument: 'LOQ', members: ['ada'] }] }),
  )
}
