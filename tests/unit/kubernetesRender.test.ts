import test from 'ava'
import { assert as holds, object as anyObject, property, string } from 'fast-check'
import { configSchema } from '../../spawners/kubernetes/config.ts'
import { policyOf, type GroupsPolicy } from '../../spawners/kubernetes/groups-policy.ts'
import kubernetes from '../../spawners/kubernetes/index.ts'
import { merge } from '../../spawners/kubernetes/merge.ts'
import { dnsName, labelValue, namespaceOf } from '../../spawners/kubernetes/names.ts'
import { networkPolicies } from '../../spawners/kubernetes/network.ts'
import { profileSchema, type KubernetesProfile } from '../../spawners/kubernetes/profile.ts'
import { renderQuota } from '../../spawners/kubernetes/quota.ts'
import { renderPod, renderSecret, type RenderConfig } from '../../spawners/kubernetes/render.ts'
import { claimsOf } from '../../spawners/kubernetes/volumes.ts'
import { LaunchRefused, type EnvironmentSpec } from '../../spawners/spawner.ts'
import { contractSpec, spawnerContext } from '../support/spawnerSubject.ts'

const config = (part: object = {}, supplementalGroupsPolicy: GroupsPolicy = 'Merge'): RenderConfig => ({
  ...configSchema.parse({ agent: { from: 'node', path: '/opt/hutch' }, hostPathRoots: ['/srv'], ...part }),
  supplementalGroupsPolicy,
})

function spec(
  profile: object = {},
  part: Partial<EnvironmentSpec<KubernetesProfile>> = {},
): EnvironmentSpec<KubernetesProfile> {
  return contractSpec('hub', 'e1' as EnvironmentSpec['id'], profileSchema.parse(profile), {
    image: 'notebook:1',
    account: {
      name: 'alice',
      uid: 12_001,
      gid: 12_001,
      groups: [
        { name: 'p42', gid: 30_042 },
        { name: 'alice', gid: 12_001 },
      ],
      home: '/home/alice',
      shell: '/bin/bash',
    },
    mounts: [
      {
        name: 'raw',
        source: { kind: 'nfs', server: 'nfs.example', path: '/p/42/raw' },
        target: '/data/42/raw',
        readOnly: true,
      },
      { name: 'home', source: { kind: 'host', path: '/srv/home/alice' }, target: '/home/alice', readOnly: false },
    ],
    resources: { cpu: 1.5, memoryBytes: 2 ** 30, gpus: 2 },
    variables: { HOME: '/elsewhere', MODE: 'x' },
    ...part,
  })
}

test('a pod runs as the user: numbers, groups, nothing to gain', (t) => {
  const pod = renderPod(spec(), config({}, 'Strict'))
  t.like(pod.spec?.securityContext, {
    runAsUser: 12_001,
    runAsGroup: 12_001,
    runAsNonRoot: true,
    supplementalGroups: [30_042],
    supplementalGroupsPolicy: 'Strict',
    seccompProfile: { type: 'RuntimeDefault' },
  })
  t.is(pod.spec?.securityContext?.fsGroup, undefined)
  t.is(pod.spec?.automountServiceAccountToken, false)
  for (const container of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
    t.like(container.securityContext, {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
    })
  }
})

test('each NFS directory is a volume of its own, read-only where it is; no subPath into it', (t) => {
  const pod = renderPod(spec(), config())
  const volume = pod.spec?.volumes?.find(({ nfs }) => nfs !== undefined)
  t.deepEqual(volume?.nfs, { server: 'nfs.example', path: '/p/42/raw', readOnly: true })
  const mount = pod.spec?.containers[0]?.volumeMounts?.find(({ name }) => name === volume?.name)
  t.like(mount, { mountPath: '/data/42/raw', readOnly: true })
  t.is(mount?.subPath, undefined)
})

