/** SciCat's own client for Python, which we did not write. Installed once, outside the checkout. */
import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available } from './component.ts'

const run = promisify(execFile)
const version = '0.4.8'

/** Runs a program that may import pyscicat; its arguments are sys.argv[1:]. Undefined: skipped, and said so. */
export async function pyscicat(
  t: ExecutionContext,
): Promise<((program: string, args: readonly string[]) => Promise<string>) | undefined> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'hutch-tests')
  const folder = join(cache, `pyscicat-${version}`)
  const isThere = await access(folder).then(
    () => true,
    () => false,
  )
  try {
    if (!isThere) await install(cache, folder)
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n').slice(-3).join(' ') : String(error)
    if (!available(t, 'pyscicat', undefined, `python3 -m pip must work: ${why}`)) return undefined
  }
  return async (program, args) => {
    const env = { PATH: process.env['PATH'], PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' }
    return (await run('python3', ['-c', program, ...args], { env, timeout: 120_000 })).stdout
  }
}

/** Beside, then moved: another test sees all of it or nothing. */
async function install(cache: string, folder: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const making = await mkdtemp(join(cache, 'pyscicat-'))
  const pip = ['-m', 'pip', 'install', '--quiet', '--prefer-binary', '--target', making, `pyscicat==${version}`]
  try {
    await run('python3', pip, { timeout: 600_000, maxBuffer: 16 * 1024 * 1024 })
    // When another one was faster, its is as good.
    await rename(making, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}
