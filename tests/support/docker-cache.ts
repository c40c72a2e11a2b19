/**
 * Images for tests, built from images/ once for each content of their folders and kept outside the checkout: the data
 * root of a Docker daemon that no test runs on (tests get a copy, see docker.ts), and archives for other runtimes.
 * The base `debian:bookworm-slim` is made by debootstrap, with this machine's certificates: there may be no registry.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { inOrder } from '../../images/order.ts'
import { imageFolders } from '../../images/folders.ts'
import { program } from './component.ts'
import { startDaemon, type Daemon } from './dockerd.ts'

const run = promisify(execFile)
const checkout = join(import.meta.dirname, '../..')
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'hutch-tests')
const buildTimeoutMs = 30 * 60_000
/** Of each image: several checkouts use one cache. */
const mostKept = 4

/** In every cache. */
export const baseImage = 'debian:bookworm-slim'

export interface BuiltImage {
  readonly name: string
  /** What it is called in the cache and its copies: hutch-test/notebook:0123456789ab */
  readonly tag: string
}

/** Where they are: `root` is to be copied while `locked` holds. */
export async function builtImages<T>(
  names: readonly string[],
  locked: (root: string, images: readonly BuiltImage[]) => Promise<T>,
  say: (line: string) => void = () => undefined,
): Promise<T> {
  const root = join(cache, `docker-${await cacheKey()}`)
  await mkdir(join(root, 'built'), { recursive: true, mode: 0o700 })
  const unlock = await lock(join(root, 'lock'))
  try {
    const images = names.map((name) => ({ name, tag: `hutch-test/${name}:${hashOf(name)}` }))
    const missing = images.filter((image) => !existsSync(markerOf(root, image)))
    if (missing.length > 0 || !existsSync(join(root, 'data'))) await build(root, missing, say)
    return await locked(join(root, 'data'), images)
  } finally {
    unlock()
  }
}

/** An archive as of `docker save`, for runtimes other than Docker. Made when it is missing. */
export async function imageArchive(name: string, say?: (line: string) => void): Promise<{ file: string; tag: string }> {
  return await builtImages(
    [name],
    async (data, [image]) => {
      if (image === undefined) throw new Error('a bug: no image')
      const file = join(data, '..', 'archives', `${image.tag.replaceAll(/[/:]/g, '-')}.tar`)
      if (existsSync(file)) return { file, tag: image.tag }
      await mkdir(join(data, '..', 'archives'), { recursive: true })
      await withBuilder(data, (daemon) => daemon.docker('save', '--output', `${file}.new`, image.tag))
      await rename(`${file}.new`, file)
      keepNewest(join(data, '..', 'archives'), `hutch-test-${name}-`)
      return { file, tag: image.tag }
    },
    say,
  )
}

async function build(root: string, images: readonly BuiltImage[], say: (line: string) => void): Promise<void> {
  const base = await baseArchive(say)
  await withBuilder(join(root, 'data'), async (daemon) => {
    const isThere = await daemon.docker('image', 'inspect', baseImage).then(Boolean, () => false)
    if (!isThere) await daemon.docker('import', '--change', 'CMD ["bash"]', base, baseImage)
    for (const { name, tag } of images) {
      say(`building the image ${name}, once for each content of its folder …`)
      const argv = [join(checkout, 'images/build.ts'), name, '--network', 'host', '--docker', daemon.program]
      const env = { ...process.env, DOCKER_HOST: `unix://${daemon.socket}`, DOCKER_BUILDKIT: '1' }
      const options = { env, timeout: buildTimeoutMs, maxBuffer: 2 ** 26 }
      const failed = await run(process.execPath, argv, options).then(
        () => undefined,
        (error: unknown) => error as { stdout?: string; stderr?: string },
      )
      if (failed) throw new Error(`the image ${name} was not built: ${failed.stdout}${failed.stderr}`.slice(-6_000))
      const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }
      await daemon.docker('tag', `hutch/${name}:${version}`, tag)
      await writeFile(markerOf(root, { name, tag }), '')
      for (const old of keepNewest(join(root, 'built'), `${name}-`)) {
        const hash = old.slice(name.length + 1)
        await daemon.docker('image', 'rm', '--force', `hutch-test/${name}:${hash}`).catch(() => undefined)
      }
    }
    await daemon.docker('image', 'prune', '--force')
  })
}

