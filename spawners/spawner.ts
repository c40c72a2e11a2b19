/**
 * The spawner contract: read this first. A spawner makes environments exist on one kind of backend
 * and tells what is there. It never decides: the reconcile loop does.
 */
import type { z } from 'zod'
import type { AgentBootstrap } from '../images/agent/bootstrap.ts'

/** Lowercase, a letter first, at most 30 of [a-z0-9]: valid as pod, job, cgroup and DNS label. Made once. */
export type EnvironmentId = string & { readonly __brand: 'EnvironmentId' }

export const environmentIdPattern = /^[a-z][a-z0-9]{0,29}$/

export function isEnvironmentId(text: string): text is EnvironmentId {
  return environmentIdPattern.test(text)
}

/** Where an environment is before it runs, in the order in which a user sees it. */
export type Stage = 'accepted' | 'queued' | 'scheduling' | 'pulling' | 'mounting' | 'starting'

/** Why an environment ended: data, so that nobody parses a message. */
export type EndReason =
  | 'completed'
  | 'failed'
  | 'outOfMemory'
  | 'timeLimit'
  | 'idle'
  | 'preempted'
  | 'evicted'
  | 'nodeLost'
  | 'cancelled'
  | 'launchRefused'
  | 'startTimeout'
  | 'vanished'

export type Observation =
  | Readonly<{ phase: 'pending'; stage: Stage; message: string; position?: number; startEstimateAt?: Date }>
  | Readonly<{ phase: 'running'; hosts: readonly string[]; address?: URL; startedAt: Date; endsAt?: Date }>
  | Readonly<{ phase: 'stopping' }>
  | Readonly<{
      phase: 'ended'
      reason: EndReason
      message: string
      exitCode?: number
      startedAt?: Date
      endedAt?: Date
    }>
  /** This one can't be told now. Never read as absent. */
  | Readonly<{ phase: 'unknown'; message: string }>

/** The user's POSIX account at the facility. Numeric ids decide; names are for people. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  /** Supplementary groups; the primary group is not repeated. */
  readonly groups: readonly Readonly<{ name: string; gid: number }>[]
  /** The path that the environment sees as HOME. */
  readonly home: string
  readonly shell: string
  /** The GECOS field, free of ':' and control characters. */
  readonly fullName?: string
}

/** cpu in cores (fractions allowed), memory in bytes, walltime in milliseconds (absent: no limit of its own). */
export interface Resources {
  readonly cpu: number
  readonly memoryBytes: number
  readonly gpus: number
  /** What kind they are, in the words of the configuration. */
  readonly gpuType?: string
  readonly walltimeMs?: number
  /** Most processes and threads at once. */
  readonly processes?: number
}

/** Absent: no limit. */
export interface OwnerLimits {
  readonly cpu?: number
  readonly memoryBytes?: number
  readonly gpus?: number
  readonly environments?: number
}

/** One directory in the environment, derived by the hub's mount rules and by nothing else. */
export interface Mount {
  /** What the user is told when it fails: "home", "proposal 20260042, raw". */
  readonly name: string
  readonly source: Readonly<{ kind: 'host'; path: string }> | Readonly<{ kind: 'nfs'; server: string; path: string }>
  readonly target: string
  readonly readOnly: boolean
  /** Its file server wants the account's Kerberos ticket. */
  readonly security?: 'krb5'
  /**
   * Somebody chose the path: its source must be the folder itself, beneath this one (on the same server), with no link
   * on the way. Only spawners with `heedsBeneath` are given such mounts.
   */
  readonly beneath?: string
  /** Nobody but a service of the facility named the path. */
  readonly vouched?: true
}

/** What the agent starts. `terminal` starts nothing: the agent's own web terminal is the application. */
type ApplicationKind = 'notebook' | 'terminal' | 'desktop' | 'web'

export interface Application {
  readonly kind: ApplicationKind
  /** Empty (but for terminals): the image's own command. Placeholders {socket}, {prefix}, {home}, {start} are replaced by the agent, each within its own argument. */
  readonly argv: readonly string[]
  /** Below the prefix: answers 2xx, 3xx or 4xx on the application's socket once it is ready. */
  readonly readyPath: string
  /** Below the prefix: where the browser goes first. */
  readonly landingPath: string
  /** Working directory; placeholders as in argv. Absent: the account's home. */
  readonly directory?: string
  /** It listens on this port of loopback instead of {socket}: only where an environment has a loopback of its own. */
  readonly port?: number
  /** It knows nothing of its prefix: it is asked, and answers, as if it were at /. */
  readonly atRoot?: boolean
}

