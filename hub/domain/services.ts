/** What the rooms of the hub offer each other. hub/main.ts makes each once and hands it to those that need it. */
import type { Transaction } from 'kysely'
import type { AgentReport } from '../../images/agent/bootstrap.ts'
import type { HubMessage, Revocation, Route } from '../../proxy/feed.ts'
import type { Account, BackendLimit, EndReason, EnvironmentId, LaunchOption } from '../../spawners/spawner.ts'
import type { AuditedActor } from '../audit/entry.ts'
import type { NewEnvironment, Tables } from '../store/schema.ts'
import type { Permissions } from '../roles/permissions.ts'
import type { Choices, Environment } from './environment.ts'
import type { Extension } from './extension.ts'

export interface User {
  readonly id: string
  readonly name: string
  readonly title: string
  readonly email?: string
  readonly admin: boolean
  readonly blockedReason?: string
}

/** Who makes this request, and by what. In Koa: `ctx.state.visitor`, set by the identity middleware. */
export interface Visitor {
  readonly user: User
  /** The public id of the login, or of the token. */
  readonly login: string
  readonly by: 'cookie' | 'token'
  /** Groups as the provider said at login. */
  readonly groups: readonly string[]
  /** As a token has them; a cookie has all of its user's. */
  readonly scopes?: readonly string[]
  /** Names of roles. */
  readonly roles?: readonly string[]
  /** What the visitor may do now: of a token never more than its user's. */
  readonly permissions?: Permissions
  /** With an environment's own token: the last part of its address. */
  readonly server?: string
  /** With a token that an environment or a service has: whose, and the browser's session that it was given in. */
  readonly client?: Readonly<{ id: string; session?: string }>
  readonly expiresAt: Date
  /** Where the request came from, as the proxy saw it. */
  readonly address?: string
  /** The login provider's short name. */
  readonly provider?: string
  /** Of a cookie's login: when the provider last said who it is. */
  readonly authenticatedAt?: Date
}

/** Whose environment it is to be. */
export type Launcher = Pick<Visitor, 'user' | 'groups' | 'by' | 'login' | 'address'>

interface LaunchOptions {
  /** The last part of its address; absent: its id. */
  readonly server?: string
  /** Who asked for it, if that is somebody else. */
  readonly asked?: AuditedActor
}

/** A program of the facility that asks with a token of its own. In Koa: `ctx.state.service`. */
export interface ServiceVisitor {
  readonly name: string
  readonly admin: boolean
  readonly roles: readonly string[]
  readonly permissions: Permissions
}

/** What an admission may look at, inside the transaction that commits what it admits. */
interface LaunchGround {
  readonly trx: Transaction<Tables>
  /** Whether nobody else launches before this is committed. */
  readonly together: boolean
  /** Which limits hold, as the database says; null: there never were any. */
  readonly limits: string | null
}

/** `live`: the user's environments that are not ended. It must not write, and may run twice. */
export type Admit = (live: readonly Environment[], ground: LaunchGround) => void | Promise<void>

/** As `Admit`; `extension` is what `before` would get. It must not write, and may run twice. */
type AdmitExtension = (
  before: Environment,
  extension: Extension,
  live: readonly Environment[],
  ground: LaunchGround,
) => void | Promise<void>

/** `position` 1: the next one. `startEstimateAt`: at the latest, as things are now. */
export interface QueuePlace {
  readonly position: number
  readonly startEstimateAt?: Date
}

interface LaunchOptions {
  readonly together?: () => boolean
  readonly also?: (trx: Transaction<Tables>) => Promise<() => void>
}

