/**
 * A relocatable agent: one folder that needs nothing of the image that it runs in. It holds Node with its own loader
 * and libraries, the agent as one file, and a manifest with the sha256 of each file.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { bundleAgent, ptyBinary } from './bundle.ts'

const run = promisify(execFile)
const manifestName = 'manifest.json'
const kind = 'hutch-agent-export'

interface Manifest {
  readonly kind: typeof kind
  readonly version: string
  readonly node: string
  readonly platform: string
  readonly arch: string
  /** The command, with {folder} in the place of wherever this folder is seen; --config is added to it. */
  readonly argv: readonly string[]
  readonly files: readonly Readonly<{ path: string; bytes: number; sha256: string }>[]
}

/**
 * Writes the folder as a whole or not at all. An earlier export is replaced and kept beside it as FOLDER.previous:
 * agents that were started from it go on reading its libraries.
 * @throws when the folder holds anything else.
 */
export async function exportAgent({
  folder,
  log = () => undefined,
  node = process.execPath,
}: {
  folder: string
  log?: (line: string) => void
  node?: string
}): Promise<{ bytes: number; files: number }> {
  const wanted = resolve(folder)
  const there = await whatIsThere(wanted)
  if (there === 'other') throw new Error(`${wanted} holds something else: choose a new or an empty folder`)
  await mkdir(dirname(wanted), { recursive: true })
  const partial = `${wanted}.partial-${process.pid}`
  try {
    await rm(partial, { recursive: true, force: true })
    await mkdir(join(partial, 'lib'), { recursive: true })
    log('bundling the agent')
    const { script, nodeFlags } = await bundleAgent(partial)
    log(`copying Node ${process.version} and its libraries`)
    await copy(await realpath(node), join(partial, 'node'), 0o755)
    const loader = await copyLibraries([node, ptyBinary()], join(partial, 'lib'))
    const argv = [
      `{folder}/lib/${loader}`,
      '--library-path',
      '{folder}/lib',
      '{folder}/node',
      ...nodeFlags,
      `{folder}/${basename(script)}`,
    ]
    await writeFile(join(partial, 'agent'), launcher(argv), { mode: 0o755 })
    await chmodAll(partial)
    const manifest = await describe(partial, argv)
    await writeFile(join(partial, manifestName), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o644 })
    await chmod(join(partial, manifestName), 0o644)
    await putInPlace(partial, wanted, there)
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0)
    log(`${wanted}: ${manifest.files.length} files, ${Math.round(bytes / 1e6)} MB`)
    return { bytes, files: manifest.files.length }
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

/** The command of an exported agent in `folder`, as it is seen at `seenAt` in the environment. */
export async function exportedArgv(folder: string, seenAt = resolve(folder)): Promise<readonly string[]> {
  const manifest = await readManifest(folder)
  if (!manifest) throw new Error(`${folder} is no exported agent: make one with hutch agent export`)
  return manifest.argv.map((argument) => argument.replace('{folder}', () => seenAt))
}

type There = 'nothing' | 'empty' | 'export' | 'other'

async function whatIsThere(folder: string): Promise<There> {
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new Error(`${folder} can't be used: ${error.code}`, { cause: error })
  })
  if (!entries) return 'nothing'
  if (entries.length === 0) return 'empty'
  return (await readManifest(folder)) ? 'export' : 'other'
}

async function readManifest(folder: string): Promise<Manifest | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(folder, manifestName), 'utf8')) as Partial<Manifest> | null
    return manifest?.kind === kind ? (manifest as Manifest) : undefined
  } catch {
    return undefined
  }
}

/** Copies what the dynamic loader would load for these, and the loader itself, whose name is returned. */
async function copyLibraries(binaries: readonly string[], folder: string): Promise<string> {
  const found = new Map<string, string>()
  let loader: string | undefined
  for (const binary of binaries) {
    const { stdout } = await run('ldd', [binary])
    for (const line of stdout.split('\n')) {
      const [, name, path] = /^\s*(\S+) => (\/\S+) \(/.exec(line) ?? []
      if (/=> not found/.test(line)) throw new Error(`a library of ${binary} is missing: ${line.trim()}`)
      if (name !== undefined && path !== undefined) found.set(name, path)
      const interpreter = /^\s*(\/\S+ld\S*\.so\S*) \(/.exec(line)?.[1]
      if (interpreter === undefined) continue
      loader = basename(interpreter)
      found.set(loader, interpreter)
    }
  }
  const c = found.get('libc.so.6')
  if (loader === undefined || c === undefined) throw new Error('only Linux with glibc can export an agent')
  // Loaded by name when users or hosts are looked up; newer C libraries hold them inside.
  for (const name of ['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2']) {
    if (await isThere(join(dirname(c), name))) found.set(name, join(dirname(c), name))
  }
  for (const [name, path] of found) await copy(await realpath(path), join(folder, name), 0o755)
  return loader
}

/** For people, and for images that have a shell; spawners run the argv of the manifest. */
function launcher(argv: readonly string[]): string {
  const words = argv.map((word) => (word.includes('{folder}') ? `"${word.replace('{folder}', '$here')}"` : word))
  return `#!/bin/sh\nhere=$(CDPATH= cd -P -- "$(dirname -- "$0")" && pwd) || exit 1\nexec ${words.join(' ')} "$@"\n`
}

async function copy(from: string, to: string, mode: number): Promise<void> {
  await copyFile(from, to)
  await chmod(to, mode)
}

/** Readable for everyone, whatever the umask: it runs as any user. */
async function chmodAll(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await chmodAll(join(folder, entry.name))
  }
}

async function describe(folder: string, argv: readonly string[]): Promise<Manifest> {
  const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string
  }
  const files: Manifest['files'][number][] = []
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const hash = createHash('sha256')
    await pipeline(createReadStream(path), hash)
    files.push({ path: relative(folder, path), bytes: (await stat(path)).size, sha256: hash.digest('hex') })
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { kind, version, node: process.version, platform: process.platform, arch: process.arch, argv, files }
}

async function putInPlace(partial: string, wanted: string, there: There): Promise<void> {
  if (there === 'export') {
    const previous = `${wanted}.previous`
    if ((await whatIsThere(previous)) === 'other') throw new Error(`${previous} holds something else: move it away`)
    await rm(previous, { recursive: true, force: true })
    await rename(wanted, previous)
  }
  // An empty folder is replaced too.
  await rename(partial, wanted)
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}
