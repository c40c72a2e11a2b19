/** What profiles ask of a cluster, taken by a real one; and what quotas and lost nodes do to launches. */
import assert from 'node:assert/strict'
import { profileSchema } from '../../spawners/kubernetes/profile.ts'
import { baseImage, type Cluster } from './kubernetes.ts'
import { deadline, patience, rejects, type Row } from './kubernetesRows.ts'
import { until } from './until.ts'

const container = (name: string, line: string): object => ({
  name,
  image: baseImage,
  imagePullPolicy: 'Never',
  command: ['sh', '-c', line],
})

const everything = {
  imagePullPolicy: 'Never',
  imagePullSecrets: ['registry'],
  serviceAccount: 'default',
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  tolerations: [{ key: 'beamtime', operator: 'Exists' }],
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/arch', operator: 'Exists' }] }],
      },
    },
  },
  topologySpread: [
    {
      maxSkew: 1,
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'ScheduleAnyway',
      labelSelector: { matchLabels: { of: 'optics' } },
    },
  ],
  priorityClass: 'hutch-high',
  runtimeClass: 'hutch-runc',
  schedulerName: 'default-scheduler',
  cpuGuarantee: 0.5,
  memoryGuarantee: 0.5,
  ephemeralStorage: '1Gi',
  gpuResource: 'nvidia.com/mig-1g.5gb',
  extendedResources: { 'example.org/licence': 2 },
  sharedMemory: '64Mi',
  temporary: '1Gi',
  initContainers: [{ ...container('first', 'echo made > /shared/first'), volumeMounts: shared('/shared') }],
  sidecars: [{ ...container('beside', 'exec sleep 3600'), volumeMounts: shared('/shared') }],
  lifecycle: { postStart: { exec: { command: ['sh', '-c', 'cat /shared/first /dev/null > /tmp/told'] } } },
  labels: { of: 'optics' },
  annotations: { 'example.org/why': 'a beamtime' },
  stopGrace: 1,
  volumes: [
    { target: '/shared', from: { type: 'emptyDir', size: '1Mi' } },
    { target: '/settings', readOnly: true, from: { type: 'configMap', name: 'settings' } },
    { target: '/licence', readOnly: true, from: { type: 'secret', name: 'registry' } },
    {
      target: '/both',
      readOnly: true,
      from: { type: 'projected', projected: { sources: [{ configMap: { name: 'settings' } }] } },
    },
  ],
  patch: { spec: { hostname: 'beamline' } },
}

/** The first volume of the profile itself. */
function shared(mountPath: string): readonly object[] {
  return [{ name: 'volume-0', mountPath }]
}

