import test from 'ava'
import { spawnerContract } from '../../spawners/contract.ts'
import { startKubernetes } from '../support/kubernetes.ts'
import { clusterRows } from '../support/kubernetesClusterRows.ts'
import { faultRows } from '../support/kubernetesFaultRows.ts'
import { manyRights } from '../support/kubernetesRights.ts'
import { profileRows } from '../support/kubernetesProfileRows.ts'
import { runRow } from '../support/kubernetesRows.ts'
import { kubernetesSite, kubernetesSubject } from '../support/kubernetesSubject.ts'

/** As the hub's own account, with the rights that the chart gives it; then what clusters do to hubs. */
test('kubernetes: the whole contract on a real cluster', async (t) => {
  t.timeout(55 * 60_000, 'the first run builds the cluster')
  const cluster = await startKubernetes(t)
  if (cluster === undefined) return
  const site = await kubernetesSite(t, cluster)
  const subject = kubernetesSubject(site)
  const hub = 'hub-of-many'
  const kubeconfig = await manyRights(cluster, { namespace: site.namespace, hub, port: site.faults.port })
  const cases = [
    ...spawnerContract.map(({ title, alone, run }) => ({ title, alone, run: async () => await run(subject) })),
    ...[...clusterRows, ...profileRows, ...faultRows].map((row) => ({
      title: row.title,
      alone: row.alone === true,
      run: async () => await runRow(row, { site, many: { kubeconfig, hub } }),
    })),
  ]
  const failed: string[] = []
  const passes = async ({ title, run }: (typeof cases)[number]): Promise<void> => {
    await run().catch((error: unknown) => {
      t.log(title, error)
      failed.push(title)
    })
  }
  await Promise.all(cases.filter(({ alone }) => !alone).map(passes))
  for (const each of cases.filter(({ alone }) => alone)) await passes(each)
  t.deepEqual(failed, [])
  t.is(
    (await cluster.kubectl('get', 'secrets', '-l', 'hutch.dev/test!=yes', '-n', site.namespace, '-o', 'name')).trim(),
    '',
    'a secret is left',
  )
})
