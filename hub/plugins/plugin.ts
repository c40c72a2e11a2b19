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
