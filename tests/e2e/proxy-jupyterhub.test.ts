/** An unmodified JupyterHub starts the proxy in place of its own, and its own tests of the proxy pass. */
import { execFile } from 'node:child_process'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { jupyterHubBin } from '../support/jupyterhub.ts'
import { temporaryFolder } from '../support/temporary.ts'

const project = new URL('../..', import.meta.url).pathname
const run = promisify(execFile)
/** The second: JupyterHub's own certificates on the API and towards the hub and servers (`internal_ssl`). */
const suites = ['jupyterhub.tests.test_proxy', 'jupyterhub.tests.test_internal_ssl_connections']

test("JupyterHub's own tests of its proxy pass with this one", async (t) => {
  t.timeout(900_000)
  const bin = await jupyterHubBin(t)
  if (bin === undefined) return
  const folder = await temporaryFolder(t)
  const program = join(project, 'bin/hutch-proxy.js')
  // The first start of a version makes its bundle: on a busy machine that takes longer than JupyterHub waits.
  await run(process.execPath, [program, '--version'], { timeout: 120_000 })
  await symlink(program, join(folder, 'configurable-http-proxy'))
  const settings = [
    '[pytest]',
    'asyncio_mode = auto',
    'asyncio_default_fixture_loop_scope = module',
    'asyncio_default_test_loop_scope = module',
  ]
  await writeFile(join(folder, 'pytest.ini'), settings.join('\n'))
  // Its tests leave servers behind, in sessions of their own.
  t.teardown(() => endStartedFrom(folder))
  const args = ['-m', 'pytest', '-q', '-c', join(folder, 'pytest.ini'), '--pyargs', ...suites]
  const env = { ...process.env, PATH: [folder, bin, process.env['PATH']].join(':') }
  const { stdout } = await run(join(bin, 'python'), args, {
    cwd: folder,
    env,
    maxBuffer: 2 ** 26,
    timeout: 800_000,
  }).catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? 'the tests could not be run' }))
  const summary = stdout.trim().split('\n').at(-1) ?? ''
  t.regex(summary, /^\d{2,} passed/, stdout.slice(-4_000))
  t.notRegex(summary, /failed|error/)
  t.log(summary)
})

/** Whatever has this folder first on its path: all that JupyterHub passes on. */
async function endStartedFrom(folder: string): Promise<void> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (variables.split('\0').some((variable) => variable.startsWith(`PATH=${folder}:`))) {
      process.kill(Number(pid), 'SIGKILL')
    }
  }
}