test('a home of kind host is an NFS volume below an export, a claim where homes are claims', (t) => {
  const homeOf = (part: object) => {
    const pod = renderPod(spec(), config({ hostPathRoots: [], ...part }))
    const mount = pod.spec?.containers[0]?.volumeMounts?.find(({ mountPath }) => mountPath === '/home/alice')
    return [pod.spec?.volumes?.find(({ name }) => name === mount?.name), pod.spec?.securityContext?.fsGroup] as const
  }
  const exports = { '/srv': 'nfs.example:/far', '/srv/home': 'nfs.example:/export/home' }
  const [volume, group] = homeOf({ exports })
  t.deepEqual(volume?.nfs, { server: 'nfs.example', path: '/export/home/alice', readOnly: false })
  t.is(group, undefined)
  const [claim, fsGroup] = homeOf({ homeClaim: { size: '1Gi' } })
  t.deepEqual(claim?.persistentVolumeClaim, { claimName: 'home-alice' })
  t.is(fsGroup, 12_001)
  t.like(claimsOf(spec(), config({ homeClaim: { size: '1Gi' } })), [{ metadata: { name: 'home-alice' } }])
})

test('limits, guarantees and devices', (t) => {
  const profile = {
    cpuGuarantee: 0.5,
    memoryGuarantee: 0.25,
    ephemeralStorage: '20Gi',
    gpuResource: 'nvidia.com/mig-1g.5gb',
    extendedResources: { 'example.org/licence': 1 },
  }
  t.deepEqual(renderPod(spec(profile), config()).spec?.containers[0]?.resources, {
    requests: { cpu: '750m', memory: '268435456', 'nvidia.com/mig-1g.5gb': '2', 'example.org/licence': '1' },
    limits: {
      cpu: '1500m',
      memory: '1073741824',
      'nvidia.com/mig-1g.5gb': '2',
      'example.org/licence': '1',
      'ephemeral-storage': '20Gi',
    },
  })
})

test('HOME is the account’s whatever the profile says; no secret is in the pod', (t) => {
  const { bootstrap } = spawnerContext({ hub: 'hub' })
  const pod = renderPod(spec(), config())
  const values = new Map(pod.spec?.containers[0]?.env?.map(({ name, value }) => [name, value]))
  t.is(values.get('HOME'), '/home/alice')
  t.is(values.get('MODE'), 'x')
  t.false(JSON.stringify(pod).includes(bootstrap(spec()).key))
  const secret = renderSecret(spec(), bootstrap(spec()))
  const file = (name: string) => Buffer.from(secret.data?.[name] ?? '', 'base64').toString()
  t.true(file('bootstrap.json').includes(bootstrap(spec()).key))
  t.regex(file('passwd'), /^alice:x:12001:12001::\/home\/alice:\/bin\/bash$/m)
  t.regex(file('group'), /^p42:x:30042:alice$/m)
})

const refusals: readonly (readonly [string, () => unknown, RegExp])[] = [
  ['uid 0', () => renderPod(spec({}, { account: { ...spec().account, uid: 0 } }), config()), /superuser/],
  [
    'no image',
    () => {
      const { image: _, ...rest } = spec()
      return renderPod(rest, config())
    },
    /names no image/,
  ],
  ['a variable that is none', () => renderPod(spec({}, { variables: { 'A;B': 'x' } }), config()), /name of a variable/],
  [
    'a directory of the node outside of the roots',
    () => renderPod(spec(), config({ hostPathRoots: ['/data'] })),
    /\/srv\/home\/alice is below none/,
  ],
  [
    'a place of the node outside of the roots, by a profile',
    () => {
      const volumes = [{ target: '/socket', from: { type: 'hostPath', path: '/run/containerd.sock', is: 'Socket' } }]
      return renderPod(spec({ volumes }), config())
    },
    /"\/socket" can't be there: \/run\/containerd\.sock is below none/,
  ],
  [
    'a patch to another uid',
    () => renderPod(spec({ patch: { spec: { securityContext: { runAsUser: 5 } } } }), config()),
    /somebody else/,
  ],
  [
    'a patch to another uid in the container',
    () =>
      renderPod(
        spec({ patch: { spec: { containers: [{ name: 'environment', securityContext: { runAsUser: 0 } }] } } }),
        config(),
      ),
    /somebody else/,
  ],
  [
    'a patch to a privileged container',
    () =>
      renderPod(
        spec({ patch: { spec: { containers: [{ name: 'environment', securityContext: { privileged: true } }] } } }),
        config(),
      ),
    /somebody else/,
  ],
  [
    'a patch of the groups',
    () => renderPod(spec({ patch: { spec: { securityContext: { supplementalGroups: null } } } }), config()),
    /somebody else/,
  ],
  [
    'a patch of what it may reach',
    () => renderPod(spec({ patch: { metadata: { labels: { 'hutch.dev/network': 'open' } } } }), config()),
    /what it may reach/,
  ],
  ['a patch of the name', () => renderPod(spec({ patch: { metadata: { name: 'other' } } }), config()), /somebody else/],
  [
    'a patch of whose it is',
    () => renderPod(spec({ patch: { metadata: { labels: { 'hutch.dev/hub': 'x' } } } }), config()),
    /somebody else/,
  ],
]

