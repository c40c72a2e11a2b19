/** Whether the user's directories are there, before an application starts that would fail in its own words. */
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentBootstrap } from './bootstrap.ts'

type Directory = AgentBootstrap['directories'][number]

/** What is wrong, in a sentence for the user for each directory; none: all is well. */
export async function checkDirectories(
  directories: readonly Directory[],
  { timeoutMs = 20_000 } = {},
): Promise<readonly string[]> {
  const timer = new AbortController()
  const late = sleep(timeoutMs, 'late' as const, { signal: timer.signal, ref: false }).catch(() => 'late' as const)
  const found = await Promise.all(directories.map((each) => Promise.race([check(each), late])))
  timer.abort()
  return directories.flatMap((directory, index) => {
    const problem = found[index]
    if (problem === undefined) return []
    return [`The directory "${directory.name}" (${directory.path}) ${problem === 'late' ? hangs(timeoutMs) : problem}.`]
  })
}

async function check({ path, readOnly }: Directory): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return 'is not a directory'
    await access(path, constants.R_OK | constants.X_OK)
  } catch (error) {
    return problemOf(error, 'read')
  }
  if (readOnly) return undefined
  return await access(path, constants.W_OK).then(
    () => undefined,
    (error: unknown) => problemOf(error, 'written'),
  )
}

function problemOf(error: unknown, verb: string): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'is not there'
  if (code === 'EACCES' || code === 'EPERM') return `can't be ${verb} by you`
  if (code === 'EROFS') return 'is read-only'
  return `can't be ${verb} (${code ?? 'unknown error'})`
}

/** A dead file server blocks every call on it for good. */
function hangs(timeoutMs: number): string {
  return `did not answer within ${Math.round(timeoutMs / 1000)} s`
}
