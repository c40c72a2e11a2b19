/** JupyterLab for environments on this machine: the one on PATH, or one of Hutch's own, set up once. */
import { createHash } from 'node:crypto'
import { access, chmod, constants, glob, mkdir, readFile, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Log } from '../../spawners/spawner.ts'
import { findJupyter, type JupyterPlace } from './jupyter-on-path.ts'
import { lastLine, runProgram, type ProgramResult } from './program.ts'
import { writeWhole } from './state-folder.ts'

/** `missing`: why there is none and what helps, for the launch page. */
export type Jupyter = JupyterPlace | Readonly<{ missing: string }>

export interface JupyterOptions {
  readonly stateFolder: string
  readonly log: Log
  /** From 0 to 100, and what is being done. */
  readonly progress: (step: Readonly<{ percent: number; message: string }>) => void
  /** Ends it; what was half done is done anew at the next start. */
  readonly signal: AbortSignal
  readonly env: NodeJS.ProcessEnv
}

/** Never throws: a hub without JupyterLab still has terminals. */
export async function findOrInstallJupyter(options: JupyterOptions): Promise<Jupyter> {
  try {
    return await findOrInstall(options)
  } catch (error) {
    options.log.warn({ err: error }, 'JupyterLab could not be set up')
    return missing(options.signal.aborted ? 'its set-up was interrupted' : firstLine(error))
  }
}

async function findOrInstall(options: JupyterOptions): Promise<Jupyter> {
  const folder = join(options.stateFolder, 'jupyter')
  const place = { binFolder: join(folder, 'bin'), folder }
  const digest = await wantedDigest(folder)
  const marker = join(folder, 'complete')
  const made = await readFile(marker, 'utf8').catch(() => '')
  if (made.trim() === digest && (await canRun(join(place.binFolder, 'python')))) return place
  if (made === '') {
    const found = await findJupyter(options.env['PATH'] ?? '', options.signal)
    if (found !== undefined) {
      options.log.info({ folder: found.binFolder }, 'JupyterLab was found on PATH')
      return found
    }
  }
  const failed = await install(folder, options)
  if (failed !== undefined) {
    await rm(folder, { recursive: true, force: true })
    options.log.warn({ reason: failed }, 'JupyterLab could not be set up')
    return missing(options.signal.aborted ? 'its set-up was interrupted' : failed)
  }
  await writeWhole(marker, `${digest}\n`)
  options.progress({ percent: 100, message: 'JupyterLab is there' })
  return place
}

const resources = fileURLToPath(new URL('./jupyter/', import.meta.url))
const listed = ['requirements.txt', 'constraints.txt', 'pip.json'] as const

/** Counts up when something besides the packages changes. */
const layout = 2

/** Changes when other packages are wanted, or the folder was moved: scripts in it carry its path. */
async function wantedDigest(folder: string): Promise<string> {
  const texts = await Promise.all(listed.map((name) => readFile(join(resources, name), 'utf8')))
  return createHash('sha256')
    .update(JSON.stringify([folder, layout, ...texts]))
    .digest('hex')
}

const shortTimeoutMs = 60_000
const installTimeoutMs = 15 * 60_000

/** Undefined when it was done, else what went wrong. */
async function install(folder: string, { progress, signal, env, log }: JupyterOptions): Promise<string | undefined> {
  const python = await findPython(env, signal)
  if ('failed' in python) return python.failed
  progress({ percent: 0, message: 'JupyterLab is set up once; this takes a minute' })
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const clean = pipEnvironment(env)
  const run = async (argv: readonly string[], timeoutMs: number, onLine?: (line: string) => void) =>
    await runProgram([...readableByAll, ...argv], {
      env: clean,
      timeoutMs,
      signal,
      ...(onLine === undefined ? {} : { onLine }),
    })

  const venv = await run([python.path, '-m', 'venv', '--without-pip', folder], shortTimeoutMs)
  if (venv.exitCode !== 0) return `python3 -m venv failed: ${lastLine(venv)}`

  const { file, sha256 } = JSON.parse(await readFile(join(resources, 'pip.json'), 'utf8')) as Record<string, string>
  progress({ percent: 2, message: 'fetching pip' })
  const fetched = await run(
    [python.path, join(resources, 'fetch_pip.py'), file ?? '', sha256 ?? '', folder],
    shortTimeoutMs,
  )
  if (fetched.exitCode !== 0) return lastLine(fetched)

  const wheel = join(folder, file ?? '')
  const watching = await pipProgress(folder, progress)
  const installed = await run(pipCommand(folder, wheel), installTimeoutMs, (line) => watching.onLine(line))
  watching.end()
  if (installed.exitCode !== 0) return pipFailure(installed, log)
  await rm(wheel)
  await askNoNews(folder)
  progress({ percent: 98, message: 'trying it' })
  const tried = await run([join(folder, 'bin', 'jupyter'), 'lab', '--version'], shortTimeoutMs)
  return tried.exitCode === 0 ? undefined : `it was set up but does not start: ${lastLine(tried)}`
}

