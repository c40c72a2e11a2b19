/** Modules of the site's own: a path, or a package that is installed beside the configuration. */
import { createRequire } from 'node:module'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Its file, absolute; undefined: there is none. */
export function findModule(name: string, folder: string): string | undefined {
  const path = isAbsolute(name) || /^\.{1,2}\//.test(name) ? resolve(folder, name) : name
  try {
    return createRequire(`${resolve(folder)}/`).resolve(path)
  } catch {
    // Not there, or a package without an entry: the caller says what to do.
    return undefined
  }
}

/** Throws an Error whose message is one line for the administrator, and begins with `what`. */
export async function loadModule(file: string, what: string): Promise<{ default?: unknown }> {
  try {
    return (await import(pathToFileURL(file).href)) as { default?: unknown }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause)
    throw new Error(`${what} can't be loaded: ${reason}`, { cause })
  }
}

/** As far as it is asked here: zod's, of whatever release the site has, or another's that has the same methods. */
export function isSchema(value: unknown): boolean {
  const { safeParse, parse } = (value ?? {}) as { safeParse?: unknown; parse?: unknown }
  return typeof safeParse === 'function' && typeof parse === 'function'
}
