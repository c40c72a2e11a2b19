/** A profile's own part on a cluster: everything that KubeSpawner's users rely on, typed. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { choicesSchema } from './choices.ts'
import { annotations, claimFields, labels, object, quantity } from './claim.ts'
import { merge } from './merge.ts'

const fraction = z.number().min(0).max(1)
const claim = z.string().describe('Its name; may hold {owner}, {id} and {profile}.')

const kinds = {
  emptyDir: z.literal('emptyDir').describe('Scratch space that goes with the environment.'),
  claim: z.literal('claim').describe('A persistent volume claim that is there.'),
  newClaim: z.literal('newClaim').describe('A persistent volume claim that is made when it is missing, and kept.'),
  ephemeral: z.literal('ephemeral').describe('A claim that is made for the environment and goes with it.'),
  hostPath: z.literal('hostPath').describe('What lies on the node.'),
  configMap: z.literal('configMap').describe('The files of a config map.'),
  secret: z.literal('secret').describe('The files of a secret. Everything in the environment can read them.'),
  nfs: z.literal('nfs').describe('A directory of an NFS server.'),
  csi: z.literal('csi').describe('An ephemeral volume of a CSI driver.'),
  projected: z.literal('projected').describe('Several sources in one directory.'),
}

const accessModes = z.array(z.string()).default(['ReadWriteOnce'])

const volumeSource = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: kinds.emptyDir,
      medium: z
        .enum(['', 'Memory'])
        .default('')
        .describe('Memory: counts as memory of the environment. Default: disk.'),
      size: quantity.optional().describe('Its limit. Default: none.'),
    }),
    z.strictObject({ type: kinds.claim, name: claim }),
    z.strictObject({
      type: kinds.newClaim,
      name: claim,
      ...claimFields,
      accessModes: accessModes.describe('Default: ReadWriteOnce.'),
    }),
    z.strictObject({
      type: kinds.ephemeral,
      ...claimFields,
      accessModes: accessModes.describe('Default: ReadWriteOnce.'),
    }),
    z.strictObject({ type: kinds.configMap, name: z.string().describe('In the namespace.') }),
    z.strictObject({ type: kinds.secret, name: z.string().describe('In the namespace.') }),
    z.strictObject({
      type: kinds.nfs,
      server: z.string().describe('Name or address.'),
      path: z.string().describe('The exported directory.'),
    }),
    z.strictObject({
      type: kinds.hostPath,
      path: z
        .string()
        .refine((path) => isAbsolute(path) && !path.split('/').includes('..'), 'must be an absolute path without ..')
        .describe('Below one of the spawner’s hostPathRoots.'),
      is: z
        .enum(['Directory', 'File', 'Socket', 'CharDevice', 'BlockDevice'])
        .default('Directory')
        .describe('What must be there; nothing is made. Default: Directory.'),
    }),
    z.strictObject({ type: kinds.csi, csi: object.describe('As in a pod’s `csi`.') }),
    z.strictObject({ type: kinds.projected, projected: object.describe('As in a pod’s `projected`.') }),
  ])
  .describe('Where its content comes from.')

const volume = z.strictObject({
  target: z
    .string()
    .regex(/^\/[^:]*$/, 'must be an absolute path')
    .describe('Where the environment sees it.'),
  readOnly: z.boolean().default(false).describe('Default: false.'),
  from: volumeSource,
})

const fields = z.strictObject({
  imagePullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'])
    .default('IfNotPresent')
    .describe('When the image is fetched. Default: IfNotPresent.'),
  imagePullSecrets: z.array(z.string()).default([]).describe('Names of secrets in the namespace. Default: none.'),
  serviceAccount: z.string().optional().describe('The pod’s service account. Default: the namespace’s own.'),
  serviceAccountToken: z
    .boolean()
    .default(false)
    .describe('Give the environment the service account’s token, and so the API server. Default: no.'),
  nodeSelector: labels.default({}).describe('Labels that its node must have. Default: none.'),
  tolerations: z.array(object).default([]).describe('Taints that it bears, as in a pod. Default: none.'),
  affinity: object.optional().describe('As in a pod. Default: none.'),
  topologySpread: z.array(object).default([]).describe('As a pod’s topologySpreadConstraints. Default: none.'),
  priorityClass: z.string().optional().describe('What it may push aside. Default: the cluster’s own.'),
  runtimeClass: z.string().optional().describe('Such as gVisor’s. Default: the cluster’s own.'),
  schedulerName: z.string().optional().describe('Default: the cluster’s own.'),
  cpuGuarantee: fraction
    .default(1)
    .describe('Of the flavour’s CPU, what the scheduler reserves. Default: 1, all of it.'),
  memoryGuarantee: fraction.default(1).describe('Of the flavour’s memory, what the scheduler reserves. Default: 1.'),
  ephemeralStorage: quantity.optional().describe('Most of the node’s disk that it may use. Default: no limit.'),
  gpuResource: z
    .string()
    .default('nvidia.com/gpu')
    .describe('What a GPU of a flavour is here; a MIG slice is nvidia.com/mig-1g.5gb. Default: nvidia.com/gpu.'),
  extendedResources: z.record(z.string(), z.int().min(0)).default({}).describe('More resources, by their name.'),
  sharedMemory: quantity.optional().describe('Size of /dev/shm. Default: the runtime’s own, 64Mi.'),
  temporary: quantity.default('10Gi').describe('Size of /tmp. Default: 10Gi.'),
  writableRoot: z.boolean().default(false).describe('Let the image’s own files be written. Default: read-only.'),
  initContainers: z.array(object).default([]).describe('Run before the environment, as the user.'),
  sidecars: z.array(object).default([]).describe('Run beside the environment, as the user.'),
  network: z
    .enum(['closed', 'open'])
    .default('closed')
    .describe(
      'open: it may also reach private addresses: other pods, the hub’s and the API server’s. Needs the namespace’s network policies. Default: closed.',
    ),
  lifecycle: object.optional().describe('postStart and preStop of the environment’s container.'),
  labels: labels.default({}).describe('More labels of the pod. Default: none.'),
  annotations: annotations.default({}).describe('More annotations of the pod. Default: none.'),
  volumes: z.array(volume).default([]).describe('More than home and proposals.'),
  stopGrace: z.int().min(0).max(600).default(30).describe('Seconds that a stopping pod gets. Default: 30.'),
  choices: choicesSchema,
  patch: object
    .optional()
    .describe(
      'Merged into the pod last: objects by key (null removes), lists of named things by name. It can not make the pod run as somebody else.',
    ),
})

/** What is merged over a profile when somebody chooses must be one, too: said when the configuration is read. */
export const profileSchema = fields.superRefine((profile, context) => {
  for (const [name, { values }] of Object.entries(profile.choices)) {
    for (const [index, { with: part }] of values.entries()) {
      const path = ['choices', name, 'values', index, 'with']
      if ('choices' in part) context.addIssue({ code: 'custom', path, message: 'must not have choices of its own' })
      const { error } = fields.safeParse(merge({ ...profile, choices: {} }, part))
      for (const issue of error?.issues ?? []) context.addIssue({ ...issue, path: [...path, ...issue.path] })
    }
  }
})

export type KubernetesProfile = z.output<typeof profileSchema>
