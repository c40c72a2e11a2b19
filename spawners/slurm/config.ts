import { isAbsolute, normalize } from 'node:path'
import { z } from 'zod'
import { duration } from '../../config/units.ts'

export const folder = z
  .string()
  .refine((path) => isAbsolute(path) && normalize(path) === path && path !== '/' && !path.endsWith('/'), {
    message: 'must be an absolute path, without .. and without a slash at the end',
  })

/** What SLURM takes for a name of its own: nothing that a shell or a list would read otherwise. */
const word = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,62}$/, 'must be a name as SLURM has it')

const line = z
  .string()
  .max(4_096)
  .regex(/^[^\n\r\0]*$/, 'must be one line')

const leastIntervalMs = 5_000

/** What is the same however jobs get to a cluster. */
export const jobFields = {
  agentFolder: folder.describe(
    'The agent on storage that every node sees, made with `hutch agent export FOLDER`. Readable for everybody, writable for nobody.',
  ),
  ports: z
    .tuple([z.int().min(1_024).max(65_535), z.int().min(1_024).max(65_535)])
    .refine(([from, to]) => from <= to, { message: 'must go from the lower to the higher port' })
    .optional()
    .describe(
      'The ports on which agents may listen, such as [20000, 20999], for sites with a firewall before the nodes. Default: any free one.',
    ),
  interval: duration
    .prefault('5s')
    .refine((ms) => ms >= leastIntervalMs, { message: 'must be at least 5s' })
    .describe(
      'The least time between two looks at the queue: one look for all jobs. It is stretched to ten times what a look takes. Default: 5s, also the least.',
    ),
  output: line
    .startsWith('/')
    .optional()
    .describe(
      "Where jobs write their output, with {user}, {home} and {id}: a folder that nodes and hub see, in which users can make files and the hub can read them, such as /shared/hutch/log/{user}-{id}. Default: {home}/.hutch-{id}.out, which the hub can't show.",
    ),
  localFolder: folder
    .default('/tmp')
    .describe("A folder on each node's own disk for sockets and temporary files. Default: /tmp."),
  shell: line
    .startsWith('/')
    .default('/bin/bash -l')
    .describe('What runs the script of a job: a bash, with its options. Default: /bin/bash -l, which knows `module`.'),
  prolog: z
    .array(line)
    .max(100)
    .default([])
    .describe('Lines of shell that begin every job, such as `module purge`. Default: none.'),
  path: z
    .array(folder)
    .default(['/usr/local/bin', '/usr/bin', '/bin'])
    .describe('The PATH that a job begins with. Default: the usual folders.'),
  nfs: z
    .record(z.string().regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*):\/.*$/, 'must be server:/path'), folder)
    .default({})
    .describe('Where NFS exports are mounted on the nodes, by `server:/path`. Default: none.'),
  umask: z
    .string()
    .regex(/^0[0-7]{3}$/)
    .default('0027')
    .describe('The umask of environments, in octal. Default: 0027.'),
  minimumUid: z
    .int()
    .min(1)
    .default(1_000)
    .describe('Accounts with a smaller uid belong to the system and are refused. Default: 1000.'),
  claimWithin: duration
    .prefault('10min')
    .describe('How long after its start a job may ask for its key, once. Default: 10min.'),
  allowUnencrypted: z
    .boolean()
    .default(false)
    .describe(
      'Launch profiles with `protocol: jupyterhub`: their application listens on a port of the node that everybody there reaches, unencrypted, and only its own check keeps others out. Default: refused.',
    ),
  extend: z
    .boolean()
    .default(false)
    .describe(
      "Whether an environment's time can be made longer: the observer must be an operator of SLURM. Default: no.",
    ),
  extendTo: duration
    .optional()
    .describe(
      'With `extend`: the longest time of a job from its start, whatever a limit of the hub says. An operator passes over the limits of partitions. Default: none.',
    ),
} as const

export const configSchema = z.strictObject({
  endpoint: z
    .string()
    .regex(/^(unix:\/.+|https?:\/\/[^/\s]+\/?)$/, 'must be http://host:port, https://host:port or unix:/path')
    .describe('Where slurmrestd answers: http://host:port, https://host:port, or unix:/path of its socket.'),
  version: z
    .enum(['v0.0.38', 'v0.0.42'])
    .default('v0.0.42')
    .describe("The version of slurmrestd's interface: v0.0.38 for SLURM 22.05 and 23.02, v0.0.42 for 24.11 and later."),
  tokens: folder.describe(
    "The unix socket of hutch-slurm-minter, which makes each user's tokens. The hub itself never has SLURM's key.",
  ),
  observer: word.describe(
    "The hub's own account in SLURM, which looks at the queue. The minter must be told of it (--also). With PrivateData=jobs it must be an operator.",
  ),
  ...jobFields,
  accounting: z
    .boolean()
    .default(true)
    .describe('Whether slurmrestd also answers for slurmdbd, which knows how jobs ended that SLURM has forgotten.'),
})

export type SlurmConfig = z.output<typeof configSchema>
/** What the rules of jobs go by. */
export type JobsConfig = z.output<z.ZodObject<typeof jobFields>> & Pick<SlurmConfig, 'accounting'>

const container = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('bubblewrap').describe('bwrap of the node.'),
    image: folder.describe('An unpacked image: a folder with a root file system that every node sees.'),
  }),
  z.strictObject({
    type: z.literal('charliecloud').describe('ch-run of the node.'),
    image: folder.describe(
      'An unpacked image, in which the folders for homes and proposals exist already, and /mnt for the agent.',
    ),
  }),
  z.strictObject({
    type: z.literal('apptainer').describe('apptainer of the node.'),
    image: line.startsWith('/').describe('A .sif file or a sandbox folder that every node sees.'),
  }),
])

export const profileSchema = z.strictObject({
  partition: word.optional().describe("The partition. Default: SLURM's own default."),
  account: word.optional().describe("The account that pays. Default: the user's default account in SLURM."),
  qos: word.optional().describe("The quality of service. Default: the user's default."),
  reservation: word.optional().describe('A reservation, such as one for a beamtime.'),
  constraint: line.optional().describe('Features that a node must have, as sbatch --constraint has them.'),
  licenses: line.optional().describe('Licences, as sbatch --licenses has them.'),
  nodes: z.int().min(1).max(10_000).default(1).describe('Machines. The agent runs on the first.'),
  tasks: z.int().min(1).max(100_000).default(1).describe("Tasks; each has the flavour's CPUs."),
  exclusive: z.boolean().default(false).describe('Whether nobody else may be on the machines.'),
  prolog: z.array(line).max(100).default([]).describe('Lines of shell before the agent, such as `module load python`.'),
  container: container.optional().describe("Absent: the node's own software."),
  choices: z
    .strictObject({
      partition: z.array(word).max(50).optional().describe('Partitions to choose from.'),
      account: z.array(word).max(200).optional().describe('Accounts to choose from.'),
      qos: z.array(word).max(50).optional().describe('Qualities of service to choose from.'),
      reservation: z.array(word).max(50).optional().describe('Reservations to choose from.'),
      gpus: z.array(z.int().min(0).max(1_000)).max(20).optional().describe('Numbers of GPUs to choose from.'),
      time: z.array(duration).max(20).optional().describe('Times to choose from, such as 1h.'),
    })
    .prefault({})
    .describe('What users may choose on the launch page, the default first.'),
})

export type SlurmProfile = z.output<typeof profileSchema>
export type Container = NonNullable<SlurmProfile['container']>