/** What is wanted. Immutable: a change is a new environment; only the end time can move. */
export interface EnvironmentSpec<Profile = unknown> {
  readonly id: EnvironmentId
  /** The hub's own id, from the configuration; everything in a backend carries it. */
  readonly hub: string
  /** The owner's name in the hub. */
  readonly owner: string
  /** The URL prefix, beginning and ending with a slash: /user/alice/e7f3k2/ */
  readonly prefix: string
  readonly account: Account
  readonly application: Application
  readonly image?: string
  /** Without an agent: the application itself listens on a port and speaks JupyterHub's protocol. */
  readonly protocol?: 'jupyterhub'
  readonly resources: Resources
  /** What the hub's limits let its owner have at once, for backends that keep a limit of their own beside. */
  readonly ownerLimits?: OwnerLimits
  readonly variables: Readonly<Record<string, string>>
  readonly mounts: readonly Mount[]
  /** It gets its account's Kerberos tickets (SpawnerContext.tickets); only spawners with `renewTickets` are given such. */
  readonly tickets?: true
  /** What its owner is told about it; spawners make nothing of it. */
  readonly warning?: string
  readonly profile: Profile
  /** sha256 (hex) of the canonical JSON of everything above; backends keep it as a label, so that adopting is possible. */
  readonly digest: string
}

/** What a backend kept of an environment whose row may be lost: enough to adopt it or to remove it. */
export interface Found {
  readonly observation: Observation
  readonly owner?: string
  readonly digest?: string
}

export interface Health {
  readonly ok: boolean
  /** One sentence for administrators and for the launch page. */
  readonly message: string
  readonly free?: Readonly<{ cpu?: number; memoryBytes?: number; gpus?: number }>
}

/** As a row of a table: "GPUs at once", of "the account beamtime". */
export interface BackendLimit {
  readonly what: string
  readonly whose: string
  readonly most: number
  /** Absent: it is for each environment alone, or not known. */
  readonly used?: number
  /** Absent: a plain number. */
  readonly unit?: 'bytes' | 'ms'
}

export interface Spawner<Profile = unknown> {
  /**
   * Makes it exist. Twice is once; returns when accepted, not when ready.
   * @throws LaunchRefused when trying again can't help; anything else is tried again.
   */
  ensure(spec: EnvironmentSpec<Profile>, signal: AbortSignal): Promise<void>
  /** Every environment of this hub, in one request. Throws if it can tell nothing. */
  observe(signal: AbortSignal): Promise<ReadonlyMap<EnvironmentId, Found>>
  /** Makes it not exist. Absent is success. Returns when the backend accepted it. */
  remove(id: EnvironmentId, signal: AbortSignal): Promise<void>
  /** The last lines that it printed, at most 64 KiB. */
  logs?(id: EnvironmentId, signal: AbortSignal): Promise<string>
  /**
   * Moves the end of one that runs; the next observation tells it. Absent: this backend, or its site, does not.
   * @throws LaunchRefused with a sentence for the user when the backend gives no more time; it runs on as it was.
   */
  extend?(id: EnvironmentId, endsAt: Date, signal: AbortSignal): Promise<void>
  /** Of one that lives: `spec.ownerLimits` are its owner's by now. Absent: this backend keeps no limits of its own. */
  limitOwner?(spec: EnvironmentSpec<Profile>, signal: AbortSignal): Promise<void>
  /** Calls back when something may have changed, so that the loop need not wait for its tick. Resolves on abort. */
  watch?(changed: (id: EnvironmentId) => void, signal: AbortSignal): Promise<void>
  /** Is the backend there, may we use it, what is free: for doctor, placement and the pages. */
  check?(signal: AbortSignal): Promise<Health>
  /** ms since a backend that is followed was last heard of: a metric. Undefined: never yet. */
  watchAgeMs?(): number | undefined
  /**
   * A new ticket cache in place of the one that it began with. What is not there, or has ended, gets none: success.
   * Absent: this spawner, or as it is configured, has no way to give its environments tickets.
   */
  renewTickets?(spec: EnvironmentSpec<Profile>, cache: Buffer, signal: AbortSignal): Promise<void>
  /** It looks at Mount.beneath, or mounts with no more rights than the account has. */
  readonly heedsBeneath?: boolean
  /** What the backend itself lets this account have, and what of it is in use: for the launch page. */
  limits?(account: Pick<Account, 'name' | 'uid'>, signal: AbortSignal): Promise<readonly BackendLimit[]>
  /** How long after an accepted action an observation may still miss it. Default 0. */
  readonly visibilityLagMs?: number
  /** For the curious, on the environment's page: what there is of it in the backend's own words. Pure. */
  describe?(spec: EnvironmentSpec<Profile>): readonly Readonly<{ title: string; text: string }>[]
  /** ms since the epoch: to spare the backend, the loop does not observe before. Asked each time. */
  observeNotBefore?(): number
  /** Its agent says that it ends, or has hung up: for a backend that is looked at seldom, the moment to look is near. */
  ending?(id: EnvironmentId): void
  /** For a backend that keeps what it is given: its environments are told a key that is good once. */
  readonly claims?: Claims<Profile>
  /** Frees what the spawner itself holds open; environments go on. */
  close?(): Promise<void>
}

