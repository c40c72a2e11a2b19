/** What users pick, who is offered what, and where it runs. */
import { z } from 'zod'
import { bytes, duration } from '../units.ts'
import { name } from './common.ts'

export const flavour = z.strictObject({
  title: z.string().describe('What the launch page calls it.'),
  cpu: z.number().positive().max(100_000).describe('Cores; fractions are allowed.'),
  memory: bytes.describe(
    'Memory with its unit, such as 4GiB. What takes more is ended: a kernel alone, or the environment with its application.',
  ),
  gpus: z.int().min(0).max(1_000).default(0).describe('Whole GPUs.'),
  gpuType: name
    .optional()
    .describe('What kind of GPU they are; limits can be set for each kind. Absent: not told apart.'),
  walltime: duration.optional().describe('The environment ends after this long. Absent: no limit of its own.'),
  processes: z.int().positive().default(4096).describe('Most processes and threads at once.'),
})

export const profile = z.strictObject({
  title: z.string().describe('What the launch page calls it.'),
  description: z.string().default('').describe('One or two sentences for the launch page.'),
  kind: z
    .enum(['notebook', 'terminal', 'desktop', 'web'])
    .describe(
      'notebook: JupyterLab. terminal: a shell in the browser. desktop: XFCE, or the one program of argv, on Xvnc in the browser, with JupyterLab beside it where it is installed. web: argv, any web application.',
    ),
  argv: z
    .array(z.string())
    .optional()
    .describe(
      'The command; absent: the default of its kind, else (on Docker) what the image starts. Placeholders {socket}, {prefix}, {home}, {start}.',
    ),
  port: z
    .int()
    .min(1_024)
    .max(65_535)
    .optional()
    .describe(
      'The application listens on this port of its own loopback: for images that know nothing of Hutch, in containers. Absent: it listens on {socket}.',
    ),
  atRoot: z
    .boolean()
    .default(false)
    .describe(
      'The application believes to be at /: its environment’s address is taken off requests, and put before redirections and cookies. Absolute links in its pages lead astray. Default: it knows {prefix}.',
    ),
  protocol: z
    .enum(['hutch', 'jupyterhub'])
    .default('hutch')
    .describe(
      "hutch: our agent starts the application, and the way to it is encrypted. jupyterhub: there is no agent; the application listens on a port itself, checks who comes and speaks JupyterHub's protocol, as jupyterhub-singleuser does. The way to it is NOT encrypted, so its spawner must allow it.",
    ),
  readyPath: z
    .string()
    .optional()
    .describe("A path below the environment's own that answers once it is ready. Absent: as its kind has it."),
  landingPath: z
    .string()
    .optional()
    .describe("The path below the environment's own that the browser opens first. Absent: as its kind has it."),
  image: z
    .string()
    .optional()
    .describe('The container image, for spawners that use one. Absent: what is installed on the machine.'),
  flavours: z.array(name).min(1).describe('Names from `flavours`, the default first.'),
  on: z
    .record(name, z.unknown())
    .describe('Spawners that offer it, the preferred first, each with its own part (an empty object: all defaults).'),
  variables: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be letters, digits and _, no digit first'), z.string())
    .default({})
    .describe('Environment variables of the application. Never secrets: everything in the environment can read them.'),
  groups: z.array(z.string()).default([]).describe('Offered only to members of one of these; empty: to everyone.'),
  longest: duration
    .optional()
    .describe(
      'How long an environment may live at most when its owner makes its time longer, as often as it takes; each time is a new admission within the limits. Absent: its time can not be made longer.',
    ),
  startTimeout: duration
    .prefault('5min')
    .describe('An environment that is not ready this long after it started running is ended, and says so.'),
})

export const spawner = z.looseObject({
  type: z.string().describe('local, docker, kubernetes, slurm, or the module path or package name of your own.'),
  kerberos: z
    .literal('site')
    .optional()
    .describe(
      "site: its machines have their users' Kerberos tickets by themselves (gssproxy, AUKS), so that mounts with security: krb5 need nothing of the hub. Absent: `credentials` supplies them, where this kind of spawner can.",
    ),
  capacity: z
    .strictObject({
      cpu: z.number().positive().max(1_000_000).describe('Cores.'),
      memory: bytes.describe('Memory with its unit, such as 256GiB.'),
    })
    .optional()
    .describe(
      'What its environments may have together. Beyond it they wait in a fair order: who used least lately comes first. Absent: nothing waits here; clusters have queues of their own.',
    ),
})

const offerNames = (what: string) =>
  z
    .strictObject({
      profiles: z.array(name).default([]).describe(`Profiles ${what}.`),
      flavours: z.array(name).default([]).describe(`Flavours ${what}, of every profile that has them.`),
      spawners: z.array(name).default([]).describe(`Spawners ${what}: an instrument's own workstation, say.`),
      options: z
        .record(z.string().regex(/^[a-z][A-Za-z0-9]{0,29}$/, 'is not a name of a choice'), z.array(z.string()))
        .default({})
        .describe(`Values ${what} of what a spawner leaves to its users, such as reservation: [beamtime] of slurm.`),
    })
    .prefault({})

const someOf = z.array(z.string().min(1)).min(1)

export const offerRule = z.strictObject({
  title: z
    .string()
    .min(1)
    .max(60)
    .describe("What the launch page writes beside the profiles that it puts first, such as 'First for imaging'."),
  when: z
    .strictObject({
      users: someOf.optional().describe('It fits who is one of them.'),
      groups: someOf.optional().describe('It fits who is in one of these groups: those with a licence, say.'),
      instruments: someOf
        .optional()
        .describe("It fits proposals of one of these instruments, by the catalogue's names."),
      techniques: someOf.optional().describe('It fits proposals of one of these techniques, in any case.'),
      fields: z
        .record(z.string(), someOf)
        .optional()
        .describe("It fits proposals whose further fields have one of these values each: { cycle: ['2026/1'] }."),
      visit: z
        .array(z.enum(['before', 'during', 'after']))
        .min(1)
        .optional()
        .describe(
          "It fits proposals whose visit is to come, goes on, or is over, by the catalogue's dates. An end that is a day alone counts to the end of that day.",
        ),
      around: duration.prefault('0s').describe('With visit: how much earlier it begins, and later it ends.'),
    })
    .describe('All of these must hold; those of proposals for one of the chosen ones.'),
  opens: offerNames('that are offered only where a rule that opens them fits').describe(
    'What it offers. Whatever any rule opens is closed to all others.',
  ),
  first: offerNames('that come first').describe(
    'What it puts first: the first is what is chosen unless somebody chooses.',
  ),
})
