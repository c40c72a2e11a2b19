/**
 * JupyterLab as a machine might have it on PATH: readable by every account and visible in a sandbox. Set up by the
 * product's own set-up, once for all tests, so that each hub that they start need not.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { findOrInstallJupyter, type Jupyter } from '../../hub/setup/jupyter.ts'
import { available } from './component.ts'
import { quietLog } from './quiet-log.ts'
import { until } from './until.ts'

/** The folder to put first on PATH. Undefined: skipped, and said so. */
export async function jupyterOnPath(t: ExecutionContext): Promise<string | undefined> {
  const found = await readyJupyter(t)
  if (!('missing' in found)) return found.binFolder
  available(t, 'JupyterLab', undefined, found.missing)
  return undefined
}

/** One for each version of what the set-up installs; `missing`: why there is none. */
export async function readyJupyter(t: Pick<ExecutionContext, 'timeout'>): Promise<Jupyter> {
  const stateFolder = join(cacheFolder(), `jupyter-${await version()}`)
  await mkdir(stateFolder, { recursive: true, mode: 0o755 })
  t.timeout(900_000, 'JupyterLab is set up, once for all tests')
  return await alone(`${stateFolder}.lock`, async () => {
    return await findOrInstallJupyter({
      stateFolder,
      log: quietLog,
      progress: () => undefined,
      signal: AbortSignal.timeout(800_000),
      env: { ...process.env, PATH: '/usr/bin:/bin' },
    })
  })
}

/** As root not under a home: other accounts could not read it there. */
export function cacheFolder(): string {
  if (process.getuid?.() === 0) return '/var/cache/hutch-tests'
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'hutch-tests')
}

async function version(): Promise<string> {
  const folder = new URL('../../hub/setup/jupyter/', import.meta.url)
  const hash = createHash('sha256')
  for (const name of (await readdir(folder)).toSorted()) hash.update(await readFile(new URL(name, folder)))
  return hash.digest('hex').slice(0, 12)
}

const abandonedAfterMs = 850_000

/** Of several test processes that want it at once, one works and the others wait. */
export async function alone<T>(lock: string, work: () => Promise<T>): Promise<T> {
  await until(
    `the lock ${lock}`,
    async () => {
      const since = await stat(lock).then(
        ({ mtimeMs }) => mtimeMs,
        () => undefined,
      )
      if (since !== undefined && Date.now() - since > abandonedAfterMs) await rm(lock, { recursive: true, force: true })
      return await mkdir(lock).then(
        () => true,
        () => false,
      )
    },
    { timeoutMs: 850_000, everyMs: 100 },
  )
  try {
    return await work()
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}
