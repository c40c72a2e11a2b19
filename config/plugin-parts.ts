/** Plug-ins of the site's own: where a configuration names them, and their options, checked by their own schemas. */
import type { z } from 'zod'
import type { Draft } from './draft.ts'
import type { Finding, Path } from './mistake.ts'
import type { Configuration, PluginConfiguration } from './schema.ts'
import { findings } from './words.ts'

/** What a plug-in is for; hub/plugins/plugin.ts has the contract of each. */
export type PluginKind = 'accounts' | 'catalogue' | 'authenticator' | 'notifier' | 'matching' | 'credentials'

/** What is asked of a plug-in here. `file`: where it was found, absolute. */
interface FoundPlugin {
  readonly file: string
  readonly optionsSchema: z.ZodType
}

/** Throws an Error whose message is one line for the administrator. */
export type ResolvePlugin = (kind: PluginKind, packageName: string, folder: string) => Promise<FoundPlugin>

export interface CheckedPlugins {
  readonly mistakes: readonly Finding[]
  /** The same configuration: each plug-in by its file, its options as its schema gives them. Only without mistakes. */
  complete(configuration: Configuration): Configuration
}

interface Place {
  readonly kind: PluginKind
  readonly path: Path
  readonly plugin: PluginConfiguration
}

/** Every place where a plug-in may be named. */
function places({
  accounts,
  catalogue,
  credentials,
  login,
  notify,
}: Pick<Draft, 'accounts' | 'catalogue' | 'credentials' | 'login' | 'notify'>): Place[] {
  const found: Place[] = []
  if (accounts?.source === 'plugin') {
    found.push({ kind: 'accounts', path: ['accounts', 'plugin'], plugin: accounts.plugin })
  }
  if (catalogue?.type === 'plugin') {
    found.push({ kind: 'catalogue', path: ['catalogue', 'plugin'], plugin: catalogue.plugin })
  }
  for (const [name, one] of Object.entries(login?.passwords ?? {})) {
    if (one.type !== 'plugin') continue
    found.push({ kind: 'authenticator', path: ['login', 'passwords', name, 'plugin'], plugin: one.plugin })
  }
  if (login?.matching !== undefined) {
    found.push({ kind: 'matching', path: ['login', 'matching', 'plugin'], plugin: login.matching.plugin })
  }
  if (credentials !== undefined) {
    found.push({ kind: 'credentials', path: ['credentials', 'plugin'], plugin: credentials.plugin })
  }
  if (notify !== undefined) found.push({ kind: 'notifier', path: ['notify', 'plugin'], plugin: notify.plugin })
  return found
}

/** Packages and relative paths are looked for from `folder`, the configuration's. */
export async function checkPlugins(draft: Draft, folder: string, resolve: ResolvePlugin): Promise<CheckedPlugins> {
  const mistakes: Finding[] = []
  const found = new Map<string, FoundPlugin>()
  for (const { kind, path, plugin } of places(draft)) {
    const known = await resolve(kind, plugin.package, folder).catch((error: unknown) => firstLine(error))
    if (typeof known === 'string') mistakes.push({ path: [...path, 'package'], message: known })
    else {
      found.set(path.join('.'), known)
      mistakes.push(...checked(known.optionsSchema, plugin.options, [...path, 'options']))
    }
  }
  return { mistakes, complete: (configuration) => complete(configuration, found) }
}

/** A site's schema may throw, with a transform of its own: that too is a mistake at its place. */
export function checked(schema: z.ZodType, part: unknown, path: Path): Finding[] {
  try {
    return findings(schema, part, path)
  } catch (error) {
    return [{ path, message: `what it belongs to could not check this: ${firstLine(error)}` }]
  }
}

function complete(configuration: Configuration, found: ReadonlyMap<string, FoundPlugin>): Configuration {
  let whole: unknown = configuration
  for (const { path, plugin } of places(configuration)) {
    const known = found.get(path.join('.'))
    if (known === undefined) continue
    whole = withAt(whole, path, { package: known.file, options: known.optionsSchema.parse(plugin.options) })
  }
  return whole as Configuration
}

/** A copy of what lies on the way alone: the rest may hold what can't be copied. */
function withAt(whole: unknown, [key, ...rest]: Path, value: unknown): unknown {
  if (key === undefined) return value
  return { ...(whole as object), [key]: withAt((whole as Record<string, unknown>)[key], rest, value) }
}

export function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.split('\n', 1)[0]?.slice(0, 300) ?? ''
}
