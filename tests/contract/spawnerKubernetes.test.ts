import test from 'ava'
import { spawnerContract } from '../../spawners/contract.ts'
import { startKubernetes } from '../support/kubernetes.ts'
import { kubernetesSite, kubernetesSubject } from '../support/kubernetesSubject.ts'

/** As the hub's own account, with the rights of config/kubernetes/role.json. */
test('kubernetes: the whole contract on a real cluster', async (t) => {
  t.timeout(55 * 60_000, 'the first run builds the cluster')
  const cluster = await startKubernetes(t)
  if (cluster === undefined) return
  const site = await kubernetesSite(t, cluster)
  const subject = kubernetesSubject(site)
  const together = spawnerContract.filter(({ alone }) => !alone)
  const alone = spawnerContract.filter((each) => each.alone)
  const failed = await Promise.all(
    together.map(
      async ({ title, run }) =>
        await run(subject).then(
          () => [],
          (error: unknown) => [[title, error]],
        ),
    ),
  )
  for (const [title, error] of failed.flat()) t.fail(`${String(title)}: ${String(error)}`)
  for (const { title, run } of alone) await t.notThrowsAsync(run(subject), title)
  t.is((await cluster.kubectl('get', 'secrets', '-n', site.namespace, '-o', 'name')).trim(), '', 'a secret is left')
})
