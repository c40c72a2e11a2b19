import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** The program's path on PATH or in one of `places`, or undefined. */
export function program(name: string, places: readonly string[] = []): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', ...places]
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

/**
 * True when `component` is there. When it is missing: with CI=true the test fails; elsewhere it passes with one
 * line that names what is missing and how to get it, and the caller returns.
 */
export function available(t: ExecutionContext, component: string, found: unknown, remedy: string): boolean {
  if (found) return true
  const line = `${component} is missing: ${remedy}`
  if (process.env['CI'] === 'true') t.fail(line)
  else {
    t.log(`skipped: ${line}`)
    t.pass()
  }
  return false
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