/** Environments: the store's rows and the loop behind them. hub/reconcile makes it. */
export interface Environments {
  /**
   * One transaction: `admit` may throw a Problem; then the row is committed, then the loop is nudged.
   * `admit` sees the user's live environments as they are inside the transaction. `together`, asked at each try: what it looks at is
   * shared with other people, so nobody else launches anything before it is committed. `also`: what is written with
   * the row or not at all; what it gives is called after the commit.
   */
  launch(row: NewEnvironment, admit: Admit, options?: LaunchOptions): Promise<Environment>
  /**
   * One transaction: `asked` says by what its time is made longer, seeing it as it is inside the transaction, and may
   * throw a Problem, as `admit` may. `endsAt` (ms since the epoch): its end from then on, where the hub alone ends it;
   * absent: the backend is asked for it soon.
   */
  extend(
    environment: Pick<Environment, 'id' | 'userId'>,
    asked: (before: Environment) => Readonly<{ extension: Extension; endsAt?: number }>,
    admit: AdmitExtension,
    options?: { readonly together?: () => boolean },
  ): Promise<Environment>
  get(id: EnvironmentId): Promise<Environment | undefined>
  /** By the two parts of its URL; the live one, else the newest ended one. */
  find(userName: string, server: string): Promise<Environment | undefined>
  /** Live ones first, newest first. */
  list(userId: string, options: { endedSince: Date; limit: number }): Promise<readonly Environment[]>
  /** Those that have not ended, as this hub knows them now: of one user, or all. */
  live(userId?: string): readonly Environment[]
  /** Wants it absent; returns when that is committed. Stopping what has ended is success. */
  stop(id: EnvironmentId, reason: EndReason): Promise<void>
  /** Takes an ended one off the list for good. Refused (Problem 'conflict') while it lives. */
  forget(id: EnvironmentId): Promise<void>
  rename(id: EnvironmentId, title: string): Promise<void>
  /** From the agents' listener; `remoteAddress` as the socket saw it. Throws Problem 'forbidden' when the backend did not observe that host. */
  reported(id: EnvironmentId, report: AgentReport, remoteAddress: string): Promise<void>
  /** From the proxies. ms since the epoch. */
  active(at: Readonly<Record<string, number>>): Promise<void>
  /** Calls back after each change of one of the user's environments. Returns the unsubscribe. */
  subscribe(userId: string, changed: (id: EnvironmentId) => void): () => void
  /** Median ms from request to ready of the last launches of this profile on this spawner; undefined: too few. */
  usualStartMs(profile: string, spawner: string): Promise<number | undefined>
  /** Where it waits, while what it is to run on is full; undefined: it does not wait here. */
  queued(environment: Pick<Environment, 'id' | 'spawner'>): QueuePlace | undefined
  /** What the agent last claimed of its use; for pages alone, never for decisions. */
  usage(id: EnvironmentId): AgentReport['usage']
}

/** The hub's end of proxy/feed.ts. hub/reconcile keeps it; hub/http/feed.ts serves it. */
export interface RouteTable {
  routes(): readonly Route[]
  put(route: Route): void
  delete(id: string): void
  revoke(revocation: Revocation): Promise<void>
  /** Every proxy that is connected has acknowledged everything so far; resolves at once when none is connected. */
  settled(signal: AbortSignal): Promise<void>
  /** The whole table as the first message, then each change. Returns the unsubscribe. */
  follow(send: (message: HubMessage) => void): { acknowledge(seq: number): void; close(): void }
}

export interface Accounts {
  /** Live at every launch. Throws Problem 'launchRefused' with a clear sentence when there is none, or uid 0 or a system uid. */
  of(user: User, signal: AbortSignal): Promise<Account>
}

export interface Proposal {
  readonly id: string
  readonly title: string
  readonly instrument: string
  readonly technique?: string
  readonly startsAt?: Date
  readonly endsAt?: Date
  /** Values for mount rules beyond {proposal} and {instrument}: session, year … */
  readonly fields: Readonly<Record<string, string>>
  /** Where its data come from and under which licence, one line each; for the pages. */
  readonly origin?: string
  /** A notebook to open first: the name of a mount rule, a slash, and the path below that rule's target. */
  readonly notebook?: string
}

/** What was measured at one go, or made of it; belongs to one proposal. */
export interface Dataset {
  /** Unique in its catalogue. */
  readonly id: string
  /** The proposal's id. */
  readonly proposal: string
  readonly name: string
  /** Where it lies, absolute, as the catalogue says: mount rules hold it against their roots. */
  readonly folder?: string
  readonly sizeBytes?: number
  readonly files?: number
  readonly technique?: string
  readonly startsAt?: Date
  readonly endsAt?: Date
  /** It lies on no disk just now. */
  readonly archived?: true
}

