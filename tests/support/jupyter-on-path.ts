/**
 * JupyterLab as a machine might have it on PATH: readable by every account and visible in a sandbox. Set up by the
 * product's own set-up, once for all tests, so that each hub that they start need not.
 */
import { mkdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { findOrInstallJupyter } from '../../hub/setup/jupyter.ts'
import { available } from './component.ts'
import { quietLog } from './quiet-log.ts'
import { until } from './until.ts'

/** The folder to put first on PATH. Undefined: skipped, and said so. */
export async function jupyterOnPath(t: ExecutionContext): Promise<string | undefined> {
  // Not under a home: other accounts could not read it there.
  const stateFolder = join(tmpdir(), `hutch-tests-jupyter-${process.getuid?.() ?? 0}`)
  await mkdir(stateFolder, { recursive: true, mode: 0o755 })
  t.timeout(900_000, 'JupyterLab is set up, once for all tests')
  return await alone(`${stateFolder}.lock`, async () => {
    const found = await findOrInstallJupyter({
      stateFolder,
      log: quietLog,
      progress: () => undefined,
      signal: AbortSignal.timeout(800_000),
      env: { ...process.env, PATH: '/usr/bin:/bin' },
    })
    if ('missing' in found) {
      available(t, 'JupyterLab', undefined, found.missing)
      return undefined
    }
    return found.binFolder
  })
}

const abandonedAfterMs = 850_000

/** Of several test processes that want it at once, one works and the others wait. */
async function alone<T>(lock: string, work: () => Promise<T>): Promise<T> {
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
