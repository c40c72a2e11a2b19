/**
 * What a plug-in is: a module whose default export says what it is for, checks its own options and makes the thing.
 * One contract for each kind; a suite for each is in contracts/.
 */
import type { z } from 'zod'
import type { PluginKind } from '../../config/plugin-parts.ts'
import type { Account, Log } from '../../spawners/spawner.ts'

/** What a plug-in of each kind makes. */
export interface Plugins {
  accounts: AccountPlugin
  catalogue: CataloguePlugin
  authenticator: AuthenticatorPlugin
  matching: MatchingPlugin
  notifier: NotifierPlugin
  credentials: CredentialsPlugin
}

/** The default export of a plug-in's module. */
export interface PluginType<Kind extends PluginKind = PluginKind, Options = unknown> {
  readonly kind: Kind
  /** Of `plugin.options` in the configuration; zod's, or anything with its `safeParse` and `parse`. */
  readonly optionsSchema: z.ZodType<Options>
  /** Called once, at the start of the hub. What it throws keeps the hub from starting; its message is shown. */
  create(options: Options, context: PluginContext): Plugins[Kind] | Promise<Plugins[Kind]>
}

interface PluginContext {
  readonly log: Log
  readonly now: () => Date
  /** Node's own; tests give another. */
  readonly fetch: typeof fetch
  /** The text of a secret file, without white space around it; refused when others can read it. */
  readonly readSecret: (path: string) => Promise<string>
}

/** Asked at every launch, with a deadline of some seconds. */
export interface AccountPlugin {
  /** Undefined: there is none of this name. Throws when it can't tell: the launch is then refused, not the account. */
  find(name: string, signal: AbortSignal): Promise<Account | undefined>
  close?(): Promise<void>
}

/** Whose proposals: by the name in the hub; `instruments`: those that this person looks after, whose are theirs too. */
export interface CatalogueAsker {
  readonly user: string
  readonly instruments: readonly string[]
}

interface CatalogueWanted {
  /** Lower case: each is somewhere in id, title (name), instrument, technique, fields or dates. None: all. */
  readonly words: readonly string[]
  readonly offset: number
  /** At most 200. */
  readonly limit: number
}

interface CataloguePluginPage {
  readonly items: readonly unknown[]
  /** Over all pages. */
  readonly total: number
}

/**
 * Proposals and datasets are objects as config/catalogue-api.md has them; what can't be one is left out. Newest first,
 * always in the same order. Each question has a deadline; what throws is no answer: lists are shown with their age, and
 * launches with a proposal are refused.
 */
export interface CataloguePlugin {
  proposals(who: CatalogueAsker, wanted: CatalogueWanted, signal: AbortSignal): Promise<CataloguePluginPage>
  /** Those of `ids` (at most 50) that this person may use now: asked at every launch. Several with one id: all of them. */
  proposalsByIds(who: CatalogueAsker, ids: readonly string[], signal: AbortSignal): Promise<readonly unknown[]>
  /** Absent: it knows of none. Of a proposal that was found open to the person just before. */
  datasets?(
    who: CatalogueAsker,
    proposal: string,
    wanted: CatalogueWanted,
    signal: AbortSignal,
  ): Promise<CataloguePluginPage>
  datasetsByIds?(
    who: CatalogueAsker,
    proposal: string,
    ids: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly unknown[]>
  close?(): Promise<void>
}

/** Somebody who was recognised. */
export interface Authenticated {
  /** What they are known again by for ever; never given to another person. At most 255 characters. */
  readonly subject: string
  /** The login name; where the login proves the account, the account's. [a-z][a-z0-9._-]{0,63} */
  readonly name: string
  readonly title?: string
  readonly email?: string
  readonly groups?: readonly string[]
  /** Whatever else is known of them: for `access` rules and accounts from claims. */
  readonly claims?: Readonly<Record<string, unknown>>
}

/** One line of the form. `secret`: not shown while it is typed, and never sent back. */
export interface LoginField {
  readonly name: string
  readonly title: string
  readonly secret: boolean
}

/** Checks what somebody typed into the hub's form. The hub keeps nothing of it, and limits how often it may be tried. */
export interface AuthenticatorPlugin {
  /** What is asked, who it is first: tries are counted by that. Absent: user name and password. At most six. */
  readonly fields?: readonly LoginField[]
  /**
   * Undefined: it is wrong; what of it, nobody is told. Throws when it can't tell: nobody is let in, and it counts as no
   * try. No value is empty or holds control characters, each has at most 1,024 characters.
   */
  authenticate(
    answers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    from: Readonly<{ address: string }>,
  ): Promise<Authenticated | undefined>
  close?(): Promise<void>
}

/** An identity of an outside login service that nobody here has yet. */
export interface OutsideIdentity {
  /** The login's short name in the configuration. */
  readonly provider: string
  readonly issuer: string
  readonly subject: string
  /** The EAAHash of the first UmbrellaID. */
  readonly legacyHash?: string
  readonly claims: Readonly<Record<string, unknown>>
}

/** The user office's knowledge of whose an identity is. Never by e-mail address alone: those can be had by anybody. */
export interface MatchingPlugin {
  /** Undefined: it is nobody's. Throws when it can't tell: the person is told to try again. */
  match(identity: OutsideIdentity, signal: AbortSignal): Promise<Readonly<{ account: string }> | undefined>
  close?(): Promise<void>
}

/** A message to one person: an end that comes, a decision, a visit of the staff. */
export interface NotifierMessage {
  /** The same message has the same id, also when it is handed on again. */
  readonly id: string
  /** As the login service or the configuration gives it; an e-mail address as a rule. */
  readonly to: string
  /** One line. */
  readonly subject: string
  /** Plain text, at most 20,000 characters. */
  readonly text: string
}

/** What became of it. What failed is tried again for two weeks, unless that can't help (`permanent`). */
type Handed = Readonly<{ is: 'sent' }> | Readonly<{ is: 'failed'; message: string; permanent: boolean }>

export interface NotifierPlugin {
  /** Hands it on. What it throws is a failure that is tried again. */
  send(message: NotifierMessage, signal: AbortSignal): Promise<Handed>
  close?(): Promise<void>
}

/** Kerberos tickets of accounts, for data whose file server wants them. */
export interface CredentialsPlugin {
  /**
   * A credential cache of this account: the bytes of a file as MIT Kerberos writes it (format 4), at most 64 KiB, whose
   * principal is the account's name in whatever realm. Asked when an environment begins, and again when half of the
   * time of its tickets is over. Undefined: this account can have none; the launch is refused. Throws when it can't
   * tell: it is asked again.
   */
  ticketCache(account: Pick<Account, 'name' | 'uid'>, signal: AbortSignal): Promise<Uint8Array | undefined>
  close?(): Promise<void>
}
