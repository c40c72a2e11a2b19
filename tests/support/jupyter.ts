/** A real JupyterLab for tests, set up once outside the checkout. The product's own set-up is hub/setup. */
import { execFile } from 'node:child_process'
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'
import { until } from './until.ts'

const run = promisify(execFile)
const version = '4.6.6'
const packages = [`jupyterlab==${version}`, 'matplotlib']

/** The folder that holds `jupyter` and `python`. Undefined: skipped, and said so. */
export async function jupyterBin(t: ExecutionContext): Promise<string | undefined> {
  const python = program('python3', ['/usr/bin'])
  if (!available(t, 'Python 3', python, 'apt-get install python3')) return undefined
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const folder = join(cache, 'hutch-tests', `jupyter-${version}`)
  const bin = join(folder, 'bin')
  if (await isThere(join(folder, 'complete'))) return bin
  t.timeout(900_000, 'a virtual environment with JupyterLab is being made, once')
  try {
    await setUp(folder, python ?? '')
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n').slice(-3).join(' ') : String(error)
    if (!available(t, 'JupyterLab', undefined, `python3 -m venv and pip must work: ${why}`)) return undefined
  }
  return bin
}

/** Several test files may want it at once: who makes the lock folder makes the rest. */
async function setUp(folder: string, python: string): Promise<void> {
  const lock = `${folder}.lock`
  await mkdir(join(folder, '..'), { recursive: true })
  const isMine = await mkdir(lock).then(
    () => true,
    () => false,
  )
  if (!isMine) {
    await until('another test sets up JupyterLab', () => isThere(join(folder, 'complete')), {
      timeoutMs: 800_000,
      everyMs: 500,
    })
    return
  }
  try {
    await rm(folder, { recursive: true, force: true })
    // Debian's python3 lacks ensurepip: the pip wheel is itself a program that can install.
    await run(python, ['-m', 'venv', '--without-pip', folder])
    const wheels = join(folder, 'wheels')
    await run('python3', ['-m', 'pip', 'download', '--no-deps', '--quiet', '--dest', wheels, 'pip'])
    const [wheel = ''] = await readdir(wheels)
    const own = join(folder, 'bin/python')
    await run(own, [join(wheels, wheel, 'pip'), 'install', '--quiet', '--prefer-binary', ...packages], {
      maxBuffer: 16 * 1024 * 1024,
    })
    await mkdir(join(folder, 'made'))
    await rename(join(folder, 'made'), join(folder, 'complete'))
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
