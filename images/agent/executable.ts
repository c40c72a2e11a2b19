/** Programs that can be run. */
import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'

/** A path as it is, or the first of that name on `path`. */
export function findOnPath(name: string, path: string): string | undefined {
  if (name === '') return undefined
  const places = isAbsolute(name) ? [name] : path.split(delimiter).map((folder) => join(folder, name))
  return places.find(isExecutable)
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