for (const [title, render, message] of refusals) {
  test(`refused: ${title}`, (t) => {
    t.regex(t.throws(render, { instanceOf: LaunchRefused })?.message ?? '', message)
  })
}

test('a profile’s volumes: each as Kubernetes writes it, in its place', (t) => {
  const asked = { storageClass: 'fast', size: '5Gi', selector: { matchLabels: { tier: 'a' } }, labels: { of: 'lab' } }
  const claim = {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '5Gi' } },
    storageClassName: 'fast',
    selector: { matchLabels: { tier: 'a' } },
  }
  const rows = [
    [{ type: 'emptyDir', size: '1Gi', medium: 'Memory' }, { emptyDir: { medium: 'Memory', sizeLimit: '1Gi' } }],
    [{ type: 'claim', name: 'data-{owner}' }, { persistentVolumeClaim: { claimName: 'data-alice' } }],
    [{ type: 'newClaim', name: 'new-{owner}', ...asked }, { persistentVolumeClaim: { claimName: 'new-alice' } }],
    [
      { type: 'ephemeral', ...asked },
      { ephemeral: { volumeClaimTemplate: { metadata: { labels: { of: 'lab' } }, spec: claim } } },
    ],
    [{ type: 'hostPath', path: '/srv/data' }, { hostPath: { path: '/srv/data', type: 'Directory' } }],
    [{ type: 'nfs', server: 'n', path: '/p' }, { nfs: { server: 'n', path: '/p' } }],
    [{ type: 'csi', csi: { driver: 'x' } }, { csi: { driver: 'x' } }],
    [{ type: 'projected', projected: { sources: [] } }, { projected: { sources: [] } }],
    [{ type: 'configMap', name: 'c' }, { configMap: { name: 'c' } }],
    [{ type: 'secret', name: 's' }, { secret: { secretName: 's' } }],
  ] as const
  const volumes = rows.map(([from], index) => ({ target: `/more/${index}`, readOnly: index % 2 === 0, from }))
  const made = spec({ volumes })
  const pod = renderPod(made, config())
  for (const [index, [{ type }, wanted]] of rows.entries()) {
    const mount = pod.spec?.containers[0]?.volumeMounts?.find(({ mountPath }) => mountPath === `/more/${index}`)
    t.is(mount?.readOnly, index % 2 === 0, type)
    const { name: _, ...volume } = pod.spec?.volumes?.find(({ name }) => name === mount?.name) ?? { name: '' }
    t.deepEqual(volume, wanted as object, type)
  }
  const metadata = { name: 'new-alice', labels: { of: 'lab' } }
  t.deepEqual(claimsOf(made, config()), [{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: claim }])
})

