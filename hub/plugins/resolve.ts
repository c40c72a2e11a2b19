/** `plugin:` in the configuration → its module, and what that makes. */
import type { PluginKind, ResolvePlugin } from '../../config/plugin-parts.ts'
import type { PluginConfiguration } from '../../config/schema.ts'
import { readSecretFile } from '../../config/secret.ts'
import type { Log } from '../../spawners/spawner.ts'
import { findModule, isSchema, loadModule } from './module.ts'
import type { Plugins, PluginType } from './plugin.ts'

export const resolvePlugin = (async (kind, name, folder) => {
  const file = findModule(name, folder)
  if (file === undefined) {
    throw new Error('there is no such module; write its path (./ours.js), or install the package beside this file')
  }
  const { optionsSchema } = await pluginAt(kind, file)
  return { file, optionsSchema }
}) satisfies ResolvePlugin

export interface MakePluginOptions {
  readonly log: Log
  readonly now: () => Date
  readonly fetch: typeof fetch
}

/** Of a configuration that was loaded: `package` is a file, `options` are checked. */
export async function makePlugin<Kind extends PluginKind>(
  kind: Kind,
  { package: file, options }: PluginConfiguration,
  { log, now, fetch }: MakePluginOptions,
): Promise<Plugins[Kind]> {
  const plugin = await pluginAt(kind, file)
  return await plugin.create(options, { log: log.child({ plugin: kind }), now, fetch, readSecret: readSecretFile })
}

async function pluginAt<Kind extends PluginKind>(kind: Kind, file: string): Promise<PluginType<Kind>> {
  const { default: found } = await loadModule(file, 'the plug-in')
  const plugin = (typeof found === 'object' && found !== null ? found : {}) as Partial<PluginType>
  if (!isSchema(plugin.optionsSchema) || typeof plugin.create !== 'function') {
    throw new Error(
      'the module exports no plug-in as default: {kind, optionsSchema, create}; see config/plugins/README.md',
    )
  }
  if (plugin.kind !== kind) {
    throw new Error(`it is a plug-in for ${String(plugin.kind).slice(0, 40)}, and one for ${kind} is needed here`)
  }
  return plugin as PluginType<Kind>
}
