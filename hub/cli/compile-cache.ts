/**
 * What Node compiled last time is kept: it halves what loading the hub takes. Only where nobody can write who could
 * not change the program itself or its state.
 */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import { enableCompileCache, flushCompileCache, getCompileCacheDir } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const besidePackages = fileURLToPath(new URL('../../node_modules/.cache/hutch', import.meta.url))

/** Before anything else is loaded. `state`: the folder that the command line names, which may not be there yet. */
export function keepCompiled(state: string | undefined): void {
  if (makeWritable(besidePackages)) enableCompileCache(besidePackages)
  else if (state !== undefined) keepCompiledIn(state)
}

/** Once the configuration has named the state folder; for what is loaded from now on. A new one is not ours to make. */
export function keepCompiledIn(state: string): void {
  if (getCompileCacheDir() === undefined && existsSync(state)) enableCompileCache(folderIn(state))
}

/** Node writes it when the process ends by itself: a hub may run for months, and be killed. */
export function saveCompiled(): void {
  flushCompileCache()
}

function folderIn(state: string): string {
  return join(state, 'cache', 'compiled')
}

/** Where the program belongs to somebody else than who runs it, it is not. */
function makeWritable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true })
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false // then there is another place
  }
}
