/** What a cluster does to environments and to launches: one row for each. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { portOf } from './fakeAgents.ts'
import type { Asked } from './kubernetesFaults.ts'
import { userOf } from './kubernetesRights.ts'
import { deadline, isPodPost, patience, rejects, type Room, type Row } from './kubernetesRows.ts'
import type { KubernetesSite } from './kubernetesSubject.ts'
import { until } from './until.ts'

export const clusterRows: readonly Row[] = [
  {
    title: 'a pod that somebody deletes is gone; a drained node has evicted, and says so',
    async run(room) {
      const { cluster, namespace } = room.site
      const [deleted, drained] = [room.spec({ runs: true }), room.spec({ runs: true })]
      for (const spec of [deleted, drained]) await room.spawner.ensure(spec, deadline())
      for (const spec of [deleted, drained]) await room.sees(spec.id, 'running')
      const selector = `--pod-selector=hutch.dev/environment=${drained.id}`
      await Promise.all([
        cluster.kubectl('delete', 'pod', deleted.id, '-n', namespace, '--grace-period=1'),
        cluster.kubectl('drain', 'node1', selector, '--force', '--delete-emptydir-data', '--grace-period=1'),
      ])
      await cluster.kubectl('uncordon', 'node1')
      await until('it is gone', async () => !(await room.observe()).has(deleted.id), patience)
      const ended = await room.sees(drained.id, 'ended')
      assert.equal(ended.reason, 'evicted')
      assert.match(ended.message, /being emptied, for maintenance/)
    },
  },
  {
    title: 'a webhook that refuses is heard in its own words, one that does not answer is waited for',
    async run(room) {
      const { cluster } = room.site
      const hook = await openWebhook(room)
      const refused = /A rule of the cluster refuses it: .*no images from there/
      await rejects(room.spawner.ensure(room.spec(), deadline()), refused).finally(() => {
        hook.server.close()
        hook.server.closeAllConnections()
      })
      const spec = room.spec()
      await rejects(room.spawner.ensure(spec, deadline()))
      await cluster.kubectl('delete', 'validatingwebhookconfiguration', hook.name)
      await until(
        'it is forgotten',
        () =>
          room.spawner.ensure(spec, deadline()).then(
            () => true,
            () => false,
          ),
        patience,
      )
      assert.deepEqual([...(await room.observe()).keys()], [spec.id])
    },
  },
  {
    title: 'a namespace for each user: made with its policies, confined to the hub’s own; nothing is left in it',
    config: ({ many }) => ofUsers(many.kubeconfig),
    async run(room) {
      const { site, many, spawner } = room
      const { kubectl } = site.cluster
      const limits = { ownerLimits: { cpu: 4, environments: 2 } }
      const spec = { ...room.spec({ runs: true, owner: 'ada.l' }), ...limits }
      await spawner.ensure(spec, deadline())
      await room.sees(spec.id, 'running')
      const [namespace = ''] = await namesOf(kubectl, ['namespaces', '-l', `hutch.dev/hub=${many.hub}`])
      assert.match(namespace, /^users-ada-l-[0-9a-f]{8}$/)
      assert.deepEqual(await namesOf(kubectl, ['networkpolicies', '-n', namespace]), [
        'hutch-environments',
        'hutch-open-environments',
      ])
      const hard = async () =>
        JSON.parse(
          await kubectl('get', 'resourcequota', 'hutch', '-n', namespace, '-o', 'jsonpath={.spec.hard}'),
        ) as object
      assert.deepEqual(await hard(), { 'limits.cpu': '4', pods: '2' })
      assert.match((await spawner.logs?.(spec.id, deadline())) ?? '', /./)
      await spawner.limitOwner?.({ ...spec, ownerLimits: { cpu: 6 } }, deadline())
      assert.deepEqual(await hard(), { 'limits.cpu': '6' }, 'as an administrator has them since')
      const away = [
        'create',
        'secret',
        'generic',
        'x',
        '-n',
        'kube-system',
        '--as',
        userOf({ namespace: site.namespace, name: 'hutch-many' }),
      ]
      await assert.rejects(kubectl(...away), /may touch only namespaces that carry its label/)
      // A launch that another process was cut off from: its secret has no pod that it would go with.
      const lone = { ...room.spec({ owner: 'ada.l' }), ownerLimits: { cpu: 8 } }
      const isTheirs = (asked: Asked): boolean => isPodPost(asked) && asked.path.includes(`/${namespace}/`)
      site.faults.inject(isTheirs, { does: 'answer', status: 500 }, 1)
      await rejects((await room.open()).ensure(lone, deadline()))
      assert.deepEqual(await hard(), { 'limits.cpu': '8' }, 'as they are now')
      await spawner.remove(lone.id, deadline())
      await spawner.remove(spec.id, deadline())
      const left = async () => await namesOf(kubectl, ['pods,secrets', '-n', namespace])
      await until('nothing is left', async () => (await left()).length === 0, patience)
    },
  },
  {
    title: 'a namespace that is missing, somebody else’s or being deleted is refused in words',
    config: ({ many }) => ofUsers(many.kubeconfig),
    async run(room) {
      const { kubectl, apply } = room.site.cluster
      const refused = async (owner: string, words: RegExp, config: object = {}): Promise<void> =>
        await rejects((await room.open(config)).ensure(room.spec({ owner }), deadline()), words)
      await refused('nobody', /place where it would run is not there/, { createNamespaces: false })
      await kubectl('create', 'namespace', 'users-bob')
      await refused('bob', /users-bob is somebody else's/)
      await kubectl('label', 'namespace', 'users-bob', `hutch.dev/hub=${room.hub}`)
      const metadata = { name: 'kept', namespace: 'users-bob', finalizers: ['hutch.dev/test'] }
      await apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata })
      await kubectl('delete', 'namespace', 'users-bob', '--wait=false')
      await refused('bob', /removing the place where it would run/)
      await kubectl(
        'patch',
        'configmap',
        'kept',
        '-n',
        'users-bob',
        '--type=merge',
        '-p',
        '{"metadata":{"finalizers":null}}',
      )
    },
  },
]

const ofUsers = (kubeconfig: string): object => ({
  kubeconfig,
  namespace: 'users-{owner}',
  createNamespaces: true,
  podSecurity: 'privileged',
})

async function namesOf(
  kubectl: KubernetesSite['cluster']['kubectl'],
  args: readonly string[],
): Promise<readonly string[]> {
  const names = (await kubectl('get', ...args, '-o', 'name')).trim().split('\n')
  return names.filter((name) => name !== '').map((name) => name.slice(name.indexOf('/') + 1))
}

/** One that says no to this hub's pods. */
async function openWebhook({ site, hub }: Room): Promise<{ name: string; server: ReturnType<typeof createServer> }> {
  const pki = async (name: string): Promise<Buffer> => await readFile(join(site.cluster.folder, 'pki', name))
  const refuse = async (request: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const { uid } = ((await json(request)) as { request: { uid: string } }).request
    const response = { uid, allowed: false, status: { message: 'no images from there' } }
    answer.setHeader('content-type', 'application/json')
    answer.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }))
  }
  const keys = { cert: await pki('apiserver.crt'), key: await pki('apiserver.key') }
  const server = createServer(keys, (request, answer) => void refuse(request, answer))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const name = `${hub}.hutch.dev`
  await site.cluster.apply({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: `${hub}.hutch.dev` },
    webhooks: [
      {
        name: `pods.${name}`,
        clientConfig: {
          url: `https://127.0.0.1:${portOf(server)}/`,
          caBundle: (await pki('ca.crt')).toString('base64'),
        },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        objectSelector: { matchLabels: { 'hutch.dev/hub': hub } },
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
      },
    ],
  })
  return { name, server }
}
