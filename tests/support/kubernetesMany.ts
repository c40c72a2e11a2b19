/** A hub on a cluster whose nodes are simulated by kwok: pods are real objects that run nothing, so no agent reports. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { createStormClient, type StormClient } from '../bench/storm-client.ts'
import { control } from './control.ts'
import { goTool } from './goTool.ts'
import { freePort, runHutch } from './hutch.ts'
import { startKubernetes } from './kubernetes.ts'
import { startFaultProxy, type FaultProxy } from './kubernetesFaults.ts'
import { leastRights } from './kubernetesRights.ts'
import { logInAs } from './scientist.ts'
import { temporaryFolder } from './temporary.ts'
import { until } from './until.ts'

export interface ManyPods {
  /** Everything that the hub asks the API server goes through it. */
  readonly faults: FaultProxy
  readonly clients: readonly StormClient[]
  hubPid(): Promise<number>
  /** A series with its labels. NaN: there is none yet. */
  metric(series: string): Promise<number>
  /** kill -9, then another one; ms from its start until it knows what the cluster has. */
  restart(): Promise<number>
}

const nodes = 50
const namespace = 'many'

/** Undefined: something is missing, and the test has said so. */
export async function startManyPods(t: ExecutionContext, most: number): Promise<ManyPods | undefined> {
  const kwok = await goTool(t, 'kwok')
  const cluster = kwok === undefined ? undefined : await startKubernetes(t, { kwok })
  if (cluster === undefined) return undefined
  await cluster.apply({ apiVersion: 'v1', kind: 'List', items: Array.from({ length: nodes }, nodeOf) })
  const faults = await startFaultProxy(t, cluster)
  const folder = await temporaryFolder(t)
  const state = join(folder, 'state')
  const kubeconfig = await leastRights(cluster, { namespace, port: faults.port })
  const file = join(folder, 'hutch.json')
  await writeFile(file, JSON.stringify(configurationOf(kubeconfig, most)))
  const options = { state, args: ['--config', file], port: await freePort(), asRoot: true }
  let hub = await runHutch(options)
  t.teardown(async () => void (await hub.stop()))
  const clients: StormClient[] = []
  for (const [name, password] of Object.entries(await hub.passwords())) {
    const { jar } = await logInAs(hub.url, name, password)
    clients.push(createStormClient(hub.url, jar.cookie('hutch-login') ?? ''))
  }
  t.teardown(() => clients.forEach((client) => client.close()))
  const metric: ManyPods['metric'] = async (series) => {
    const text = await control(state, 'control.sock', '/metrics').catch(() => '')
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${series} `))
        ?.slice(series.length) ?? Number.NaN,
    )
  }
  return {
    faults,
    clients,
    metric,
    hubPid: async () => Number(await readFile(join(state, 'run', 'hub.pid'), 'utf8')),
    async restart() {
      await hub.kill()
      const startedAt = performance.now()
      const starting = runHutch(options)
      const knows = async (): Promise<boolean> =>
        (await metric('hutch_observation_age_seconds{spawner="cluster"}')) >= 0
      await until('it has looked at the cluster', knows, { timeoutMs: 120_000, everyMs: 250 })
      const tookMs = performance.now() - startedAt
      hub = await starting
      return tookMs
    },
  }
}

function nodeOf(_: unknown, index: number): object {
  const room = { cpu: '1k', memory: '4Ti', pods: '250' }
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: `simulated-${index}`,
      annotations: { 'kwok.x-k8s.io/node': 'fake' },
      labels: { type: 'simulated' },
    },
    spec: { taints: [{ key: 'simulated', value: 'yes', effect: 'NoSchedule' }] },
    status: { allocatable: room, capacity: room },
  }
}

function configurationOf(kubeconfig: string, most: number): object {
  const users = Object.fromEntries(
    ['ada', 'rosalind', 'marie', 'lise'].map((name, index) => {
      return [name, { uid: 26_001 + index, gid: 26_001 + index, home: `/home/${name}`, groups: [] }]
    }),
  )
  return {
    hub: { id: 'many' },
    login: { demo: true },
    accounts: { source: 'file', users },
    environments: { perUser: most, outliveHub: true },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: {
      cluster: {
        type: 'kubernetes',
        kubeconfig,
        namespace,
        agent: { from: 'node', path: '/opt/hutch/agent' },
        hostPathRoots: ['/home'],
      },
    },
    profiles: {
      simulated: {
        title: 'Simulated',
        kind: 'terminal',
        image: 'simulated:1',
        flavours: ['small'],
        startTimeout: '10h',
        on: { cluster: { nodeSelector: { type: 'simulated' }, tolerations: [{ operator: 'Exists' }] } },
      },
    },
  }
}
