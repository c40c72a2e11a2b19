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
