/** The chart, installed for real: hub and proxy as pods of an account with the least rights, the main job through them. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Browser, Page } from 'playwright-core'
import { parseAllDocuments } from 'yaml'
import { configSchema } from '../../spawners/kubernetes/config.ts'
import { networkPolicies } from '../../spawners/kubernetes/network.ts'
import { browser } from '../support/browser.ts'
import { untilDrawn } from '../support/desktopPage.ts'
import { goTool } from '../support/goTool.ts'
import { openKernel } from '../support/kernel.ts'
import { baseImage, type Cluster } from '../support/kubernetes.ts'
import { ada as account, chart, installChart, places, service, type Installed } from '../support/kubernetesChart.ts'
import { asFacility, hosts } from '../support/kubernetesFacility.ts'
import { enforcePolicies, listenAt, networkPlugin, reaches, type Target } from '../support/networkPlugin.ts'
import { personBy } from '../support/person.ts'
import { isOver, logInAs } from '../support/scientist.ts'
import { until } from '../support/until.ts'

const patience = { timeoutMs: 180_000, everyMs: 200 }

test('installed and upgraded under a notebook; as a facility has it, in a browser; with its policies enforced', async (t) => {
  t.timeout(90 * 60_000, 'the first run builds images and the cluster')
  const opened = await browser(t)
  const helm = await goTool(t, 'helm')
  const containerd = await goTool(t, 'containerd')
  const installed = opened && helm && containerd ? await installChart(t, { helm, containerd }) : undefined
  if (opened === undefined || installed === undefined) return
  await onALaptop(t, installed)
  // TEST-NET-3 is nobody's, and so public; the others are private.
  const addresses = { world: '203.0.113.7', licences: '10.254.7.7', intranet: '10.254.7.8' }
  const facility = await asFacility(t, installed, { reachable: [`${addresses.licences}/32`] })
  if (facility === undefined) return
  await isAccepted(t, installed.cluster)
  const ids = await inABrowser(t, opened, facility.url)
  await isEnforced(t, installed.cluster, ids, addresses)
})

/** By the chart's shortest way: demo people, kubectl port-forward; the agent by a copy, then from an image volume. */
async function onALaptop(t: ExecutionContext, installed: Installed): Promise<void> {
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
    t.true((await ada.api('POST', `/environments/${id}/stop`)).status < 300)
    await isOver(ada, { id })
  }
  const left = async (): Promise<string> => await cluster.kubectl('get', 'pods,secrets', '-n', 'rooms', '-o', 'name')
  await until('nothing is left', async () => (await left()).trim() === '', patience)
  t.is((await cluster.kubectl('get', 'pvc', '-n', 'rooms', '-o', 'name')).trim(), 'persistentvolumeclaim/home-ada')
}

/** What goes with it was taken by the cluster as it is. */
async function isAccepted(t: ExecutionContext, { kubectl }: Cluster): Promise<void> {
  const names = async (kind: string, namespace: string): Promise<string> =>
    await kubectl('get', kind, '-n', namespace, '-o', 'jsonpath={.items[*].metadata.name}')
  t.is(await names('ingress', places.hub), 'hutch')
  t.is(await names('servicemonitor', places.hub), 'hutch')
  t.is(await names('poddisruptionbudget', places.hub), 'hutch')
  t.is(await names('poddisruptionbudget', places.environments), 'hutch-environments')
  t.is(await names('networkpolicy', places.hub), 'hutch')
  t.is(await names('networkpolicy', places.environments), 'hutch-environments hutch-open-environments')
  const rights = async (what: string, namespace: string): Promise<string> => {
    const as = `system:serviceaccount:${places.hub}:hutch`
    // It says no by its exit code as well.
    const asked = kubectl('auth', 'can-i', ...what.split(' '), '-n', namespace, '--as', as)
    return (await asked.catch((error: unknown) => (error as { stdout: string }).stdout)).trim()
  }
  t.is(await rights('create pods', places.environments), 'yes')
  for (const [what, namespace] of [
    ['get secrets', places.environments],
    ['create pods --subresource=exec', places.environments],
    ['create pods', places.hub],
    ['get secrets', places.hub],
  ] as const) {
    t.is(await rights(what, namespace), 'no', `${what} in ${namespace}`)
  }
}

/** Over https and the facility's login, each user at a host name of their own, each request at the other replica. */
async function inABrowser(
  t: ExecutionContext,
  opened: Browser,
  url: string,
): Promise<Readonly<Record<string, string>>> {
  const answered = new Set<string>()
  const ada = await personBy(opened, url, 'ada', async (page) => {
    page.context().on('response', (response) => void answered.add(response.headers()['x-pod'] ?? ''))
    await page.getByRole('link', { name: 'Facility account' }).click()
  })
  const ids: Record<string, string> = {}
  for (const profile of ['lab', 'desk', 'shell', 'free']) ids[profile] = await ada.launch(profile, profile)

  const lab = await ada.open(ids['lab'] ?? '')
  t.is(new URL(lab.url()).hostname, hosts.users.replace('{user}', 'ada'))
  await lab.locator('.jp-LauncherCard[data-category=Notebook]').first().click({ timeout: 300_000 })
  await lab.getByText('| Idle').first().waitFor({ timeout: 300_000 })
  await lab.keyboard.type("print(6 * 7, open('/home/ada/result').read())")
  await lab.keyboard.press('Shift+Enter')
  await lab.getByText('42 mine').first().waitFor({ timeout: 300_000 })
  await picture(lab, 'kubernetes-notebook')

  const desk = await ada.open(ids['desk'] ?? '')
  await untilDrawn(desk, 20)
  await picture(desk, 'kubernetes-desktop')

  const shell = await ada.open(ids['shell'] ?? '')
  const screen = shell.locator('.xterm-rows').first()
  await screen.getByText('ada@').first().waitFor({ timeout: 300_000 })
  await shell.keyboard.type('id -un; id -u\n')
  await screen.getByText(String(account.uid)).first().waitFor({ timeout: 300_000 })
  await picture(shell, 'kubernetes-terminal')
  await ada.open(ids['free'] ?? '')
  answered.delete('')
  t.is(answered.size, 2, 'both replicas answered')
  return ids
}

