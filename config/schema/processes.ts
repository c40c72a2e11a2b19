/** The hub itself, its proxy, its database and the agents. */
import { z } from 'zod'
import { duration, listenAddress } from '../units.ts'
import { name, secretFile } from './common.ts'

export const hub = z
  .strictObject({
    id: name
      .default('hutch')
      .describe("The hub's own id. Everything in a backend carries it: never change it while environments run."),
    title: z.string().default('Hutch').describe('What the pages call this installation.'),
    contact: z.string().default('your administrator').describe('Whom a user is told to ask: an address or a name.'),
  })
  .describe('What this installation is called.')
  .prefault({})

export const listen = listenAddress.describe(
  'Address and port where the proxy listens for browsers. Beyond loopback, publicUrl and a real login provider are needed.',
)

export const database = z
  .discriminatedUnion('type', [
    z
      .strictObject({ type: z.literal('sqlite').describe('Embedded.') })
      .describe('In the state folder. One hub process; never on NFS.'),
    z
      .strictObject({
        type: z.literal('postgresql').describe('A PostgreSQL server, 14 or later.'),
        host: z.string().default('127.0.0.1').describe('Host name, address, or the folder of a unix socket.'),
        port: z.int().min(1).max(65_535).default(5432).describe('Its port, or the number in the name of its socket.'),
        database: z.string().default('hutch').describe('The database, which must be there; the hub makes its tables.'),
        user: z.string().default('hutch').describe('The role that owns the database.'),
        passwordFile: secretFile
          .optional()
          .describe('Path of a file (chmod 600) that holds the password. Absent: none, for peer authentication.'),
        tls: z
          .boolean()
          .default(false)
          .describe('TLS with a verified certificate. Wanted when it is on another machine.'),
        poolSize: z.int().min(1).max(200).default(10).describe('Most connections of this hub at once.'),
      })
      .describe('For production; several hubs may share it.'),
  ])
  .describe('Where users, logins and environments are kept.')
  .prefault({ type: 'sqlite' })

export const proxy = z
  .strictObject({
    managed: z
      .boolean()
      .default(true)
      .describe(
        'The hub starts the proxy and keeps it running. False: you run hutch-proxy --config STATE/run/proxy.json, which the hub writes.',
      ),
    control: listenAddress
      .optional()
      .describe(
        'Where a proxy that is not managed answers GET /health and /metrics: not public. Absent: a unix socket in STATE/run.',
      ),
    workers: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe('Processes that share the port; one serves hundreds of people.'),
    trustedProxies: z
      .array(z.string())
      .default([])
      .describe('Addresses or CIDR ranges whose X-Forwarded-* headers are believed.'),
    tls: z
      .strictObject({
        certificateFile: z.string().min(1).describe('PEM: the certificate, then those that signed it.'),
        keyFile: z.string().min(1).describe('PEM: the private key; a file that others can not read (chmod 600).'),
      })
      .optional()
      .describe('The proxy speaks TLS itself. Absent: it does not, and something in front of it should.'),
    drain: duration.prefault('30s').describe('How long a stopping proxy waits for downloads and WebSockets.'),
  })
  .describe('The process that browsers talk to.')
  .prefault({})

export const agents = z
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
    silentAfter: duration
      .prefault('3min')
      .describe(
        'An agent that was not heard for this long is asked, at most once a second; agents report once a minute.',
      ),
  })
  .describe('How environments report to the hub.')
  .prefault({})

export const environments = z
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
    staffVisits: duration
      .prefault('1h')
      .describe(
        "Staff who may enter others' environments say why first; after this long they say it again. Their login's end ends it too.",
      ),
    keepEnded: duration.prefault('30d').describe('How long ended environments stay on the home page.'),
    perUser: z.int().min(1).default(10).describe('Most environments that one user may have at once.'),
    entitlement: z
      .strictObject({
        check: duration
          .prefault('15min')
          .describe('How often it is asked whether people may still use what runs for them.'),
        grace: duration
          .prefault('1d')
          .describe(
            'Who left a proposal, or may not use this installation any more, is warned; it is stopped this much later.',
          ),
      })
      .describe('What happens when somebody leaves a proposal while an environment with its data runs.')
      .prefault({}),
  })
  .describe('What holds for all environments.')
  .prefault({})