export const profileRows: readonly Row[] = [
  {
    title: 'everything that a profile may ask for is what the cluster then has, and it runs',
    async run(room) {
      const { cluster, namespace } = room.site
      await hasWhatProfilesName(cluster, namespace)
      const [profile, resources] = [profileSchema.parse(everything), { cpu: 0.2, memoryBytes: 2 ** 28, gpus: 1 }]
      const spec = room.spec({ runs: true, profile, resources })
      await room.spawner.ensure(spec, deadline())
      await room.sees(spec.id, 'running')
      const pod = JSON.parse(await cluster.kubectl('get', 'pod', spec.id, '-n', namespace, '-o', 'json')) as Pod
      const { spec: made, metadata } = pod
      const whole = { 'nvidia.com/mig-1g.5gb': '1', 'example.org/licence': '2' }
      assert.deepEqual(made.containers[0]?.resources, {
        requests: { cpu: '100m', memory: String(2 ** 27), 'ephemeral-storage': '1Gi', ...whole },
        limits: { cpu: '200m', memory: String(2 ** 28), 'ephemeral-storage': '1Gi', ...whole },
      })
      assert.partialDeepStrictEqual(made, {
        imagePullSecrets: [{ name: 'registry' }],
        serviceAccountName: 'default',
        automountServiceAccountToken: false,
        nodeSelector: everything.nodeSelector,
        affinity: everything.affinity,
        topologySpreadConstraints: everything.topologySpread,
        priorityClassName: 'hutch-high',
        priority: 7,
        runtimeClassName: 'hutch-runc',
        schedulerName: 'default-scheduler',
        hostname: 'beamline',
        terminationGracePeriodSeconds: 1,
      })
      assert.ok(made.tolerations.some(({ key }) => key === 'beamtime'))
      assert.equal(metadata.labels['of'], 'optics')
      assert.equal(metadata.annotations['example.org/why'], 'a beamtime')
      const inside = 'cat /shared/first /settings/mode /both/mode /licence/key; hostname; df /dev/shm | tail -1; id -u'
      const said = await cluster.kubectl('exec', spec.id, '-n', namespace, '-c', 'beside', '--', 'cat', '/shared/first')
      assert.equal(said, 'made\n')
      const seen = await cluster.kubectl(
        'exec',
        spec.id,
        '-n',
        namespace,
        '-c',
        'environment',
        '--',
        'sh',
        '-c',
        inside,
      )
      assert.match(seen, /^made\nfastfast42beamline\n(shm|tmpfs) +65536 .*\n12001\n$/)
    },
  },
  {
    title: 'a quota that is exceeded is said in words at once',
    async run(room) {
      const { cluster, namespace } = room.site
      await cluster.apply(priorityClass('hutch-full', 3))
      const matchExpressions = [{ scopeName: 'PriorityClass', operator: 'In', values: ['hutch-full'] }]
      await cluster.apply({
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'full', namespace },
        spec: { hard: { pods: '0' }, scopeSelector: { matchExpressions } },
      })
      const isKnown = async (): Promise<boolean> =>
        (await cluster.kubectl(
          'get',
          'resourcequota',
          'full',
          '-n',
          namespace,
          '-o',
          'jsonpath={.status.hard.pods}',
        )) === '0'
      await until('the quota is known', isKnown, patience)
      const profile = profileSchema.parse({ priorityClass: 'hutch-full' })
      await rejects(room.spawner.ensure(room.spec({ runs: true, profile }), deadline()), /quota/)
    },
  },
  {
    title: 'a node that is lost with its pod has lost it, and says so',
    async run(room) {
      const { cluster } = room.site
      const node = `lost-${room.hub}`
      const taint = { key: 'hutch.dev/test', value: 'yes', effect: 'NoSchedule' }
      await cluster.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: node }, spec: { taints: [taint] } })
      try {
        // It stands for a kubelet that is not heard any more: none ever was.
        const patch = { spec: { nodeName: node } }
        const tolerations = [{ key: taint.key, operator: 'Exists', effect: 'NoSchedule' }]
        const spec = room.spec({ runs: true, profile: profileSchema.parse({ patch, tolerations }) })
        await room.spawner.ensure(spec, deadline())
        await room.sees(spec.id, 'pending')
        await cluster.kubectl('taint', 'node', node, 'node.kubernetes.io/out-of-service=nodeshutdown:NoExecute')
        const ended = await room.sees(spec.id, 'ended')
        assert.equal(ended.reason, 'nodeLost')
        assert.match(ended.message, /machine that it ran on was lost/)
      } finally {
        await cluster.kubectl('delete', 'node', node)
      }
    },
  },
]

interface Pod {
  readonly metadata: Readonly<{ labels: Record<string, string>; annotations: Record<string, string> }>
  readonly spec: Readonly<{
    containers: readonly Readonly<{ resources: object }>[]
    tolerations: readonly Readonly<{ key?: string }>[]
  }>
}

async function hasWhatProfilesName({ apply, kubectl }: Cluster, namespace: string): Promise<void> {
  await apply(priorityClass('hutch-high', 7))
  await apply({
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    metadata: { name: 'hutch-runc' },
    handler: 'runc',
  })
  await apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'settings', namespace },
    data: { mode: 'fast' },
  })
  const labels = { 'hutch.dev/test': 'yes' }
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'registry', namespace, labels } }
  await apply({ ...secret, stringData: { key: '42' } })
  const devices = ['nvidia.com~1mig-1g.5gb', 'example.org~1licence'].map((name) => {
    return { op: 'add', path: `/status/capacity/${name}`, value: '2' }
  })
  await kubectl('patch', 'node', 'node1', '--subresource=status', '--type=json', '-p', JSON.stringify(devices))
}

function priorityClass(name: string, value: number): object {
  return {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name },
    value,
    preemptionPolicy: 'Never',
  }
}