const choosing = {
  nodeSelector: { zone: 'a' },
  tolerations: [{ key: 'x', operator: 'Exists' }],
  choices: {
    software: {
      title: 'Software',
      values: [
        { value: '2026', title: 'This year’s' },
        { value: '2025', image: 'notebook:0' },
      ],
    },
    gpu: {
      title: 'GPU',
      values: [
        { value: 'none' },
        {
          value: 'a100',
          gpus: 1,
          time: '2h',
          with: { nodeSelector: { gpu: 'a100' }, gpuResource: 'nvidia.com/mig-1g.5gb' },
        },
      ],
    },
  },
}

test('what a profile leaves to its users: offered by name, merged over it', (t) => {
  const { of, choose } = kubernetes.launchOptions ?? t.fail('there are none') ?? {}
  const profile = profileSchema.parse(choosing)
  t.deepEqual(of?.(profile), [
    {
      name: 'software',
      title: 'Software',
      values: [
        { value: '2026', title: 'This year’s' },
        { value: '2025', title: '2025' },
      ],
    },
    {
      name: 'gpu',
      title: 'GPU',
      values: [
        { value: 'none', title: 'none' },
        { value: 'a100', title: 'a100' },
      ],
    },
  ])
  const { choices: _, ...own } = choosing
  t.deepEqual(choose?.(profile, { software: '2026', gpu: 'none' }), { profile: profileSchema.parse(own) })
  t.deepEqual(choose?.(profile, { software: '2025', gpu: 'a100' }), {
    profile: profileSchema.parse({
      ...own,
      nodeSelector: { zone: 'a', gpu: 'a100' },
      gpuResource: 'nvidia.com/mig-1g.5gb',
    }),
    image: 'notebook:0',
    gpus: 1,
    walltimeMs: 7_200_000,
  })
})

test('a choice that would make the profile none is told where it stands', (t) => {
  const told = (part: object): unknown => {
    const choices = { gpu: { title: 'GPU', values: [{ value: 'a', with: part }] } }
    return profileSchema.safeParse({ choices }).error?.issues.map(({ path, message }) => [path.join('.'), message])
  }
  t.is(told({ stopGrace: 3 }), undefined)
  t.regex(JSON.stringify(told({ stopGrace: 'long' })), /choices\.gpu\.values\.0\.with\.stopGrace/)
  t.regex(JSON.stringify(told({ nodeselector: {} })), /choices\.gpu\.values\.0\.with.*nodeselector/)
  t.regex(JSON.stringify(told({ choices: {} })), /choices of its own/)
})

test('the escape hatch: lists of named things merge by name, null removes', (t) => {
  const patch = {
    spec: {
      hostname: 'beamline',
      terminationGracePeriodSeconds: null,
      containers: [
        {
          name: 'environment',
          env: [{ name: 'MODE', value: 'y' }],
          volumeMounts: [{ name: 'tmp', mountPath: '/scratch' }],
        },
      ],
    },
  }
  const pod = renderPod(spec({ patch }), config())
  t.is(pod.spec?.hostname, 'beamline')
  t.is(pod.spec?.terminationGracePeriodSeconds, undefined)
  const [container] = pod.spec?.containers ?? []
  t.is(container?.image, 'notebook:1')
  t.is(container?.env?.find(({ name }) => name === 'MODE')?.value, 'y')
  t.deepEqual(
    container?.volumeMounts?.filter(({ name }) => name === 'tmp').map(({ mountPath }) => mountPath),
    ['/tmp', '/scratch'],
  )
})

test('merge: an empty patch changes nothing, and merging twice is merging once', (t) => {
  const object = anyObject({ maxDepth: 3, withNullPrototype: false })
  const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)
  t.notThrows(() => holds(property(object, (base) => same(merge(base, {}), base))))
  t.notThrows(() =>
    holds(
      property(object, object, (base, patch) => {
        const once = merge(base, patch)
        return same(merge(once, patch), once)
      }),
    ),
  )
})

test('names of anybody become names of the cluster, and stay different', (t) => {
  holds(
    property(string({ minLength: 1, maxLength: 200 }), (text) => {
      return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(dnsName(text)) && labelValue(text).length <= 63
    }),
  )
  t.not(dnsName('a.b'), dnsName('a-b'))
  t.is(namespaceOf('hutch-{owner}', spec()), 'hutch-alice')
  t.is(namespaceOf('hutch-{gid}', spec()), 'hutch-12001')
})