/** A facility's users are not asked whether they want news from elsewhere; no command-line option says so. */
async function askNoNews(folder: string): Promise<void> {
  const config = join(folder, 'etc', 'jupyter', 'labconfig')
  await mkdir(config, { recursive: true })
  const unwanted = { disabledExtensions: { '@jupyterlab/apputils-extension:announcements': true } }
  await writeWhole(join(config, 'page_config.json'), JSON.stringify(unwanted))
  await chmod(join(config, 'page_config.json'), 0o644)
}

/** Environments run as others when the hub is root; the state folder (0700) above keeps everybody else out. */
const readableByAll = ['/bin/sh', '-c', 'umask 022; exec "$@"', 'sh'] as const

/** pip runs from its wheel: nothing of it stays. Without a compiler only binary packages can work. */
function pipCommand(folder: string, wheel: string): string[] {
  const pip = [join(folder, 'bin', 'python'), join(wheel, 'pip'), 'install', '--compile']
  const quiet = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off', '--no-warn-script-location']
  const wanted = ['-r', join(resources, 'requirements.txt'), '-c', join(resources, 'constraints.txt')]
  return [...pip, ...quiet, '--no-cache-dir', '--only-binary', ':all:', ...wanted]
}

/** The index and certificates stay as the user set them up; what would turn the installation elsewhere does not. */
function pipEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const unwanted =
    /^(PYTHON(HOME|PATH|DONTWRITEBYTECODE|STARTUP|NOUSERSITE)|PIP_(TARGET|PREFIX|ROOT|USER|REQUIREMENT|CONSTRAINT|NO_BINARY|REQUIRE_VIRTUALENV|QUIET|VERBOSE|LOG)|VIRTUAL_ENV)$/
  return Object.fromEntries(Object.entries(env).filter(([name]) => !unwanted.test(name)))
}

/** pip says what it fetches; while it unpacks it is silent, and what appears in the folder is counted. */
async function pipProgress(
  folder: string,
  progress: JupyterOptions['progress'],
): Promise<{ onLine(line: string): void; end(): void }> {
  const names = await readFile(join(resources, 'constraints.txt'), 'utf8')
  const expected = names.split('\n').filter((line) => line.includes('==')).length
  const share = (count: number): number => Math.min(1, count / expected)
  let collected = 0
  let timer: NodeJS.Timeout | undefined
  return {
    onLine(line) {
      const [, name] = /^Collecting ([\w.-]+)/.exec(line) ?? []
      if (name !== undefined) {
        collected += 1
        progress({ percent: 3 + Math.round(share(collected) * 37), message: `fetching ${name}` })
      }
      if (line.startsWith('Installing collected packages')) timer ??= setInterval(() => void count(), countEveryMs)
    },
    end: () => clearInterval(timer),
  }

  async function count(): Promise<void> {
    const unpacked = (await listPackages(folder)).length
    progress({ percent: 40 + Math.round(share(unpacked) * 57), message: `unpacking, ${unpacked} packages are there` })
  }
}

const countEveryMs = 1_000

async function listPackages(folder: string): Promise<string[]> {
  const found: string[] = []
  for await (const path of glob('lib/python3*/site-packages/*.dist-info', { cwd: folder })) found.push(path)
  return found
}

function pipFailure(result: ProgramResult, log: Log): string {
  log.warn({ output: `${result.stdout}\n${result.stderr}`.slice(-4_000) }, 'pip failed')
  const line = result.stderr.split('\n').findLast((text) => text.startsWith('ERROR:')) ?? lastLine(result)
  if (/No space left|Disk quota/i.test(result.stderr)) return 'the disk is full'
  return `pip failed: ${line.replace(/^ERROR: /, '')}`
}

const leastMinor = 11

/** The system's own first: environments see it without further ado. */
async function findPython(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<{ path: string } | { failed: string }> {
  const folders = ['/usr/bin', ...(env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'))]
  let seen: string | undefined
  for (const path of new Set(folders.map((folder) => join(folder, 'python3')))) {
    if (!(await canRun(path))) continue
    const question = 'import sys; print("%d.%d" % sys.version_info[:2])'
    const asked = await runProgram([path, '-c', question], { env, timeoutMs: shortTimeoutMs, signal })
    const [, major, minor] = /^(\d+)\.(\d+)$/.exec(asked.stdout.trim()) ?? []
    if (major === '3' && Number(minor) >= leastMinor) return { path }
    if (major !== undefined) seen ??= `${major}.${minor}`
  }
  if (seen === undefined) return { failed: 'this machine has no Python 3; install python3' }
  return { failed: `it needs Python 3.${leastMinor} or later, and this machine has ${seen}` }
}

async function canRun(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

function missing(reason: string): Jupyter {
  return { missing: `JupyterLab is missing: ${reason.replace(/\.$/, '')}. It is tried again at the next start.` }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? ''
}
