/** A real JupyterHub with its own tests, set up once outside the checkout. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'
import { alone, cacheFolder } from './jupyter-on-path.ts'

const run = promisify(execFile)
const version = '6.1.1'
/** The release before, beside the packages of the newer one. */
const before = 'jupyterhub==5.5.4'
const packages = [
  `jupyterhub==${version}`,
  'jupyterlab',
  'notebook',
  'pytest>=7',
  'pytest-asyncio',
  'requests-mock',
  'beautifulsoup4',
  'jsonschema',
  'jupyterhub-idle-culler==2.0.0',
  'cryptography',
  'virtualenv',
  'batchspawner==1.3.0',
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
  const made = createHash('sha256')
    .update(JSON.stringify([...packages, before]))
    .digest('hex')
    .slice(0, 12)
  return join(cacheFolder(), `jupyterhub-${version}-${made}`)
}

/** The folder that holds `python` and `jupyterhub`; `../before` is a PYTHONPATH with the release before. Undefined: skipped. */
export async function jupyterHubBin(t: ExecutionContext): Promise<string | undefined> {
  // The system's own: one that lies in somebody's home is out of reach for other accounts and for sandboxes.
  const own = '/usr/bin/python3'
  const python = existsSync(own) ? own : program('python3')
  if (!available(t, 'Python 3', python, 'apt-get install python3')) return undefined
  t.timeout(900_000, 'a virtual environment with JupyterHub is being made, once')
  await mkdir(cacheFolder(), { recursive: true })
  return await alone(`${folder()}.lock`, async () => {
    const installed = await installedJupyterHub()
    if (installed !== undefined) return installed
    try {
      await install(python ?? '')
    } catch (error) {
      const why = error instanceof Error ? error.message.split('\n').slice(-3).join(' ') : String(error)
      if (!available(t, 'JupyterHub', undefined, `python3 -m venv and pip must work: ${why}`)) return undefined
    }
    return join(folder(), 'bin')
  })
}

async function install(python: string): Promise<void> {
  await rm(folder(), { recursive: true, force: true })
  // Debian's python3 lacks ensurepip: the pip wheel is itself a program that can install.
  await run(python, ['-m', 'venv', '--without-pip', folder()])
  const wheels = join(folder(), 'wheels')
  await run('python3', ['-m', 'pip', 'download', '--no-deps', '--quiet', '--dest', wheels, 'pip'])
  const [wheel = ''] = await readdir(wheels)
  const pip = async (...argv: readonly string[]): Promise<unknown> =>
    await run(join(folder(), 'bin/python'), [join(wheels, wheel, 'pip'), 'install', '--quiet', ...argv], {
      maxBuffer: 2 ** 24,
    })
  await pip('--prefer-binary', ...packages)
  await pip('--no-deps', '--target', join(folder(), 'before'), before)
  await writeFile(join(folder(), 'complete'), '')
}