export interface PageRequest {
  readonly search?: string
  readonly offset: number
  readonly limit: number
}

/** `asOf`: the catalogue does not answer, and this is what it said then; nothing may be decided by it. */
export interface CataloguePage<Item> {
  readonly items: readonly Item[]
  readonly total: number
  readonly asOf?: Date
}

export interface Catalogue {
  /**
   * The proposals that this person may use, newest first: their own, and those of instruments that they look after.
   * `search` looks into id, title, instrument, technique, fields (session) and dates.
   */
  proposals(user: User, options: PageRequest, signal: AbortSignal): Promise<CataloguePage<Proposal>>
  /** Those of `ids` that this person may use now: asked at every launch. */
  entitled(user: User, ids: readonly string[], signal: AbortSignal): Promise<readonly Proposal[]>
  /** What was measured in a proposal, newest first. @throws Problem notEntitled when it is not open to this person. */
  datasets(user: User, proposal: string, options: PageRequest, signal: AbortSignal): Promise<CataloguePage<Dataset>>
  /** Those of `ids` that there are in the proposal, for whom it is open: asked at every launch. */
  datasetsOf(user: User, proposal: string, ids: readonly string[], signal: AbortSignal): Promise<readonly Dataset[]>
}

/** What the launch page offers to this visitor. */
export interface Offer {
  readonly profile: string
  readonly title: string
  readonly description: string
  readonly kind: 'notebook' | 'terminal' | 'desktop' | 'web'
  /** Why it comes first: 'First for imaging'. */
  readonly first?: string
  readonly image?: string
  readonly flavours: readonly Readonly<{
    name: string
    title: string
    cpu: number
    memoryBytes: number
    gpus: number
    walltimeMs?: number
    /** Why it is over a limit just now. */
    overLimit?: string
  }>[]
  readonly spawners: readonly string[]
  /** What its spawners leave to the user, each with its default first. Absent: nothing. */
  readonly options?: readonly LaunchOption[]
  /** Why it can't be had just now ("JupyterLab is missing: …"), with the remedy. */
  readonly unavailable?: string
}

export type PossibleExtension =
  | Readonly<{ is: 'possible'; byMs: number }>
  /** It is admitted, and the backend is being told. */
  | Readonly<{ is: 'underWay' }>
  /** `why`: one sentence; absent: there is nothing to be said, for it has no end. */
  | Readonly<{ is: 'impossible'; why?: string }>

/** What a backend itself lets somebody have. */
export interface SpawnerLimits {
  readonly spawner: string
  readonly limits: readonly BackendLimit[]
}

export interface Launches {
  /** Of the backends of what is offered. Never rejects: what can't be told is left out. */
  backendLimits(visitor: Launcher): Promise<readonly SpawnerLimits[]>
  /** What its spawner tells of it to the curious; nothing when it can't. */
  describe(environment: Environment): readonly Readonly<{ title: string; text: string }>[]
  /** `proposals`: what would be chosen, which rules look at; with it what is over a limit is marked. */
  offers(visitor: Launcher, proposals?: readonly Proposal[]): Promise<readonly Offer[]>
  /** Checks everything live (profile, flavour, proposals, account), makes the spec, launches. Throws Problems. */
  launch(visitor: Launcher, choices: Choices, signal: AbortSignal, options?: LaunchOptions): Promise<Environment>
  /** By how much the time of what runs could be made longer now, limits on hours apart; or why not. */
  extension(environment: Environment): PossibleExtension
  /**
   * Checks everything live as a launch does, and admits it anew. `endsAt`: its end as whoever asks knows it, so that
   * asking twice is asking once. `byMs` absent: as much as it was launched with, or what is left. Throws Problems.
   */
  extend(
    visitor: Launcher,
    environment: Environment,
    wanted: Readonly<{ byMs?: number; endsAt?: Date }>,
    signal: AbortSignal,
  ): Promise<Environment>
}
