/**
 * The configuration of a facility, whole. Every field says what it is, its default and its consequence; the
 * reference page and the JSON schema are generated from here. A spawner's own part is checked by its own schema.
 */
import { z } from 'zod'
import { bytes, duration, listenAddress } from './units.ts'

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,29}$/, 'must be lowercase letters, digits and hyphens, a letter first, at most 30')

const secretFile = z
  .string()
  .describe('Path of a file that holds the secret and nothing else; readable by the hub alone.')

const hub = z
  .strictObject({
    id: name
      .default('hutch')
      .describe("The hub's own id. Everything in a backend carries it: never change it while environments run."),
    title: z.string().default('Hutch').describe('What the pages call this installation.'),
    contact: z.string().default('your administrator').describe('Whom a user is told to ask: an address or a name.'),
  })
  .prefault({})

const listen = listenAddress.describe('Where the proxy listens for browsers.')

const provider = z.strictObject({
  title: z.string().describe('The text of its button on the login page.'),
  issuer: z.url().describe('The OpenID Connect issuer; everything else is discovered from it.'),
  clientId: z.string().describe("The hub's client id at this provider."),
  clientSecretFile: secretFile.optional(),
  scopes: z.array(z.string()).default(['openid', 'profile', 'email']),
  claims: z
    .strictObject({
      name: z.string().default('preferred_username').describe('The claim that carries the login name.'),
      title: z.string().default('name').describe("The claim that carries the person's full name."),
      email: z.string().default('email'),
      groups: z.string().default('groups').describe('The claim that carries the groups (an array of strings).'),
    })
    .prefault({}),
  administrators: z.array(z.string()).default([]).describe('Subjects (sub) from this provider who administer the hub.'),
})

const login = z
  .strictObject({
    providers: z
      .record(name, provider)
      .default({})
      .describe('OpenID Connect providers, by a short name of your choice.'),
    demo: z
      .boolean()
      .default(false)
      .describe('Runs an OpenID Connect provider with three demo people in the hub. Refused beyond loopback.'),
    lifetime: duration.prefault('7d').describe('A login ends this long after it began, whatever happens.'),
    idle: duration.prefault('24h').describe('A login ends after this long without a request.'),
  })
  .prefault({})

const account = z.strictObject({
  uid: z.int().min(1),
  gid: z.int().min(1),
  groups: z.array(z.strictObject({ name: z.string(), gid: z.int().min(1) })).default([]),
  home: z.string(),
  shell: z.string().default('/bin/bash'),
  fullName: z.string().optional(),
})

const accounts = z
  .discriminatedUnion('source', [
    z
      .strictObject({ source: z.literal('self') })
      .describe(
        "Everybody is the hub's own account, each with a home of their own under the state folder. For one machine without root.",
      ),
    z.strictObject({ source: z.literal('system') }).describe("The system's own name service (getent)."),
    z.strictObject({ source: z.literal('file'), users: z.record(z.string(), account) }).describe('Written here.'),
  ])
  .prefault({ source: 'self' })

const catalogue = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('none') }),
    z.strictObject({ type: z.literal('demo') }).describe('Three demo proposals with real measured data.'),
    z.strictObject({
      type: z.literal('file'),
      path: z.string().describe('A YAML file; see config/examples/catalogue.yaml.'),
    }),
  ])
  .prefault({ type: 'none' })

const mountRule = z.strictObject({
  name: z.string().describe("What users are told when it fails, such as 'raw data'."),
  source: z
    .string()
    .describe('Host path or server:/path; placeholders {proposal}, {instrument}, {session}, {year}, {user}.'),
  target: z.string().describe('The path in the environment; the same placeholders.'),
  allowedRoots: z
    .array(z.string())
    .min(1)
    .describe('The source must lie beneath one of these after placeholders are filled in.'),
  readOnly: z.boolean().default(true),
  for: z
    .enum(['proposal', 'user'])
    .default('proposal')
    .describe('Once for each chosen proposal, or once for each environment.'),
})

const flavour = z.strictObject({
  title: z.string(),
  cpu: z.number().positive().describe('Cores; fractions are allowed.'),
  memory: bytes,
  gpus: z.int().min(0).default(0),
  walltime: duration.optional().describe('The environment ends after this long. Absent: no limit of its own.'),
  processes: z.int().positive().default(4096),
})

