/** What the configuration says of one Docker (`spawners.<name>`), and of a profile on it. */
import { isAbsolute, normalize } from 'node:path'
import { z } from 'zod'
import { duration } from '../../config/units.ts'

const absolutePath = z
  .string()
  .refine((path) => isAbsolute(path) && normalize(path) === path, 'must be an absolute path, without ..')

const quantity = z.string().regex(/^[1-9][0-9]*(MiB|GiB)$/, 'must be a size such as 512MiB or 2GiB')

const tls = z
  .strictObject({
    caFile: absolutePath.describe('The authority that signed the daemon’s certificate.'),
    certificateFile: absolutePath.describe('The hub’s own certificate.'),
    keyFile: absolutePath.describe('Its private key.'),
  })
  .describe('Both sides show certificates: whoever may speak to Docker is root on its machine.')

const agent = z
  .discriminatedUnion('from', [
    z
      .strictObject({
        from: z.literal('image').describe('Docker copies it from an image to a volume, once for each image.'),
        image: z.string().min(1).max(512).describe('As `npm run images agent` builds it: hutch/agent.'),
      })
      .describe('Needs nothing on Docker’s machine.'),
    z
      .strictObject({
        from: z.literal('folder').describe('A folder on Docker’s machine.'),
        path: absolutePath.describe('What `hutch agent export` wrote; only root may write it. Read-only inside.'),
      })
      .describe('For machines that the facility prepares.'),
  ])
  .describe('How the agent comes into a container.')

const gpu = z.strictObject({
  id: z.string().min(1).max(80).describe('Its number or UUID, as nvidia-smi -L says.'),
  type: z.string().optional().describe('What kind it is, as flavours call it. Absent: any.'),
})

export const configSchema = z
  .strictObject({
    endpoint: z
      .string()
      .regex(/^(unix:\/\/\/.+|tcp:\/\/[^/:\s]+:\d{1,5}|tcp:\/\/\[[0-9a-fA-F:]+\]:\d{1,5})$/, {
        message: 'must be unix:///path/to/docker.sock or tcp://host:port',
      })
      .default('unix:///var/run/docker.sock')
      .describe('Where Docker is. tcp:// needs `tls`. Default: unix:///var/run/docker.sock.'),
    tls: tls.optional(),
    agent,
    agentArchitecture: z
      .enum(['x64', 'arm64'])
      .default('x64')
      .describe('Of the agent, and so of Docker’s machine. Default: x64.'),
    agentPort: z
      .int()
      .min(1_024)
      .max(65_535)
      .default(7_443)
      .describe('Where agents listen in their containers. Default: 7443.'),
    publish: z
      .strictObject({
        host: z.string().min(1).describe('The name or address of Docker’s machine, as hub and proxy reach it.'),
        ports: z
          .tuple([z.int().min(1_024).max(65_535), z.int().min(1_024).max(65_535)])
          .describe('One of these is taken for each environment, such as [20000, 20999].'),
      })
      .optional()
      .describe(
        'For a Docker on another machine, whose containers’ own addresses lead nowhere from here: agents’ ports are published there. Absent: containers are reached at their addresses.',
      ),
    network: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'must be a name of a network')
      .optional()
      .describe(
        'A network that the facility made. Absent: hutch-<hub id>, which is made when it is missing and in which no container reaches another.',
      ),
    hostRoots: z
      .array(absolutePath)
      .default([])
      .describe(
        'Directories of Docker’s machine below which mounts may lie. Users must not be able to write the directories above their own. Default: none.',
      ),
    ticketFolder: absolutePath
      .optional()
      .describe(
        'Where Kerberos ticket caches lie, FOLDER/<uid>/krb5cc_<id>, such as /run/hutch/docker-tickets: a folder of this spawner’s own that the hub makes. For a Docker on the hub’s own machine alone, at the same path; rpc.gssd is told to look there with `-d FOLDER/%U`. Absent: there are no tickets in containers.',
      ),
    umask: z
      .string()
      .regex(/^0[0-7]{3}$/, 'must be four octal digits such as 0007')
      .default('0027')
      .describe(
        'The umask of environments, in octal. 0007 lets the members of a proposal change the files of one another. Default: 0027.',
      ),
    minimumUid: z.int().min(1).default(1_000).describe('Accounts with a smaller uid are refused. Default: 1000.'),
    gpus: z
      .array(gpu)
      .default([])
      .describe('Graphics cards that environments may have, each for one at a time. Default: none.'),
    registries: z
      .record(
        z
          .string()
          .regex(/^[A-Za-z0-9.-]+(:\d{1,5})?$/, 'must be a registry as images name it, such as registry.example.org'),
        z.strictObject({
          username: z.string().min(1).max(256).describe('Whom the registry knows.'),
          passwordFile: absolutePath.describe('A file (chmod 600) with the password or token, and nothing else.'),
        }),
      )
      .default({})
      .describe(
        'Logins to registries, by their names as in images; docker.io for those without one. Docker is given them with each pull and keeps none. Default: none.',
      ),
    pullPatience: duration.prefault('30min').describe('A pull that takes longer is given up. Default: 30min.'),
    stopGrace: duration
      .prefault('10s')
      .describe('How long a stopping environment gets before it is killed. Default: 10s.'),
  })
  .refine(({ endpoint, ticketFolder }) => ticketFolder === undefined || endpoint.startsWith('unix:'), {
    path: ['ticketFolder'],
    message:
      'needs a Docker on this machine (endpoint: unix://…): the hub writes tickets into files of its own machine',
  })
  .refine(({ endpoint, tls: given }) => endpoint.startsWith('unix:') || given !== undefined, {
    path: ['tls'],
    message: 'is needed with tcp://: without it anybody on the network would be root on Docker’s machine',
  })

export type DockerConfig = z.output<typeof configSchema>

export const profileSchema = z.strictObject({
  pull: z
    .enum(['missing', 'always', 'never'])
    .default('missing')
    .describe('When the image is fetched. Default: missing.'),
  writableRoot: z
    .boolean()
    .default(false)
    .describe(
      'Let the user write the image’s files that are theirs; it goes with the environment. Default: read-only.',
    ),
  temporary: quantity.default('1GiB').describe('Size of /tmp; what lies there counts as memory. Default: 1GiB.'),
  sharedMemory: quantity.default('64MiB').describe('Size of /dev/shm; counts as memory. Default: 64MiB.'),
  runtime: z.string().optional().describe('A runtime that Docker knows, such as gVisor’s. Default: Docker’s own.'),
})

export type DockerProfile = z.output<typeof profileSchema>
