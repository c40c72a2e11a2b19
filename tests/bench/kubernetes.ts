/**
 * Kubernetes: from the click on "launch" until it is ready, against `kubectl create` of the same pod by hand, in
 * interleaved rounds of one run on the tests' own cluster. Goal: at most 5 % and 200 ms more.
 */
import { connect } from 'node:net'
import { startKubernetes, type Cluster } from '../support/kubernetes.ts'
import { startKubernetesHub, type KubernetesHub } from '../support/kubernetesHub.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { until } from '../support/until.ts'
import { contextOf } from './context.ts'
import { median, row } from './figures.ts'

const rounds = 9
const patience = { timeoutMs: 120_000, everyMs: 10 }
const agentPort = 7_443

export async function benchKubernetes(): Promise<void> {
  const opened: (() => unknown)[] = []
  try {
    const context = contextOf(opened)
    const cluster = await startKubernetes(context)
    if (cluster === undefined) throw new Error('the cluster did not come up: see above')
    const hub = await startKubernetesHub(context, cluster)
    const hutch = hub.hutch()
    await compare(hub, await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? ''))
  } finally {
    for (const close of opened.toReversed()) await close()
  }
}

async function compare(hub: KubernetesHub, ada: Scientist): Promise<void> {
  const [ours, answers, ready]: number[][] = [[], [], []]
  for (let round = 0; round <= rounds; round += 1) {
    const { tookMs, pod, secret } = await launched(hub, ada)
    const hand = await byHand(hub.site.cluster, pod, secret, `by-hand-${round}`)
    // The first of each fills the machine's caches.
    if (round === 0) continue
    ours?.push(tookMs)
    answers?.push(hand.answersMs)
    ready?.push(hand.readyMs)
  }
  const [a, b, c] = [median(ours ?? []), median(answers ?? []), median(ready ?? [])]
  row('launch to ready, and kubectl create by hand', { hutch_ms: a, by_hand_ms: b, ratio: a / b, more_ms: a - b })
  row('  by hand until the pod is Ready, before its agent', { by_hand_ms: c })
  row('  each', {
    hutch_ms: (ours ?? []).map(Math.round).join(' '),
    by_hand_ms: (answers ?? []).map(Math.round).join(' '),
  })
}

interface Objects {
  readonly pod: { metadata: { labels: Record<string, string> }; spec: Record<string, unknown> }
  readonly secret: { data: object }
}

/** From the POST until the hub says that it is ready; then it is stopped. */
async function launched({ site }: KubernetesHub, ada: Scientist): Promise<{ tookMs: number } & Objects> {
  const startedAt = performance.now()
  const { id } = await ada.launch({ profile: 'shell', flavour: 'tight' })
  await until('it is ready', async () => (await ada.state(id)) === 'ready', patience)
  const tookMs = performance.now() - startedAt
  const get = async (kind: string): Promise<unknown> =>
    JSON.parse(await site.cluster.kubectl('get', kind, id, '-n', site.namespace, '-o', 'json'))
  const objects = { pod: (await get('pod')) as Objects['pod'], secret: (await get('secret')) as Objects['secret'] }
  await ada.api('POST', `/environments/${id}/stop`)
  await until('it is gone', async () => (await ada.state(id)) === 'ended', patience)
  return { tookMs, ...objects }
}

/** The same pod and secret, made by kubectl, of no hub: until it is Ready, and until its agent can be connected to. */
async function byHand(
  { kubectl, create }: Cluster,
  { spec }: Objects['pod'],
  { data }: Objects['secret'],
  name: string,
): Promise<{ answersMs: number; readyMs: number }> {
  const { nodeName: _, volumes, ...rest } = spec
  const ours = (volumes as { secret?: object }[]).map((volume) =>
    volume.secret === undefined ? volume : { ...volume, secret: { ...volume.secret, secretName: name } },
  )
  const metadata = { name, namespace: 'hutch' }
  const startedAt = performance.now()
  await create({
    apiVersion: 'v1',
    kind: 'List',
    items: [
      { apiVersion: 'v1', kind: 'Secret', metadata, data },
      { apiVersion: 'v1', kind: 'Pod', metadata, spec: { ...rest, volumes: ours } },
    ],
  })
  await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', 'hutch', '--timeout=120s')
  const readyMs = performance.now() - startedAt
  const address = await kubectl('get', 'pod', name, '-n', 'hutch', '-o', 'jsonpath={.status.podIP}')
  await until('its agent listens', async () => await listens(address), patience)
  const answersMs = performance.now() - startedAt
  await kubectl('delete', 'pod,secret', name, '-n', 'hutch', '--grace-period=1')
  return { answersMs, readyMs }
}

async function listens(host: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port: agentPort }, () => resolve(true))
    socket.on('error', () => resolve(false)).on('connect', () => socket.destroy())
  })
}
