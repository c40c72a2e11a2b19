/** What the configuration says of a cluster (`spawners.<name>`), and of a profile on it: see profile.ts. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { duration } from '../../config/units.ts'
import { annotations, claimFields, labels } from './claim.ts'

const absolutePath = z.string().refine((path) => isAbsolute(path) && !path.includes('..'), 'must be an absolute path')

const image = z.string().min(1).max(512).describe('An image reference.')

/** How the exported agent (`hutch agent export`) comes into a pod. */
const agent = z
  .discriminatedUnion('from', [
    z
      .strictObject({
        from: z.literal('imageVolume').describe('The cluster mounts the agent’s image as a volume.'),
        image,
      })
      .describe('Needs Kubernetes 1.33 or later and a container runtime that has image volumes. The fastest.'),
    z
      .strictObject({
        from: z.literal('node').describe('The folder lies on each node.'),
        path: absolutePath.describe('Where, on every node; only root may write it. Read-only in pods.'),
      })
      .describe('For clusters whose nodes are prepared by the facility, or by a DaemonSet.'),
    z
      .strictObject({
        from: z.literal('copy').describe('A container copies the agent from its image before the environment starts.'),
        image,
      })
      .describe('Works everywhere; copies 130 MB for each environment.'),
  ])
  .describe('How the agent comes into a pod.')

const fields = z.strictObject({
  kubeconfig: absolutePath
    .optional()
    .describe('The kubeconfig file of the hub’s account. Absent: the service account of the pod that the hub runs in.'),
  context: z.string().optional().describe('A context of that file. Absent: its current one.'),
  namespace: z
    .string()
    .regex(/^([-a-z0-9]|\{hub\}|\{owner\}|\{gid\}){1,120}$/, 'must be a name with {hub}, {owner} or {gid} in it')
    .refine((name) => !name.startsWith('{owner}'), 'must begin with a word: a user may be called kube-system')
    .default('hutch')
    .describe(
      'Where pods are made: one namespace, or one for each user ({owner}) or primary group ({gid}). With these, the hub’s account needs a ClusterRole. Default: hutch.',
    ),
  createNamespaces: z
    .boolean()
    .default(false)
    .describe('Make a missing namespace, with `podSecurity` and the network policies. Default: refuse.'),
  namespaceLabels: labels.default({}).describe('More labels of namespaces that are made. Default: none.'),
  namespaceAnnotations: annotations.default({}).describe('Annotations of namespaces that are made. Default: none.'),
  podSecurity: z
    .enum(['restricted', 'baseline', 'privileged'])
    .default('restricted')
    .describe(
      'Pod Security of namespaces that are made. The other two only where `agent.from: node` or `hostPathRoots` need it: directories of nodes are allowed in privileged alone. Default: restricted.',
    ),
  agent,
  agentArchitecture: z
    .enum(['x64', 'arm64'])
    .default('x64')
    .describe('Of the exported agent, and so of the nodes. Default: x64.'),
  agentPort: z
    .int()
    .min(1_024)
    .max(65_535)
    .default(7_443)
    .describe('Where agents listen in their pods; network policies name it. Default: 7443.'),
  proxySelector: z
    .strictObject({
      namespace: z.record(z.string(), z.string()).default({}).describe('Labels of its namespace. Default: any.'),
      pod: z.record(z.string(), z.string()).default({}).describe('Labels of its pods. Default: any.'),
      addresses: z.array(z.string()).default([]).describe('Addresses (CIDR) outside of the cluster. Default: none.'),
    })
    .prefault({})
    .describe('Who may reach agents: hub and proxy, as the network policy names them.'),
  reachable: z
    .array(z.string())
    .default([])
    .describe(
      'Private addresses (CIDR) that environments may reach, such as licence servers and mirrors. Public ones they may, other private ones not. Default: none.',
    ),
  supplementalGroupsPolicy: z
    .enum(['auto', 'Strict', 'Merge'])
    .default('auto')
    .describe(
      'Strict: groups that an image gives to the uid are ignored; needs Kubernetes 1.33 or later and a runtime that has it. Merge: they are added. auto: Strict where every node says that it can, which needs the right to list nodes. Default: auto.',
    ),
  umask: z
    .string()
    .regex(/^0[0-7]{3}$/, 'must be four octal digits such as 0007')
    .default('0027')
    .describe(
      'The umask of environments, in octal. 0007 lets the members of a proposal change the files of one another. Default: 0027.',
    ),
  minimumUid: z.int().min(1).default(1_000).describe('Accounts with a smaller uid are refused. Default: 1000.'),
  hostPathRoots: z
    .array(absolutePath)
    .default([])
    .describe(
      'Directories of the nodes below which mounts of kind “host” may lie. Users must not be able to write the directories above their own. Default: none.',
    ),
  exports: z
    .record(absolutePath, z.string().regex(/^[^:/\s]+:\/[^\s]*$/, 'must be server:/path'))
    .default({})
    .describe(
      'Directories that hosts have by NFS, and where from: { /home: "nfs.example.org:/export/home" }. A mount of kind “host” below one is an NFS volume of its own. Default: none.',
    ),
  homeClaim: z
    .strictObject({
      name: z.string().default('home-{owner}').describe('Its name; may hold {owner} and {id}. Default: home-{owner}.'),
      ...claimFields,
      accessModes: z.array(z.string()).default(['ReadWriteMany']).describe('Default: ReadWriteMany.'),
    })
    .optional()
    .describe(
      'Homes are persistent volume claims, made when they are missing and kept, not directories of hosts. They are the group’s of their owner (fsGroup); what is on NFS is left alone. Absent: homes are mounts.',
    ),
  unschedulablePatience: duration
    .prefault('10min')
    .describe('A pod that no node can take, with no scale-up under way, is given up after this long. Default: 10min.'),
  pullPatience: duration
    .prefault('20s')
    .describe('An image that can not be pulled is given up after this long: a registry may hiccup. Default: 20s.'),
  mountPatience: duration
    .prefault('2min')
    .describe('A volume that can not be mounted is given up after this long. Default: 2min.'),
  silencePatience: duration
    .prefault('100s')
    .describe('A watch that says nothing for so long, bookmarks included, is opened anew. Default: 100s.'),
})

/** A policy without a peer lets nobody in, and one whose peer is anybody would be none. */
export const configSchema = fields.refine(
  ({ createNamespaces, proxySelector: { namespace, pod, addresses } }) =>
    !createNamespaces || addresses.length + Object.keys(namespace).length + Object.keys(pod).length > 0,
  { path: ['proxySelector'], message: 'must say who hub and proxy are: with createNamespaces it is in the policies' },
)

export type KubernetesConfig = z.output<typeof configSchema>
