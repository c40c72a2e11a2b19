/** What is wanted → what the cluster is asked for. Pure: effects are in create.ts. */
import type { V1Container, V1Pod, V1PodSpec, V1Secret, V1SecurityContext } from '@kubernetes/client-node'
import type { AgentBootstrap } from '../../images/agent/bootstrap.ts'
import { groupFile, passwdFile } from '../common/accountFiles.ts'
import { checkAccount } from '../common/checkAccount.ts'
import { checkApplication } from '../common/checkApplication.ts'
import { checkVariables } from '../common/checkVariables.ts'
import { environmentVariables } from '../common/environmentVariables.ts'
import { LaunchRefused, type Account, type EnvironmentSpec, type Resources } from '../spawner.ts'
import { agentInPod, agentVolume, bootstrapFile, type AgentInPod } from './agent.ts'
import type { KubernetesConfig } from './config.ts'
import type { GroupsPolicy } from './groups-policy.ts'
import { merge } from './merge.ts'
import { annotation, environmentApp, label, labelValue, mainContainer } from './names.ts'
import type { KubernetesProfile } from './profile.ts'
import { emptyDir, mountVolumes, profileVolumes } from './volumes.ts'

type Spec = EnvironmentSpec<KubernetesProfile>

/** What `auto` means on this cluster is known here. */
export type RenderConfig = KubernetesConfig & { readonly supplementalGroupsPolicy: GroupsPolicy }

const filesVolume = 'hutch-files'

/** @throws LaunchRefused when it must not run here. */
export function renderPod(spec: Spec, config: RenderConfig): V1Pod {
  checkAccount(spec.account, { minimumUid: config.minimumUid })
  checkVariables(spec.variables)
  checkApplication(spec, { hasOwnLoopback: true, knowsImages: false })
  if (spec.image === undefined) {
    throw new LaunchRefused('The profile names no image: a cluster needs one. Ask your administrator.')
  }
  const pod: V1Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: spec.id,
      labels: { ...spec.profile.labels, ...ownLabels(spec), ...networkLabels(spec.profile) },
      annotations: { ...spec.profile.annotations, ...ownAnnotations(spec) },
    },
    spec: podSpec(spec, spec.image, config),
  }
  const { patch } = spec.profile
  return patch === undefined ? pod : patched(pod, patch, spec)
}

/** The agent's key and the account's entries. Owned by the pod, so that it goes with it. */
export function renderSecret(spec: Spec, bootstrap: AgentBootstrap): V1Secret {
  const files = {
    'bootstrap.json': JSON.stringify(bootstrap),
    passwd: passwdFile(basePasswd, spec.account),
    group: groupFile(baseGroup, spec.account),
  }
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: spec.id, labels: ownLabels(spec) },
    type: 'Opaque',
    immutable: true,
    data: Object.fromEntries(
      Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString('base64')] as const),
    ),
  }
}

function ownLabels(spec: Spec): Record<string, string> {
  return { [label.hub]: labelValue(spec.hub), [label.environment]: spec.id, [label.managedBy]: 'hutch' }
}

/** What the network policies select by. */
function networkLabels({ network }: KubernetesProfile): Record<string, string> {
  return { [label.app]: environmentApp, [label.network]: network }
}

function ownAnnotations(spec: Spec): Record<string, string> {
  const { walltimeMs } = spec.resources
  return {
    [annotation.owner]: spec.owner,
    [annotation.digest]: spec.digest,
    ...(walltimeMs !== undefined && { [annotation.walltime]: String(walltimeMs) }),
  }
}

