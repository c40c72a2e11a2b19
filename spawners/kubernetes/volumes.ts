/**
 * Directories and scratch space of a pod. Each NFS directory is a volume of its own, never a subPath: the kubelet
 * resolves a subPath as root, which fails under root_squash. Pure.
 */
import { posix } from 'node:path'
import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node'
import { checkMounts, isWithin, nearestFolder } from '../common/checkMounts.ts'
import { LaunchRefused, type EnvironmentSpec, type Mount } from '../spawner.ts'
import { claimBody } from './claim.ts'
import type { KubernetesConfig } from './config.ts'
import { claimName } from './names.ts'
import type { KubernetesProfile } from './profile.ts'

export interface Volumes {
  readonly volumes: readonly V1Volume[]
  readonly volumeMounts: readonly V1VolumeMount[]
}

type MountConfig = Pick<KubernetesConfig, 'hostPathRoots' | 'exports' | 'homeClaim'>

/** @throws LaunchRefused for a directory that this cluster may not mount, naming it. */
export function mountVolumes(spec: EnvironmentSpec, config: MountConfig): Volumes {
  const sorted = checkMounts(spec.mounts)
  return {
    volumes: sorted.map((mount, index) => ({ name: `mount-${index}`, ...sourceOf(mount, spec, config) })),
    volumeMounts: sorted.map((mount, index) => ({
      name: `mount-${index}`,
      mountPath: mount.target,
      readOnly: mount.readOnly,
      ...subPathOf(mount, config),
    })),
  }
}

/** The kubelet walks a subPath without following a link out of the volume. Exports are mounted as they are. */
function subPathOf({ source, beneath }: Mount, { exports }: MountConfig): { subPath?: string } {
  const isExport = source.kind === 'nfs' || nearestFolder(source.path, Object.keys(exports)) !== undefined
  return beneath === undefined || isExport ? {} : { subPath: posix.relative(beneath, source.path) }
}

function sourceOf(
  { name, source, target, readOnly, beneath, vouched }: Mount,
  spec: EnvironmentSpec,
  { hostPathRoots, exports, homeClaim }: MountConfig,
): Omit<V1Volume, 'name'> {
  if (homeClaim !== undefined && target === spec.account.home) {
    return { persistentVolumeClaim: { claimName: claimName(homeClaim.name, spec) } }
  }
  const exported = source.kind === 'nfs' ? undefined : nearestFolder(source.path, Object.keys(exports))
  // What somebody chose on a file server can't be looked at: the kubelet walks a subPath there as nobody.
  if (beneath !== undefined && vouched !== true && (source.kind === 'nfs' || exported !== undefined)) {
    throw new LaunchRefused(
      `"${name}" can't be there: a cluster can't tell whether a link on a file server leads elsewhere. Leave the folder out, so that the archive says it, or choose another place.`,
    )
  }
  if (source.kind === 'nfs') return { nfs: { server: source.server, path: source.path, readOnly } }
  if (exported !== undefined) {
    const [server = '', path = ''] = (exports[exported] ?? '').split(/:(.*)/)
    return { nfs: { server, path: posix.join(path, source.path.slice(exported.length)), readOnly } }
  }
  checkHostPath(name, source.path, hostPathRoots)
  // Directory: the kubelet makes nothing, and refuses a link's or a file's path.
  return { hostPath: { path: beneath ?? source.path, type: 'Directory' } }
}

function checkHostPath(name: string, path: string, roots: readonly string[]): void {
  if (roots.some((root) => isWithin(path, root))) return
  throw new LaunchRefused(
    `"${name}" can't be there: ${path} is below none of the cluster's exports and hostPathRoots. Ask your administrator.`,
  )
}

/** The profile's own volumes. @throws LaunchRefused for a place of the node that no environment may have. */
export function profileVolumes(
  profile: KubernetesProfile,
  spec: EnvironmentSpec,
  { hostPathRoots }: MountConfig,
): Volumes {
  for (const { from, target } of profile.volumes) {
    if (from.type === 'hostPath') checkHostPath(target, from.path, hostPathRoots)
  }
  return {
    volumes: profile.volumes.map(({ from }, index) => ({ name: `volume-${index}`, ...profileSource(from, spec) })),
    volumeMounts: profile.volumes.map(({ target, readOnly }, index) => ({
      name: `volume-${index}`,
      mountPath: target,
      readOnly,
    })),
  }
}

type Source = KubernetesProfile['volumes'][number]['from']

function profileSource(from: Source, spec: EnvironmentSpec): Omit<V1Volume, 'name'> {
  switch (from.type) {
    case 'emptyDir':
      return emptyDir(from.size, from.medium)
    case 'claim':
    case 'newClaim':
      return { persistentVolumeClaim: { claimName: claimName(from.name, spec) } }
    case 'ephemeral':
      return { ephemeral: { volumeClaimTemplate: claimBody(from) } }
    case 'hostPath':
      return { hostPath: { path: from.path, type: from.is } }
    case 'configMap':
      return { configMap: { name: from.name } }
    case 'secret':
      return { secret: { secretName: from.name } }
    case 'nfs':
      return { nfs: { server: from.server, path: from.path } }
    case 'csi':
      return { csi: from.csi as unknown as NonNullable<V1Volume['csi']> }
    case 'projected':
      return { projected: from.projected }
  }
}

/** The claims that are to be made when they are missing. */
export function claimsOf(spec: EnvironmentSpec<KubernetesProfile>, config: MountConfig): readonly object[] {
  const { homeClaim } = config
  const wanted = spec.profile.volumes.flatMap(({ from }) => (from.type === 'newClaim' ? [from] : []))
  return [...(homeClaim === undefined ? [] : [homeClaim]), ...wanted].map((claim) => {
    const { metadata, spec: asked } = claimBody(claim)
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { ...metadata, name: claimName(claim.name, spec) },
      spec: asked,
    }
  })
}

export function emptyDir(size?: string, medium: '' | 'Memory' = ''): Omit<V1Volume, 'name'> {
  return { emptyDir: { ...(medium !== '' && { medium }), ...(size !== undefined && { sizeLimit: size }) } }
}
