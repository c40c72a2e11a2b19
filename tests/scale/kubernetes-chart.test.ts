/** The chart, installed for real: hub and proxy as pods of an account with the least rights, the main job through them. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { parseAllDocuments } from 'yaml'
import { configSchema } from '../../spawners/kubernetes/config.ts'
import { networkPolicies } from '../../spawners/kubernetes/network.ts'
import { goTool } from '../support/goTool.ts'
import { openKernel } from '../support/kernel.ts'
import { ada as account, chart, installChart } from '../support/kubernetesChart.ts'
import { logInAs } from '../support/scientist.ts'
import { until } from '../support/until.ts'

const patience = { timeoutMs: 180_000, everyMs: 200 }

test('installed, a notebook through it, upgraded under it', async (t) => {
  t.timeout(60 * 60_000, 'the first run builds images and the cluster')
  const helm = await goTool(t, 'helm')
  const containerd = await goTool(t, 'containerd')
  const installed = helm && containerd ? await installChart(t, { helm, containerd }) : undefined
  if (installed === undefined) return
  const { cluster, url } = installed
  const ada = await logInAs(url, 'ada', await installed.password('ada'))
  const launched = await ada.launch({ profile: 'lab', flavour: 'small' })
  await ada.enter(launched)
  const kernel = await openKernel(ada, launched)
  t.teardown(() => kernel.dispose())
  const said = await kernel.run(`
import os
print(os.getuid(), sorted(set(os.getgroups()) - {os.getgid()}), os.environ['HOME'])
print('mine', file=open(os.path.expanduser('~/result'), 'w'))
kept = 41`)
  t.is(said, `${account.uid} [36042] /home/ada`)
  const pods = await cluster.kubectl('get', 'pods', '-n', 'rooms', '-o', 'jsonpath={.items[*].metadata.name}')
  t.is(pods, launched.id)
  const podOf = async (id: string): Promise<Pod> =>
    JSON.parse(await cluster.kubectl('get', 'pod', id, '-n', 'rooms', '-o', 'json')) as Pod
  const { spec } = await podOf(launched.id)
  t.like(spec, { initContainers: [{ name: 'hutch-agent' }], securityContext: { supplementalGroupsPolicy: 'Strict' } })
  const [address = ''] = (
    await cluster.kubectl('get', 'pods', '-n', 'facility', '-o', 'jsonpath={.items[*].status.podIP}')
  ).split(' ')
  for (const [port, series] of [
    [9_000, /^hutch_watch_age_seconds\{spawner="cluster"\} \d/m],
    [9_001, /^hutch_proxy_/m],
  ] as const) {
    t.regex(await (await fetch(`http://${address}:${port}/metrics`)).text(), series)
  }

  await installed.upgrade('images.agentFrom=imageVolume')
  await until('the next hub knows it', async () => (await ada.state(launched.id)) === 'ready', patience)
  const again = await openKernel(ada, launched, kernel.id)
  t.teardown(() => again.dispose())
  t.is(await again.run('print(kept + 1)'), '42')
  await until('who was connected is so again', () => kernel.status() === 'connected', patience)
  kernel.dispose()
  again.dispose()
  const second = await ada.launch({ profile: 'lab', flavour: 'small' })
  await ada.enter(second)
  const inImage = (await podOf(second.id)).spec
  t.deepEqual([inImage.initContainers, inImage.volumes.filter(({ image }) => image).length], [undefined, 1])
  const other = await openKernel(ada, second)
  t.teardown(() => other.dispose())
  t.is(await other.run("print(open('/home/ada/result').read())"), 'mine')
  other.dispose()
  for (const { id } of [launched, second]) {
    await ada.api('POST', `/environments/${id}/stop`)
    await until('it ended', async () => (await ada.state(id)) === 'ended', patience)
  }
  const left = async (): Promise<string> => await cluster.kubectl('get', 'pods,secrets', '-n', 'rooms', '-o', 'name')
  await until('nothing is left', async () => (await left()).trim() === '', patience)
  t.is((await cluster.kubectl('get', 'pvc', '-n', 'rooms', '-o', 'name')).trim(), 'persistentvolumeclaim/home-ada')
})

test('what it renders: the policies are the hub’s own; everything is there where it is asked for', async (t) => {
  t.timeout(30 * 60_000, 'the first run builds helm')
  const helm = await goTool(t, 'helm')
  if (helm === undefined) return
  const render = async (...more: readonly string[]): Promise<readonly Rendered[]> => {
    const needed = 'publicUrl=https://hutch.example,database.host=db,database.passwordSecret=database'
    const argv = ['template', 'hutch', chart, '-n', 'facility', '--kube-version', '1.34.4', '--set', needed, ...more]
    const { stdout } = await promisify(execFile)(helm, argv)
    return parseAllDocuments(stdout).map((document) => document.toJS() as Rendered)
  }
  const one = await render('--set', 'environments.reachable={10.1.2.3/32},environments.disruptionBudget=true')
  const { spawners } = configurationOf(one)
  const { type, ...own } = spawners['cluster'] ?? { type: '' }
  t.is(type, 'kubernetes')
  const report = { host: 'hutch-agents.facility.svc', port: 7_444 }
  for (const policy of networkPolicies('hutch', configSchema.parse(own), report) as readonly Rendered[]) {
    const rendered = one.find(({ kind, metadata }) => kind === policy.kind && metadata.name === policy.metadata.name)
    t.deepEqual(rendered?.spec, policy.spec, policy.metadata.name)
  }
  t.is(one.filter(({ kind }) => kind === 'PodDisruptionBudget').length, 2)
  const many = await render('--set', 'environments.namespace=users-{owner}', '--set', 'serviceMonitor=true')
  const kinds = new Set(many.map(({ kind }) => kind))
  for (const kind of ['ValidatingAdmissionPolicy', 'ServiceMonitor', 'ClusterRole']) t.true(kinds.has(kind), kind)
  t.false(kinds.has('Role'))
  t.like(configurationOf(many), { spawners: { cluster: { createNamespaces: true } } })
  for (const [wrong, words] of [
    ['publicUrl=', /publicUrl is missing/],
    ['database.host=', /database.host and database.passwordSecret are missing/],
    ['configuration.hub.id=not a label', /can't be a label's value/],
  ] as const) {
    await t.throwsAsync(render('--set', wrong), { message: words })
  }
})

interface Pod {
  readonly spec: Readonly<{
    initContainers?: readonly object[]
    securityContext: object
    volumes: readonly Readonly<{ image?: object }>[]
  }>
}

interface Rendered {
  readonly kind: string
  readonly metadata: Readonly<{ name: string }>
  readonly spec?: object
  readonly data?: Readonly<Record<string, string>>
}

function configurationOf(rendered: readonly Rendered[]): { spawners: Record<string, { type: string }> } {
  const text = rendered.find(({ kind }) => kind === 'ConfigMap')?.data?.['hutch.yaml'] ?? ''
  return JSON.parse(text) as { spawners: Record<string, { type: string }> }
}
