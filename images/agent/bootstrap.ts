/** What an agent is told at its start, as JSON in a file (0600) or on standard input; the only way its key travels. */
import { z } from 'zod'

export const agentBootstrapSchema = z.strictObject({
  version: z.literal(1),
  /** The environment's id: the PSK identity. */
  id: z.string().regex(/^[a-z][a-z0-9]{0,29}$/),
  /** 32 bytes, base64url: HKDF(hub's agents key, id). See link.ts. */
  key: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  /** The hub's listener for agents, TLS 1.3 with the same pre-shared key. */
  report: z.strictObject({ host: z.string(), port: z.int().min(1).max(65_535) }),
  /** Where the agent listens: port 0, or the first free one of [from, to]. */
  listen: z.strictObject({ host: z.string(), ports: z.tuple([z.int(), z.int()]).optional() }),
  /** /user/alice/e7f3k2/ */
  prefix: z.string().regex(/^\/.*\/$/),
  user: z.string(),
  application: z.strictObject({
    kind: z.enum(['notebook', 'terminal', 'desktop', 'web']),
    argv: z.array(z.string()),
    readyPath: z.string(),
    landingPath: z.string(),
    directory: z.string().optional(),
    /** It listens on this port of loopback instead of its socket. */
    port: z.int().min(1).max(65_535).optional(),
    /** It knows nothing of its prefix. */
    atRoot: z.boolean().optional(),
  }),
  /** Directories that must be there and readable before the application starts: [what to call it, path, writable]. */
  directories: z.array(z.strictObject({ name: z.string(), path: z.string(), readOnly: z.boolean() })).max(256),
  /** Where sockets go: made 0700, node-local, short. Absent: a new folder under the system's temporary one. */
  socketFolder: z.string().optional(),
  /**
   * The application has no door of the agent's: it listens itself, on a free port of the node that it is told by
   * JUPYTERHUB_SERVICE_URL, unencrypted, and with these variables, which are secret.
   */
  plain: z.strictObject({ variables: z.record(z.string(), z.string()) }).optional(),
  /** Until the application must be ready; the agent ends itself after it. */
  startTimeoutMs: z.int().positive(),
  /** How long the application gets between SIGTERM and SIGKILL. */
  stopTimeoutMs: z.int().positive(),
})

export type AgentBootstrap = z.infer<typeof agentBootstrapSchema>

/** POST /agent/report on the hub's listener for agents. Everything in it is a claim: only `port` is ever used. */
export const agentReportSchema = z.strictObject({
  version: z.literal(1),
  /** The port that the agent listens on. */
  port: z.int().min(1).max(65_535),
  /** Which start of this agent it is: random, new for each process. */
  run: z.string().max(64),
  application: z.enum(['starting', 'ready', 'ended', 'failed']),
  /** In words, for the waiting page. */
  message: z.string().max(2_000).optional(),
  /** Evidence of use since the start, ISO 8601; absent: none yet. */
  lastActivityAt: z.iso.datetime().optional(),
  usage: z
    .strictObject({
      /** Cores in use now, over the last interval. */
      cpu: z.number().min(0).optional(),
      memoryBytes: z.number().min(0).optional(),
      gpus: z
        .array(z.strictObject({ utilisation: z.number(), memoryBytes: z.number() }))
        .max(64)
        .optional(),
    })
    .optional(),
  /** Measured since the start of this run, as far as samples show. */
  used: z
    .strictObject({
      cpuMs: z.number().min(0),
      gpuMs: z.number().min(0),
      peakMemoryBytes: z.number().min(0),
    })
    .optional(),
  /** Until the hub has it: the software that is there, a line "where-from name version" for each. */
  packages: z.string().max(48_000).optional(),
})

export type AgentReport = z.infer<typeof agentReportSchema>
