/** The main job in a real cluster, and what goes wrong there: one bring-up for all. */
import test, { type ExecutionContext } from 'ava'
import { control } from '../support/control.ts'
import { openKernel } from '../support/kernel.ts'
import { startKubernetes } from '../support/kubernetes.ts'
import { people, startKubernetesHub, type KubernetesHub } from '../support/kubernetesHub.ts'
import { isOver, logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { runsAsUser } from '../support/runsAsUser.ts'
import { until } from '../support/until.ts'

/** For a machine that does much else: how long it takes is no question of this test. */
const patience = { timeoutMs: 300_000, everyMs: 200 }

test('a notebook as a pod of the user; what goes wrong is said in words; nothing is left', async (t) => {
  t.timeout(55 * 60_000, 'the first run builds the cluster')
  const cluster = await startKubernetes(t)
  if (cluster === undefined) return
  const hub = await startKubernetesHub(t, cluster)
  const ada = await logIn(hub, 'ada')
  await theUsersOwn(t, hub, ada)
  await inWords(t, hub, ada)
  await oldDatabase(t, hub, ada)
  await outages(t, hub, ada)
  // What a pod owned is collected a moment after it.
  await until(
    'nothing is left',
    async () => {
      return (await cluster.kubectl('get', 'pods,secrets', '-n', hub.site.namespace, '-o', 'name')).trim() === ''
    },
    patience,
  )
})

async function logIn(hub: KubernetesHub, name: string): Promise<Scientist> {
  const hutch = hub.hutch()
  return await logInAs(hutch.url, name, (await hutch.passwords())[name] ?? '')
}

async function theUsersOwn(t: ExecutionContext, hub: KubernetesHub, ada: Scientist): Promise<void> {
  const launched = await ada.launch({ profile: 'lab', flavour: 'small', proposals: ['42'] })
  await ada.enter(launched)
  const kernel = await openKernel(ada, launched)
  // One that was left would try to connect for ever, and the test would never end.
  t.teardown(() => kernel.dispose())
  const { uid, groups } = people.ada
  const [{ gid }] = groups
  await runsAsUser(t, kernel, {
    uid,
    gid,
    data: hub.data,
    more: {
      home: [`os.environ['HOME']`, `${hub.site.folder}/homes/ada`],
      token: [`os.path.exists('/var/run/secrets/kubernetes.io')`, false],
    },
  })
  const rosalind = await logIn(hub, 'rosalind')
  const refused = await rosalind.api('POST', '/environments', { profile: 'lab', flavour: 'small', proposals: ['42'] })
  t.is(refused.status, 403)

  // The hub dies while the kernel runs: the next one finds the pod, and the kernel goes on.
  await kernel.run('kept = 41')
  await hub.dieAndRestart(async () => await hub.keepDatabase('old'))
  t.is(await kernel.run('print(kept + 1)'), '42')
  await until('the next hub knows it', async () => (await ada.state(launched.id)) === 'ready', patience)
  kernel.dispose()
  await ada.api('POST', `/environments/${launched.id}/stop`)
  await isOver(ada, launched)
}

async function inWords(t: ExecutionContext, hub: KubernetesHub, ada: Scientist): Promise<void> {
  const rows = [
    ['greedy', 'tight', 'outOfMemory', /more memory/],
    ['lost', 'tight', 'launchRefused', /not on the machine, and may not be pulled/],
    ['rejected', 'tight', 'launchRefused', /spec\.dnsPolicy/],
    // What the kubelet says of it, as this machine's kernel has no NFS: what it was asked to mount was right.
    ['far', 'tight', 'launchRefused', /directory can't be mounted: .*-t nfs /],
    ['lab', 'vast', 'launchRefused', /No machine has room for it now: .*[Ii]nsufficient cpu/],
  ] as const
  const all = rows.map(async ([profile, flavour, reason, message]) => {
    const told = await isOver(ada, await ada.launch({ profile, flavour, proposals: ['42'] }))
    t.is(told.reason, reason, profile)
    t.regex(told.message ?? '', message)
  })
  await Promise.all(all)
  const claim = ['get', 'pvc', 'far-ada', '-n', hub.site.namespace, '-o', 'jsonpath={.status.phase} {.spec.volumeName}']
  t.is(await hub.site.cluster.kubectl(...claim), 'Bound far')
  const launched = await ada.launch({ profile: 'lab', flavour: 'small', proposals: [] })
  await ada.enter(launched)
  await hub.site.cluster.kubectl('delete', 'pod', launched.id, '-n', hub.site.namespace, '--grace-period=1')
  t.is((await isOver(ada, launched)).reason, 'vanished')
}

/** Law 4: a database from before the launches makes nobody's work an orphan that is taken away. */
async function oldDatabase(t: ExecutionContext, hub: KubernetesHub, ada: Scientist): Promise<void> {
  const launched: Launched[] = []
  for (let count = 0; count < 4; count += 1) launched.push(await ada.launch({ profile: 'shell', flavour: 'tight' }))
  const areReady = async (): Promise<void> => {
    for (const { id } of launched) {
      await until(`${id} is ready`, async () => (await ada.state(id)) === 'ready', patience)
    }
  }
  await areReady()
  await hub.dieAndRestart(async () => {
    await hub.keepDatabase('new')
    await hub.keepDatabase('old', 'back')
  })
  const shown = async (series: string): Promise<number> => {
    // A hub that has just started answers its login page before this socket.
    const text = await control(hub.hutch().state, 'control.sock', '/metrics').catch(() => '')
    return Number(new RegExp(`^${series}\\{spawner="cluster"\\} (.*)$`, 'm').exec(text)?.[1] ?? Number.NaN)
  }
  await until('there is an alarm', async () => (await shown('hutch_orphans')) === 4, patience)
  // A watch that says nothing for a hundred seconds is opened anew; bookmarks come about once a minute.
  t.true((await shown('hutch_watch_age_seconds')) < 120)
  const each = '{range .items[*]}{.status.phase}{.metadata.deletionTimestamp} {end}'
  const shownPods = await hub.site.cluster.kubectl('get', 'pods', '-n', hub.site.namespace, '-o', `jsonpath=${each}`)
  t.is(shownPods, 'Running Running Running Running ', 'none is being taken away')
  await hub.dieAndRestart(async () => await hub.keepDatabase('new', 'back'))
  await areReady()
  await until('nothing is an orphan', async () => !((await shown('hutch_orphans')) > 0), patience)
  for (const { id } of launched) await ada.api('POST', `/environments/${id}/stop`)
  for (const each of launched) await isOver(ada, each)
}

/** The API server is away: notebooks go on and nothing is lost; it takes nothing new until it is back. */
async function outages(t: ExecutionContext, hub: KubernetesHub, ada: Scientist): Promise<void> {
  const launched = await ada.launch({ profile: 'lab', flavour: 'small', proposals: ['42'] })
  await ada.enter(launched)
  const kernel = await openKernel(ada, launched)
  t.teardown(() => kernel.dispose())
  const heal = await hub.site.faults.cut()
  const elsewhere = await ada.launch({ profile: 'elsewhere', flavour: 'tight' })
  // How a backend is, is asked for at most every few seconds: until then a launch is accepted, and made afterwards.
  const again = { profile: 'lab', flavour: 'small', proposals: [] }
  const refused = await until(
    'it takes nothing new',
    async () => {
      const answer = await ada.api<{ detail?: string }>('POST', '/environments', again)
      return answer.status === 503 ? answer.body : undefined
    },
    patience,
  )
  t.regex(refused.detail ?? '', /The cluster does not answer/)
  t.is(await kernel.run('print(6 * 7)'), '42')
  t.is(await ada.state(launched.id), 'ready')
  await until('another cluster takes it', async () => (await ada.state(elsewhere.id)) === 'ready', patience)
  await heal()
  // More than one person may have at once is another refusal than that of a cluster that does not answer.
  await until('it is back', async () => (await ada.api('POST', '/environments', again)).status !== 503, patience)
  t.is(await ada.state(launched.id), 'ready')
  kernel.dispose()
  const { body } = await ada.api<{ items: readonly { id: string; state: string }[] }>('GET', '/environments')
  for (const { id, state } of body.items) {
    if (state === 'ended') continue
    await ada.api('POST', `/environments/${id}/stop`)
    await isOver(ada, { id })
  }
}
