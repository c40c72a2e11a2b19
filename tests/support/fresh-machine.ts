/**
 * A machine that nobody has set up: Debian's minimal system with Node 20, npm and python3 added and nothing else,
 * and an ordinary user. A folder with debootstrap's result (kept outside the checkout), copied for each use.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'

export interface FreshMachine {
  /** The root folder, seen from outside. */
  readonly root: string
  /** The user's home, seen from inside. */
  readonly home: string
  readonly node: string
  /** Runs a shell line there as the ordinary user, in a process group of its own. */
  start(line: string): ChildProcess
  /** Command lines of the user's processes that are alive. */
  processes(): string[]
}

const suite = 'bookworm'
const packages = ['python3']
/** Nobody's on any machine, so that what it left behind can be told. */
const uid = 64_123

/** Undefined: something that it takes is missing, and the test has said so. */
export function freshMachine(t: ExecutionContext): FreshMachine | undefined {
  const debootstrap = program('debootstrap')
  const node = oldNode()
  if (!available(t, 'root', process.getuid?.() === 0, 'run the tests as root, for chroot and debootstrap'))
    return undefined
  if (!available(t, 'debootstrap', debootstrap, 'apt-get install debootstrap')) return undefined
  if (!available(t, 'Node 20 with npm', node, 'install Node 20 beside the project’s own')) return undefined
  const root = mkdtempSync(join(tmpdir(), 'hutch-fresh-'))
  t.teardown(() => {
    for (const { pid } of living()) process.kill(pid, 'SIGKILL')
    rmSync(root, { recursive: true, force: true, maxRetries: 5 })
  })
  copyTree(baseSystem(debootstrap ?? ''), root)
  const version = installNode(root, node ?? '')
  const home = '/home/somebody'
  addUser(root, home)
  copyNetworkSettings(root, home)
  return { root, home, node: version, start: (line) => start(root, home, line), processes }
}

/** A Node below 24 that brings npm with it: not the one in node_modules that runs the tests. */
function oldNode(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  return folders
    .map((folder) => join(folder, 'node'))
    .filter((path) => existsSync(path))
    .find((path) => /^v2[0-3]\./.test(run(path, ['--version'])) && existsSync(npmFolder(path)))
}

function npmFolder(node: string): string {
  return join(dirname(dirname(realpathSync(node))), 'lib', 'node_modules', 'npm')
}

/** The folder of the base, which is copied and never changed. */
export function baseSystem(debootstrap: string): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const key = createHash('sha256')
    .update(JSON.stringify([suite, packages]))
    .digest('hex')
    .slice(0, 12)
  const folder = join(cache, 'hutch-tests', `debian-${suite}-${key}`)
  if (existsSync(folder)) return folder
  mkdirSync(dirname(folder), { recursive: true })
  const draft = mkdtempSync(`${folder}.new-`)
  run(debootstrap, ['--variant=minbase', `--include=${packages.join(',')}`, suite, draft])
  rmSync(join(draft, 'var/cache/apt'), { recursive: true, force: true })
  renameSync(draft, folder)
  return folder
}

function copyTree(from: string, to: string): void {
  run('cp', ['-a', '--reflink=auto', `${from}/.`, to])
}

function installNode(root: string, node: string): string {
  const local = join(root, 'usr/local')
  cpSync(realpathSync(node), join(local, 'bin/node'))
  copyTree(npmFolder(node), mkdir(join(local, 'lib/node_modules/npm')))
  for (const name of ['npm', 'npx']) symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, 'bin', name))
  const version = run('chroot', [root, '/usr/local/bin/node', '--version']).trim()
  for (const absent of ['gcc', 'c++', 'make', 'git', 'pip', 'pip3', 'bwrap', 'jupyter']) {
    if (spawnSync('chroot', [root, '/bin/sh', '-c', `command -v ${absent}`]).status === 0) {
      throw new Error(`${absent} is there: the machine is not fresh`)
    }
  }
  return version
}

function addUser(root: string, home: string): void {
  const entry = `somebody:x:${uid}:${uid}::${home}:/bin/bash\n`
  writeFileSync(join(root, 'etc/passwd'), entry, { flag: 'a' })
  writeFileSync(join(root, 'etc/group'), `somebody:x:${uid}:\n`, { flag: 'a' })
  mkdir(join(root, home))
}

/** How this machine reaches package registries, whatever that is: client settings, certificates, names. */
function copyNetworkSettings(root: string, home: string): void {
  const globalSettings = run('npm', ['config', 'get', 'globalconfig'], { cwd: '/' }).trim()
  const copies: readonly (readonly [from: string, to: string])[] = [
    [join(homedir(), '.npmrc'), join(home, '.npmrc')],
    [join(homedir(), '.config/pip'), join(home, '.config/pip')],
    [join(homedir(), '.pip'), join(home, '.pip')],
    [globalSettings, '/usr/local/etc/npmrc'],
    ...['/etc/pip.conf', '/etc/ssl', '/usr/local/share/ca-certificates', '/usr/share/ca-certificates'].map(same),
    ...['/etc/resolv.conf', '/etc/hosts'].map(same),
  ]
  for (const [from, to] of copies) {
    if (!existsSync(from)) continue
    mkdir(dirname(join(root, to)))
    cpSync(from, join(root, to), { recursive: true, dereference: true, force: true })
  }
  run('chown', ['-R', `${uid}:${uid}`, join(root, home)])
}

const same = (path: string) => [path, path] as const

const networkVariables =
  /^(npm_config_(registry|cafile|.*proxy)|PIP_.*|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|https?_proxy|all_proxy|no_proxy)$/i

function start(root: string, home: string, line: string): ChildProcess {
  const variables = Object.entries(process.env).filter(([name]) => networkVariables.test(name))
  const env = {
    HOME: home,
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    LANG: 'C.UTF-8',
    ...Object.fromEntries(variables),
  }
  // A mount namespace of its own: what is mounted in it goes with the last process.
  const inside =
    'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot --userspec="$2:$2" "$1" /bin/sh -c "cd && $3"'
  const argv = ['--mount', '--propagation', 'private', '/bin/sh', '-c', inside, 'sh', root, String(uid), line]
  return spawn(program('unshare') ?? 'unshare', argv, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env })
}

function processes(): string[] {
  return living().map(({ command }) => command)
}

function living(): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && ownerOf(name) === uid)
    .map((name) => ({ pid: Number(name), command: commandOf(name) }))
    .filter(({ command }) => command !== '')
}

function ownerOf(pid: string): number | undefined {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid
}

/** Empty for zombies and for what has just ended. */
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}

function mkdir(path: string): string {
  mkdirSync(path, { recursive: true })
  return path
}

function run(command: string, args: readonly string[], options: { cwd?: string } = {}): string {
  const done = spawnSync(command, args, { encoding: 'utf8', timeout: 600_000, maxBuffer: 2 ** 26, ...options })
  if (done.status === 0) return done.stdout
  throw new Error(
    `${command} ${args.join(' ')} failed: ${done.stderr || done.error?.message || done.stdout}`.slice(0, 2_000),
  )
}