const profile = z.strictObject({
  title: z.string(),
  description: z.string().default(''),
  kind: z.enum(['notebook', 'terminal', 'desktop', 'web']),
  argv: z
    .array(z.string())
    .optional()
    .describe('The command; absent: the default of its kind. Placeholders {socket}, {prefix}, {home}, {start}.'),
  readyPath: z.string().optional(),
  landingPath: z.string().optional(),
  image: z.string().optional(),
  flavours: z.array(name).min(1).describe('Names from `flavours`, the default first.'),
  on: z
    .record(name, z.unknown())
    .describe('Spawners that offer it, the preferred first, each with its own part (an empty object: all defaults).'),
  variables: z.record(z.string(), z.string()).default({}),
  groups: z.array(z.string()).default([]).describe('Offered only to members of one of these; empty: to everyone.'),
  startTimeout: duration.prefault('5min'),
})

const spawner = z.looseObject({
  type: z.string().describe('local, docker, kubernetes, slurm, or the module path or package name of your own.'),
})

const database = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('sqlite') }).describe('In the state folder. One hub process; never on NFS.'),
    z.strictObject({
      type: z.literal('postgresql'),
      host: z.string().default('127.0.0.1').describe('Host name, address, or the folder of a unix socket.'),
      port: z.int().min(1).max(65_535).default(5432),
      database: z.string().default('hutch'),
      user: z.string().default('hutch'),
      passwordFile: secretFile.optional(),
      tls: z.boolean().default(false),
      poolSize: z.int().min(1).max(200).default(10),
    }),
  ])
  .prefault({ type: 'sqlite' })

const proxy = z
  .strictObject({
    managed: z
      .boolean()
      .default(true)
      .describe('The hub starts the proxy and keeps it running. False: you run hutch-proxy yourself.'),
    workers: z.int().min(1).max(64).default(1),
    trustedProxies: z
      .array(z.string())
      .default([])
      .describe('Addresses or CIDR ranges whose X-Forwarded-* headers are believed.'),
    tls: z.strictObject({ certificateFile: z.string(), keyFile: z.string() }).optional(),
    drain: duration.prefault('30s').describe('How long a stopping proxy waits for downloads and WebSockets.'),
  })
  .prefault({})

const agents = z
  .strictObject({
    listen: listenAddress
      .prefault('127.0.0.1:0')
      .describe(
        'Where the hub listens for reports of agents; port 0: a free one, chosen once and kept in the state folder.',
      ),
    advertise: z
      .string()
      .optional()
      .describe('The host name or address that agents use; absent: the listening address.'),
  })
  .prefault({})

const environments = z
  .strictObject({
    hosts: z
      .string()
      .optional()
      .describe(
        "Host name of a user's environments, with {user}: {user}.envs.example.org. Absent: one single origin, where an environment opens for its owner alone.",
      ),
    outliveHub: z
      .boolean()
      .default(false)
      .describe('Whether environments on this machine go on when the hub is stopped with Ctrl-C or SIGTERM.'),
    keepEnded: duration.prefault('30d').describe('How long ended environments stay on the home page.'),
    perUser: z.int().min(1).default(10).describe('Most environments that one user may have at once.'),
  })
  .prefault({})

const log = z
  .strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info'), pretty: z.boolean().optional() })
  .prefault({})

export const configurationSchema = z.strictObject({
  hub,
  state: z
    .string()
    .default('.hutch')
    .describe('The one folder that holds all state. Relative to the configuration file.'),
  listen: listen.prefault('127.0.0.1:8000'),
  publicUrl: z
    .url()
    .optional()
    .describe('What browsers see, such as https://hutch.example.org. Absent: http:// and the listening address.'),
  database,
  login,
  accounts,
  catalogue,
  mounts: z.array(mountRule).default([]),
  flavours: z.record(name, flavour),
  profiles: z.record(name, profile),
  spawners: z.record(name, spawner),
  environments,
  agents,
  proxy,
  log,
})

/** As loaded: units are numbers, defaults are filled in, paths are absolute. */
export type Configuration = z.output<typeof configurationSchema>
/** As written in the file. */
export type ConfigurationInput = z.input<typeof configurationSchema>
export type ProfileConfiguration = Configuration['profiles'][string]
export type FlavourConfiguration = Configuration['flavours'][string]
export type MountRule = Configuration['mounts'][number]
export type ProviderConfiguration = Configuration['login']['providers'][string]
