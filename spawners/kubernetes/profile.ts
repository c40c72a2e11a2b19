/** A profile's own part on a cluster: everything that KubeSpawner's users rely on, typed. */
import { z } from 'zod'

const labels = z.record(z.string().max(317), z.string().max(63))
/** Passed on as it is: the cluster checks it, and its answer names the field. */
const object = z.looseObject({})
const quantity = z.string().regex(/^[0-9.]+(m|[kKMGTPE]i?)?$/, 'must be a quantity such as 500m or 2Gi')
const fraction = z.number().min(0).max(1)

const volumeSource = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('emptyDir'),
      medium: z.enum(['', 'Memory']).default(''),
      size: quantity.optional(),
    }),
    z.strictObject({ type: z.literal('claim'), name: z.string().describe('May hold {owner}, {id} and {profile}.') }),
    z
      .strictObject({
        type: z.literal('newClaim'),
        name: z.string().describe('May hold {owner}, {id} and {profile}; made when it is missing, and kept.'),
        storageClass: z.string().optional(),
        size: quantity,
        accessModes: z.array(z.string()).default(['ReadWriteOnce']),
      })
      .describe('A persistent volume claim made on demand.'),
    z.strictObject({ type: z.literal('configMap'), name: z.string() }),
    z.strictObject({ type: z.literal('secret'), name: z.string() }),
    z.strictObject({ type: z.literal('nfs'), server: z.string(), path: z.string() }),
    z.strictObject({ type: z.literal('csi'), csi: object }),
    z.strictObject({ type: z.literal('projected'), projected: object }),
  ])
  .describe('Where its content comes from.')

const volume = z.strictObject({
  target: z
    .string()
    .regex(/^\/[^:]*$/, 'must be an absolute path')
    .describe('Where the environment sees it.'),
  readOnly: z.boolean().default(false),
  from: volumeSource,
})

export const profileSchema = z.strictObject({
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
  imagePullSecrets: z.array(z.string()).default([]).describe('Names of secrets in the namespace.'),
  serviceAccount: z.string().optional(),
  serviceAccountToken: z
    .boolean()
    .default(false)
    .describe('Give the environment the service account’s token, and let it reach the API server. Default: no.'),
  nodeSelector: labels.default({}),
  tolerations: z.array(object).default([]),
  affinity: object.optional(),
  topologySpread: z.array(object).default([]),
  priorityClass: z.string().optional(),
  runtimeClass: z.string().optional(),
  schedulerName: z.string().optional(),
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
  lifecycle: object.optional().describe('postStart and preStop of the environment’s container.'),
  labels: labels.default({}),
  annotations: z.record(z.string(), z.string()).default({}),
  volumes: z.array(volume).default([]).describe('More than home and proposals.'),
  stopGrace: z.int().min(0).max(600).default(30).describe('Seconds that a stopping pod gets. Default: 30.'),
  patch: object
    .optional()
    .describe(
      'Merged into the pod last: objects by key (null removes), lists of named things by name. It can not make the pod run as somebody else.',
    ),
})

export type KubernetesProfile = z.output<typeof profileSchema>