/** With a plug-in that enforces policies: everything that is closed was open before, so that it is the policies' doing. */
async function isEnforced(
  t: ExecutionContext,
  cluster: Cluster,
  ids: Readonly<Record<string, string>>,
  addresses: Readonly<Record<string, string>>,
): Promise<void> {
  const plugin = networkPlugin()
  if (plugin === undefined) return t.log('not enforced: put kube-router (2.9 was tried) and ipset on the PATH')
  const address = async (namespace: string, name: string): Promise<string> =>
    await cluster.kubectl('get', 'pod', name, '-n', namespace, '-o', 'jsonpath={.status.podIP}')
  const hubs = await cluster.kubectl('get', 'pods', '-n', places.hub, '-o', 'jsonpath={.items[*].status.podIP}')
  const [hub = ''] = hubs.split(' ')
  const metadata = { name: 'stranger', namespace: 'default' }
  const containers = [{ name: 'main', image: baseImage, imagePullPolicy: 'Never', command: ['sleep', '3600'] }]
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { containers, terminationGracePeriodSeconds: 1 },
  })
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/stranger', '-n', 'default', '--timeout=280s')
  const targets: Record<string, Target> = {
    'the hub, for agents': { host: service, port: 7_444 },
    'the proxy': { host: hub, port: 8_000 },
    'metrics of the hub': { host: hub, port: 9_000 },
    'metrics of the proxy': { host: hub, port: 9_001 },
    'the API server': { host: '10.96.0.1', port: 443 },
    'the node': { host: cluster.gateway, port: cluster.apiPort },
    'another environment': { host: await address(places.environments, ids['desk'] ?? ''), port: 7_443 },
    'another pod': { host: await address('default', 'stranger'), port: 9 },
  }
  for (const [name, host] of Object.entries(addresses)) targets[name] = await listenAt(t, cluster, host)
  await cluster.kubectl('exec', '-n', 'default', 'stranger', '--', 'sh', '-c', listenInPod)

  const closed = { namespace: places.environments, pod: ids['shell'] ?? '' }
  const open = { namespace: places.environments, pod: ids['free'] ?? '' }
  const everything = Object.keys(targets)
  for (const from of [closed, open, { namespace: 'default', pod: 'stranger' }]) {
    t.deepEqual(await reaches(cluster, from, targets), everything, `${from.pod} before`)
  }
  await enforcePolicies(t, cluster, plugin)
  const outside = everything.filter((name) => !/metrics|another environment/.test(name))
  const rows = [
    [closed, ['the hub, for agents', 'world', 'licences']],
    [open, outside],
    [metadata, outside.filter((name) => name !== 'the hub, for agents')],
  ] as const
  for (const [from, wanted] of rows) {
    const place = 'pod' in from ? from : { namespace: from.namespace, pod: from.name }
    let found: readonly string[] = []
    // The plug-in makes its rules one after the other.
    const isSo = async (): Promise<boolean> => {
      found = await reaches(cluster, place, targets)
      return found.join() === wanted.join()
    }
    await until('policies are enforced', isSo, { timeoutMs: 120_000, everyMs: 500 }).catch(() => undefined)
    t.deepEqual(found, wanted, place.pod)
  }
}

const listenInPod =
  'nohup python3 -c \'import socket, time; s = socket.create_server(("", 9)); time.sleep(3600)\' >/dev/null 2>&1 &'

async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['HUTCH_SCREENSHOTS']
  if (folder === undefined) return
  await page.waitForTimeout(4_000)
  await page.screenshot({ path: join(folder, `${name}.png`) })
}

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
  t.false(one.some(({ kind }) => kind === 'Ingress'))
  const many = await render('--set', 'environments.namespace=users-{owner}', '--set', 'serviceMonitor=true')
  const kinds = new Set(many.map(({ kind }) => kind))
  for (const kind of ['ValidatingAdmissionPolicy', 'ServiceMonitor', 'ClusterRole']) t.true(kinds.has(kind), kind)
  t.false(kinds.has('Role'))
  t.like(configurationOf(many), { spawners: { cluster: { createNamespaces: true } } })
  for (const [wrong, words] of [
    ['publicUrl=', /publicUrl is missing/],
    ['database.host=', /database.host and database.passwordSecret are missing/],
    ['configuration.hub.id=not a label', /can't be a label's value/],
    ['replicas=2,database.type=sqlite', /more than one replica needs database.type postgresql/],
    ['ingress.enabled=true,publicUrl=https://10.1.2.3', /publicUrl must have a host name/],
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