function podSpec(spec: Spec, image: string, config: RenderConfig): V1PodSpec {
  const { profile, account } = spec
  const agent = agentInPod(config)
  const directories = mountVolumes(spec, config)
  const more = profileVolumes(profile, spec, config)
  const secured = securityOf(profile)
  const asUser = (container: object): V1Container =>
    ({ ...container, securityContext: secured }) as unknown as V1Container
  return {
    ...scheduling(profile),
    // What ran and ended has ended: it is never started again silently.
    restartPolicy: 'Never',
    automountServiceAccountToken: profile.serviceAccountToken,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: profile.stopGrace,
    securityContext: {
      ...identityOf(account),
      ...ownershipOf(account, config),
      supplementalGroupsPolicy: config.supplementalGroupsPolicy,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(profile.imagePullSecrets.length > 0 && {
      imagePullSecrets: profile.imagePullSecrets.map((name) => ({ name })),
    }),
    initContainers: [...agent.before, ...profile.initContainers].map((each) =>
      asUser({ resources: smallShare(spec.resources), ...each }),
    ),
    containers: [
      environmentContainer(spec, {
        image,
        agent,
        config,
        secured,
        mounts: [...directories.volumeMounts, ...more.volumeMounts],
      }),
      ...profile.sidecars.map(asUser),
    ],
    volumes: [
      agent.volume,
      { name: filesVolume, secret: { secretName: spec.id, defaultMode: 0o444 } },
      { name: 'tmp', ...emptyDir(profile.temporary) },
      ...(profile.sharedMemory === undefined ? [] : [{ name: 'shm', ...emptyDir(profile.sharedMemory, 'Memory') }]),
      ...directories.volumes,
      ...more.volumes,
    ],
  }
}

interface ContainerParts {
  readonly image: string
  readonly agent: AgentInPod
  readonly config: RenderConfig
  readonly secured: V1SecurityContext
  readonly mounts: NonNullable<V1Container['volumeMounts']>
}

function environmentContainer(spec: Spec, { image, agent, config, secured, mounts }: ContainerParts): V1Container {
  const { profile } = spec
  // PATH is the image's.
  const variables = { ...environmentVariables(spec, { TMPDIR: '/tmp' }), HUTCH_UMASK: config.umask }
  return {
    name: mainContainer,
    image,
    imagePullPolicy: profile.imagePullPolicy,
    command: [...agent.command],
    env: Object.entries(variables).map(([name, value]) => ({ name, value })),
    ports: [{ name: 'agent', containerPort: config.agentPort }],
    resources: resourcesOf(spec),
    securityContext: secured,
    ...(profile.lifecycle !== undefined && { lifecycle: profile.lifecycle }),
    volumeMounts: [
      { name: agentVolume, mountPath: agent.mountPath, readOnly: true },
      { name: filesVolume, mountPath: bootstrapFile, subPath: 'bootstrap.json', readOnly: true },
      ...['passwd', 'group'].map((file) => ({
        name: filesVolume,
        mountPath: `/etc/${file}`,
        subPath: file,
        readOnly: true,
      })),
      { name: 'tmp', mountPath: '/tmp' },
      ...(profile.sharedMemory === undefined ? [] : [{ name: 'shm', mountPath: '/dev/shm' }]),
      ...mounts,
    ],
  }
}

/** fsGroup is left alone but for claims, which are nobody's at first: it would change files on shared storage. */
function ownershipOf({ gid }: Account, { homeClaim }: KubernetesConfig) {
  return homeClaim === undefined ? {} : { fsGroup: gid, fsGroupChangePolicy: 'OnRootMismatch' }
}

function identityOf({ uid, gid, groups }: Account) {
  const supplementalGroups = [...new Set(groups.map((group) => group.gid))].filter((each) => each !== gid)
  return { runAsUser: uid, runAsGroup: gid, runAsNonRoot: true, supplementalGroups }
}

function securityOf(profile: KubernetesProfile): V1SecurityContext {
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    privileged: false,
    readOnlyRootFilesystem: !profile.writableRoot,
  }
}

