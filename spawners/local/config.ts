import { isAbsolute, normalize } from 'node:path'
import { z } from 'zod'
import { duration } from '../../config/units.ts'

const folder = z
  .string()
  .refine((path) => isAbsolute(path) && normalize(path) === path && path !== '/' && !path.endsWith('/'), {
    message: 'must be an absolute path, without .. and without a slash at the end',
  })

export const configSchema = z.strictObject({
  readOnlyPaths: z
    .array(folder)
    .default([])
    .describe(
      'More of this machine that environments see, read-only and at the same path: software outside of /usr and /opt, such as a Jupyter virtual environment. Default: nothing more.',
    ),
  path: z
    .array(folder)
    .default(['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/games', '/usr/games'])
    .describe('The PATH of environments. Default: the usual folders.'),
  nfs: z
    .record(z.string().regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*):\/.*$/, 'must be server:/path'), folder)
    .default({})
    .describe(
      'Where NFS exports are mounted on this machine already, by `server:/path`. Mounts of an export that is not listed are refused: Hutch mounts nothing itself. Default: none.',
    ),
  ticketFolder: folder
    .optional()
    .describe(
      'Where Kerberos ticket caches lie on this machine, FOLDER/<uid>/krb5cc_<id>, such as /run/hutch/tickets: a folder of this spawner’s own that the hub makes, and that rpc.gssd is told to look into with `-d FOLDER/%U`, where the kernel mounts exports with sec=krb5. Default: in the state folder, which only programs inside find.',
    ),
  umask: z
    .string()
    .regex(/^0[0-7]{3}$/)
    .default('0027')
    .describe(
      'The umask of environments, in octal. 0007 lets the members of a proposal change the files of one another. Default: 0027.',
    ),
  minimumUid: z
    .int()
    .min(1)
    .default(1_000)
    .describe('Running as root: accounts with a smaller uid belong to the system and are refused. Default: 1000.'),
  cgroup: z
    .string()
    .regex(/^[a-z][a-z0-9_.-]{0,63}$/)
    .optional()
    .describe(
      'Running as root: the name of the control group, below /sys/fs/cgroup, that holds one for each environment. Default: hutch-<hub id>.',
    ),
  allowUnlimited: z
    .boolean()
    .default(false)
    .describe(
      "Running as root where control groups can't be written: launch without limits on CPU, memory and processes. Default: refused.",
    ),
  allowUnsandboxed: z
    .boolean()
    .default(false)
    .describe(
      'Running without root and without bubblewrap: launch in the open, where every environment can read and stop whatever the hub can. For one person on their own machine. Default: refused.',
    ),
  allowUnencrypted: z
    .boolean()
    .default(false)
    .describe(
      'Launch profiles with `protocol: jupyterhub`: their application listens on a port of loopback that everybody on this machine reaches, unencrypted, and only its own check keeps others out. Default: refused.',
    ),
  stopGrace: duration
    .prefault('5s')
    .describe(
      "How much longer than the agent's own deadline a stopping environment gets before it is killed. Default: 5s.",
    ),
})

export type LocalConfig = z.output<typeof configSchema>

/** A profile has nothing of its own to say to this spawner: software comes from the machine. */
export const profileSchema = z.strictObject({})

export type LocalProfile = z.output<typeof profileSchema>