/**
 * An environment that was started with a claim asks the hub for its bootstrap: once for each of its starts, soon after
 * it, and from a host that the backend observed. The hub holds all of that; a second claim raises an alarm.
 */
export interface Claims<Profile = unknown> {
  /** 32 bytes: the pre-shared key of the claim. The same each time that it is asked for. */
  key(id: EnvironmentId): Buffer
  /** How long after its start. */
  readonly withinMs: number
  bootstrap(spec: EnvironmentSpec<Profile>): AgentBootstrap
  /** One is claiming, so it runs: now is the moment to look. */
  claiming(id: EnvironmentId): void
}

/** What a spawner is given by the hub. No state at module level, nothing else from outside. */
export interface SpawnerContext {
  /** The hub's own id. */
  readonly hub: string
  /** The spawner's name in the configuration. */
  readonly name: string
  /** A private folder (0700) of this spawner's own in the hub's state, made already. */
  readonly stateFolder: string
  /** What the agent of this environment must be given, its key included: never argv, variables or a log. */
  readonly bootstrap: (spec: EnvironmentSpec) => AgentBootstrap
  /** 32 bytes for one purpose: the same in every hub of the installation, another for each purpose and spawner. */
  readonly secret: (purpose: string) => Buffer
  /** Variables with secrets, for environments without an agent: never argv, a file that others read, or a log. */
  readonly secretVariables?: (spec: EnvironmentSpec) => Readonly<Record<string, string>>
  /**
   * For a spec with `tickets`: the bytes of its account's Kerberos credential cache. Never argv, variables or a log.
   * @throws LaunchRefused when the account can have none; anything else may pass. Absent: nothing supplies any.
   */
  readonly tickets?: (spec: EnvironmentSpec, signal: AbortSignal) => Promise<Buffer>
  /** argv that starts the agent, to which `--config FILE` or `--config -` is added. */
  readonly agent: Readonly<{ argv: readonly string[]; folder: string }>
  readonly log: Log
  readonly now: () => Date
}

/** The part of pino's logger that we use: fields first, message second. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Log
}

/** What a spawner's module exports as `default`; a site's own comes by module path or package name. */
export interface SpawnerType<Config = unknown, Profile = unknown> {
  /** The value of `type:` in the configuration. */
  readonly type: string
  /** The spawner's own part of `spawners.<name>` (without `type`). */
  readonly configSchema: z.ZodType<Config>
  /** The spawner's own part of a profile (under `profiles.<name>.on.<spawner>`). */
  readonly profileSchema: z.ZodType<Profile>
  create(config: Config, context: SpawnerContext): Promise<Spawner<Profile>>
  /** What a profile leaves to its users, besides the flavour. */
  readonly launchOptions?: Readonly<{
    of(profile: Profile): readonly LaunchOption[]
    /** `chosen` holds one value of each option. */
    choose(profile: Profile, chosen: Readonly<Record<string, string>>): Chosen<Profile>
  }>
}

export interface LaunchOption {
  readonly name: string
  readonly title: string
  /** The default first. */
  readonly values: readonly Readonly<{ value: string; title: string }>[]
}

/** The spawner's part of the spec, and what of the flavour was chosen otherwise. */
export interface Chosen<Profile = unknown> {
  readonly profile: Profile
  /** In place of the profile's. */
  readonly image?: string
  readonly gpus?: number
  readonly walltimeMs?: number
}

/** The backend says no for good: the message is for the user, says what to do, and ends the environment. */
export class LaunchRefused extends Error {
  override readonly name = 'LaunchRefused'
  readonly reason: EndReason
  constructor(message: string, options: { reason?: EndReason; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.reason = options.reason ?? 'launchRefused'
  }
  /** By name: the hub runs from a bundle, and a site's spawner brings a copy of this class. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'LaunchRefused' && 'reason' in value
  }
}