function scheduling(profile: KubernetesProfile): Partial<V1PodSpec> {
  const { nodeSelector, tolerations, affinity, topologySpread, priorityClass, runtimeClass, schedulerName } = profile
  return {
    ...(Object.keys(nodeSelector).length > 0 && { nodeSelector }),
    ...(tolerations.length > 0 && { tolerations }),
    ...(affinity !== undefined && { affinity }),
    ...(topologySpread.length > 0 && {
      topologySpreadConstraints: topologySpread as unknown as NonNullable<V1PodSpec['topologySpreadConstraints']>,
    }),
    ...(priorityClass !== undefined && { priorityClassName: priorityClass }),
    ...(runtimeClass !== undefined && { runtimeClassName: runtimeClass }),
    ...(schedulerName !== undefined && { schedulerName }),
    ...(profile.serviceAccount !== undefined && { serviceAccountName: profile.serviceAccount }),
  }
}

/** What comes before the environment takes no more than it: a pod counts as the larger of both against a quota. */
function smallShare({ cpu, memoryBytes }: Resources): NonNullable<V1Container['resources']> {
  const least = (cores: number, bytes: number) => ({
    cpu: `${Math.max(1, Math.round(Math.min(cpu, cores) * 1_000))}m`,
    memory: String(Math.min(memoryBytes, bytes)),
  })
  return { requests: least(0.05, 64 * 2 ** 20), limits: least(1, 256 * 2 ** 20) }
}

/** Limits are the flavour's; requests are what the profile guarantees of them. */
function resourcesOf({ resources, profile }: Spec): NonNullable<V1Container['resources']> {
  const { cpu, memoryBytes, gpus } = resources
  const whole = {
    ...(gpus > 0 && { [profile.gpuResource]: String(gpus) }),
    ...Object.fromEntries(Object.entries(profile.extendedResources).map(([name, count]) => [name, String(count)])),
  }
  const disk: Record<string, string> =
    profile.ephemeralStorage === undefined ? {} : { 'ephemeral-storage': profile.ephemeralStorage }
  const share = (cpuPart: number, memoryPart: number) => ({
    cpu: `${Math.max(1, Math.round(cpu * cpuPart * 1_000))}m`,
    memory: String(Math.round(memoryBytes * memoryPart)),
  })
  return {
    requests: { ...share(profile.cpuGuarantee, profile.memoryGuarantee), ...whole },
    limits: { ...share(1, 1), ...whole, ...disk },
  }
}

/** A patch may change nearly everything, but not as whom it runs, whose it is and what it is called. */
function patched(pod: V1Pod, patch: object, spec: Spec): V1Pod {
  const result = merge(pod, patch) as V1Pod
  const wanted = identityOf(spec.account)
  const context = result.spec?.securityContext
  const isSame =
    context?.runAsUser === wanted.runAsUser &&
    context.runAsGroup === wanted.runAsGroup &&
    JSON.stringify(context.supplementalGroups) === JSON.stringify(wanted.supplementalGroups)
  const containers = [...(result.spec?.containers ?? []), ...(result.spec?.initContainers ?? [])]
  const asOther = containers.find(({ securityContext: own }) => {
    const uid = own?.runAsUser ?? wanted.runAsUser
    const gid = own?.runAsGroup ?? wanted.runAsGroup
    return uid !== wanted.runAsUser || gid !== wanted.runAsGroup || own?.privileged === true
  })
  const isOurs = Object.entries({ ...ownLabels(spec), ...networkLabels(spec.profile) }).every(
    ([key, value]) => result.metadata?.labels?.[key] === value,
  )
  if (!isSame || asOther !== undefined || !isOurs || result.metadata?.name !== spec.id) {
    throw new LaunchRefused(
      "The profile's patch would make the pod run as somebody else, or hide whose it is and what it may reach. Ask your administrator.",
    )
  }
  return result
}

/** For programs that look them up; the image's own can't be read from here. */
const basePasswd = [
  'root:x:0:0:root:/root:/bin/bash',
  'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
  'bin:x:2:2:bin:/bin:/usr/sbin/nologin',
  'sys:x:3:3:sys:/dev:/usr/sbin/nologin',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
].join('\n')
const baseGroup = [
  'root:x:0:',
  'daemon:x:1:',
  'bin:x:2:',
  'sys:x:3:',
  'tty:x:5:',
  'users:x:100:',
  'nogroup:x:65534:',
].join('\n')
