/** A real JupyterHub with its own tests, set up once outside the checkout. */
import { execFile } from 'node:child_process'
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'

const run = promisify(execFile)
const version = '6.1.1'
const packages = [
  `jupyterhub==${version}`,
  'jupyterlab',
  'notebook',
  'pytest>=7',
  'pytest-asyncio',
  'requests-mock',
  'beautifulsoup4',
  'jsonschema',
  'cryptography',
  'virtualenv',
]

/** Undefined: it is not there yet; jupyterHubBin makes it. */
export async function installedJupyterHub(): Promise<string | undefined> {
  const isComplete = await access(join(folder(), 'complete')).then(
    () => true,
    () => false,
  )
  return isComplete ? join(folder(), 'bin') : undefined
}

function folder(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  return join(cache, 'hutch-tests', `jupyterhub-${version}`)
}

/** The folder that holds `python` and `jupyterhub`. Undefined: skipped, and said so. */
export async function jupyterHubBin(t: ExecutionContext): Promise<string | undefined> {
  const python = program('python3', ['/usr/bin'])
  if (!available(t, 'Python 3', python, 'apt-get install python3')) return undefined
  const installed = await installedJupyterHub()
  if (installed !== undefined) return installed
  t.timeout(900_000, 'a virtual environment with JupyterHub is being made, once')
  try {
    await rm(folder(), { recursive: true, force: true })
    await mkdir(join(folder(), '..'), { recursive: true })
    // Debian's python3 lacks ensurepip: the pip wheel is itself a program that can install.
    await run(python ?? '', ['-m', 'venv', '--without-pip', folder()])
    const wheels = join(folder(), 'wheels')
    await run('python3', ['-m', 'pip', 'download', '--no-deps', '--quiet', '--dest', wheels, 'pip'])
    const [wheel = ''] = await readdir(wheels)
    await run(
      join(folder(), 'bin/python'),
      [join(wheels, wheel, 'pip'), 'install', '--quiet', '--prefer-binary', ...packages],
      {
        maxBuffer: 2 ** 24,
      },
    )
    await writeFile(join(folder(), 'complete'), '')
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n').slice(-3).join(' ') : String(error)
    if (!available(t, 'JupyterHub', undefined, `python3 -m venv and pip must work: ${why}`)) return undefined
  }
  return join(folder(), 'bin')
}