const report = { host: '10.9.0.1', port: 9 }

test('the network policies let in only who is named, and out everywhere but to private addresses', (t) => {
  const named = config({ proxySelector: { addresses: ['10.9.0.1/32'] }, reachable: ['10.1.2.3/32'] })
  const [closed, open] = networkPolicies('hub', named, report) as readonly { spec: Record<string, unknown> }[]
  const ours = { 'hutch.dev/hub': 'hub', 'app.kubernetes.io/name': 'hutch-environment' }
  t.like(closed?.spec, {
    podSelector: { matchLabels: ours },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ ipBlock: { cidr: '10.9.0.1/32' } }], ports: [{ port: 7_443, protocol: 'TCP' }] }],
  })
  const [names, hub, world] = (closed?.spec['egress'] ?? []) as readonly object[]
  t.like(names, { ports: [{ port: 53 }, { port: 53 }] })
  t.deepEqual(hub, { to: [{ ipBlock: { cidr: '10.9.0.1/32' } }], ports: [{ port: 9, protocol: 'TCP' }] })
  t.regex(JSON.stringify(world), /"0\.0\.0\.0\/0".*"10\.0\.0\.0\/8".*"fc00::\/7".*"cidr":"10\.1\.2\.3\/32"/)
  t.deepEqual(open?.spec, {
    podSelector: { matchLabels: { ...ours, 'hutch.dev/network': 'open' } },
    policyTypes: ['Egress'],
    egress: [{}],
  })
})

test('nobody named is nobody let in: an empty list of peers would be everybody', (t) => {
  const [closed] = networkPolicies('hub', config(), { host: 'hub.example', port: 9 })
  t.like(closed, { spec: { ingress: [] } })
  t.is((closed as { spec: { egress: object[] } }).spec.egress.length, 2)
  t.throws(() => config({ createNamespaces: true }), { message: /who hub and proxy are/ })
})

test('a user who is called like a namespace of the cluster gets another one', (t) => {
  t.throws(() => config({ namespace: '{owner}' }), { message: /must begin with a word/ })
})

test('groups: strictly the account’s where every node can', (t) => {
  const node = (can?: boolean) => ({
    status: { features: can === undefined ? null : { supplementalGroupsPolicy: can } },
  })
  t.is(policyOf([node(true), node(true)]), 'Strict')
  for (const nodes of [[], [node()], [node(true), node(false)], [node(true), node()]]) t.is(policyOf(nodes), 'Merge')
})

test('the agent: an image without a shell will do; each way in is a volume', (t) => {
  for (const agent of [
    { from: 'node', path: '/opt/hutch' },
    { from: 'imageVolume', image: 'agent:1' },
    { from: 'copy', image: 'agent:1' },
  ]) {
    const pod = renderPod(spec(), config({ agent }))
    const command = pod.spec?.containers[0]?.command ?? []
    t.regex(command[0] ?? '', /\/lib\/ld-linux-x86-64\.so\.2$/)
    t.false(command.includes('/bin/sh'))
    t.is(pod.spec?.initContainers?.length, agent.from === 'copy' ? 1 : 0)
  }
})

test('the limits of a user as the quota of their namespace', (t) => {
  t.is(renderQuota('h', {}, 'nvidia.com/gpu'), undefined)
  const quota = renderQuota('h', { cpu: 2.5, memoryBytes: 2 ** 33, environments: 3 }, 'nvidia.com/gpu')
  t.like(quota, { kind: 'ResourceQuota', metadata: { name: 'hutch', labels: { 'hutch.dev/hub': 'h' } } })
  t.deepEqual((quota as { spec: { hard: object } }).spec.hard, {
    'limits.cpu': '2500m',
    'limits.memory': '8589934592',
    'requests.nvidia.com/gpu': null,
    pods: '3',
  })
})