async function withBuilder<T>(data: string, work: (daemon: Daemon) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'hutch-dkb-'))
  // No network of its own: builds use this machine's, and no firewall rule is touched.
  const argv = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false']
  const daemon = await startDaemon({ folder, data, argv })
  try {
    return await work(daemon)
  } finally {
    await daemon.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

function markerOf(root: string, { name, tag }: BuiltImage): string {
  return join(root, 'built', `${name}-${tag.split(':')[1]}`)
}

/** Removes older files of this kind and gives their names. */
function keepNewest(folder: string, prefix: string): readonly string[] {
  const age = (name: string): number => statSync(join(folder, name)).mtimeMs
  const old = readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && /^[0-9a-f]{12}(\.tar)?$/.test(name.slice(prefix.length)))
    .toSorted((a, b) => age(b) - age(a))
    .slice(mostKept)
  for (const name of old) void rm(join(folder, name), { force: true })
  return old
}

/** Of everything that goes into it, with the images below it. */
function hashOf(name: string): string {
  const hash = createHash('sha256')
  for (const folder of inOrder(imageFolders(checkout), [name])) {
    const roots = folder.fromCheckout
      ? [
          'package.json',
          'package-lock.json',
          '.npmrc',
          'bin',
          'config',
          'images/agent',
          'images/hub',
          'proxy',
          'spawners',
          'hub',
        ]
      : [`images/${folder.name}`]
    for (const root of roots) for (const file of filesOf(root)) hash.update(file).update('\0').update(content(file))
  }
  return hash.digest('hex').slice(0, 12)
}

function filesOf(path: string): readonly string[] {
  if (!statSync(join(checkout, path)).isDirectory()) return [path]
  return readdirSync(join(checkout, path), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(checkout.length + 1))
    .toSorted()
}

function content(file: string): Buffer {
  return readFileSync(join(checkout, file))
}

const certificates = '/usr/local/share/ca-certificates'
const basePackages = 'bookworm, minbase, 1'

async function cacheKey(): Promise<string> {
  const { stdout } = await run(program('dockerd') ?? 'dockerd', ['--version'])
  return createHash('sha256').update(basePackages).update(stdout).update(certificatesHash()).digest('hex').slice(0, 12)
}

function certificatesHash(): string {
  const hash = createHash('sha256')
  if (existsSync(certificates)) {
    for (const name of readdirSync(certificates).toSorted()) {
      if (name.endsWith('.crt')) hash.update(readFileSync(join(certificates, name)))
    }
  }
  return hash.digest('hex')
}

const ballast = ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale', 'var/log']

async function baseArchive(say: (line: string) => void): Promise<string> {
  const key = createHash('sha256').update(basePackages).update(certificatesHash()).digest('hex').slice(0, 12)
  const archive = join(cache, `docker-base-${key}.tar`)
  if (existsSync(archive)) return archive
  say('making debian:bookworm-slim with debootstrap, once …')
  const draft = await mkdtemp(`${archive}.new-`)
  const root = join(draft, 'root')
  await run(program('debootstrap') ?? 'debootstrap', ['--variant=minbase', 'bookworm', root], {
    timeout: buildTimeoutMs,
    maxBuffer: 2 ** 26,
  })
  await writeFile(join(root, 'etc/apt/sources.list'), sources)
  for (const folder of ballast) {
    await rm(join(root, folder), { recursive: true, force: true })
    await mkdir(join(root, folder), { recursive: true })
  }
  if (existsSync(certificates)) {
    await mkdir(join(root, certificates), { recursive: true })
    for (const name of readdirSync(certificates)) await cp(join(certificates, name), join(root, certificates, name))
  }
  await run('tar', ['-C', root, '--numeric-owner', '-cf', join(draft, 'tar'), '.'])
  await rename(join(draft, 'tar'), archive)
  await rm(draft, { recursive: true, force: true })
  return archive
}

const sources = ['bookworm', 'bookworm-updates']
  .map((suite) => `deb http://deb.debian.org/debian ${suite} main\n`)
  .concat('deb http://deb.debian.org/debian-security bookworm-security main\n')
  .join('')

/** Held by a process of its own, so that it goes with us whatever happens. */
async function lock(file: string): Promise<() => void> {
  const holder = spawn('flock', [file, 'sh', '-c', 'echo locked; cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    holder.once('error', reject)
    holder.once('exit', () => reject(new Error(`${file} can't be locked`)))
    holder.stdout.once('data', () => resolve())
  })
  return () => holder.stdin.end()
}
