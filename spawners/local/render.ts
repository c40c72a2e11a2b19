/** What an environment sees of the machine: the spec as arguments of bubblewrap, and as the script that starts it. Pure. */
import { basename, dirname, join, relative } from 'node:path'
import { isWithin } from '../common/checkMounts.ts'
import { quoted } from '../common/quoted.ts'
import type { Account } from '../spawner.ts'

/** A directory with its source found on this machine. */
export interface HostMount {
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
}

/** What of the machine's own root is there, and how: /bin is a folder on some, a link to usr/bin on others. */
export interface Layout {
  readonly folders: readonly string[]
  readonly links: readonly Readonly<{ path: string; target: string }>[]
}

export interface SandboxView {
  readonly root: boolean
  readonly layout: Layout
  readonly account: Account
  readonly mounts: readonly HostMount[]
  readonly readOnlyPaths: readonly HostMount[]
  readonly agentFolder: string
  /** Programs that lie elsewhere: what the agent's argv names outside of its folder. */
  readonly programs: readonly string[]
  /** The attempt's folder, with passwd, group and start.sh. */
  readonly runFolder: string
  /** Never shown, wherever it lies: absolute, the outermost one first. */
  readonly hidden: readonly string[]
  /** The account's own folder of Kerberos tickets. */
  readonly tickets?: string
  /** Control groups of the environment's own, which it may read. */
  readonly cgroups: readonly string[]
  /** Most bytes in /tmp and in /dev/shm, each. */
  readonly temporaryBytes: number
}

/** Where the agent and what starts it are seen. */
const ours = '/run/hutch'
/** And the account's Kerberos tickets. */
export const seenTickets = join(ours, 'tickets')

/** Without the program's own name and without the command. */
export function sandboxArguments(view: SandboxView): readonly string[] {
  const { root, layout, mounts, readOnlyPaths, agentFolder, programs, runFolder, temporaryBytes } = view
  const shown = [
    ...layout.folders.map((folder) => ({ source: folder, target: folder })),
    { source: agentFolder, target: join(ours, 'agent') },
  ]
  return [
    ['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--die-with-parent', '--new-session', '--clearenv'],
    // The three that setpriv needs to become the account; the account itself has none.
    root ? keepCapabilities('SETUID', 'SETGID', 'SETPCAP') : ['--unshare-user'],
    parentFolders([...layout.folders, ...systemEntries, join(ours, 'agent'), '/var/tmp']),
    parentFolders(programs.map((path) => programPath(path, programs))),
    layout.folders.flatMap((folder) => ['--ro-bind', folder, folder]),
    layout.links.flatMap(({ path, target }) => ['--symlink', target, path]),
    systemEntries.flatMap((path) => ['--ro-bind-try', path, path]),
    ['--proc', '/proc', '--dev', '/dev'],
    ['/dev/shm', '/tmp', '/var/tmp'].flatMap((path) => temporary(path, temporaryBytes)),
    ['--ro-bind', agentFolder, join(ours, 'agent')],
    // The folder and not the file, which is another one after each renewal.
    view.tickets === undefined ? [] : ['--bind', view.tickets, seenTickets],
    programs.flatMap((path) => ['--ro-bind', path, programPath(path, programs)]),
    masks(shown, view.hidden),
    parentFolders(
      [...mounts, ...readOnlyPaths].map((mount) => mount.target),
      mounts,
    ),
    mounts.flatMap(({ source, target, readOnly }) => [readOnly ? '--ro-bind' : '--bind', source, target]),
    readOnlyPaths.flatMap(({ source, target }) => ['--ro-bind-try', source, target]),
    masks(readOnlyPaths, view.hidden),
    parentFolders(view.cgroups),
    view.cgroups.flatMap((folder) => ['--ro-bind', folder, folder]),
    ['passwd', 'group'].flatMap((name) => ['--ro-bind', join(runFolder, name), `/etc/${name}`]),
    ['--ro-bind', join(runFolder, 'start.sh'), join(ours, 'start.sh')],
    ['--remount-ro', '/', '--chdir', '/'],
  ].flat()
}

/** What runs inside: as root it becomes the account first, for good. */
export function innerCommand(
  view: Pick<SandboxView, 'root' | 'account' | 'agentFolder' | 'programs'>,
  startArgv: readonly string[],
): readonly string[] {
  const { uid, gid, groups } = view.account
  const numbers = groups.map((group) => group.gid).filter((each) => each !== gid)
  const become = [
    ['/usr/bin/setpriv', '--reuid', String(uid), '--regid', String(gid)],
    numbers.length > 0 ? ['--groups', [...new Set(numbers)].join(',')] : ['--clear-groups'],
    ['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs', '--'],
  ].flat()
  const argv = startArgv.map((argument) => seenPath(argument, view))
  return [...(view.root ? become : []), '/bin/sh', join(ours, 'start.sh'), ...argv]
}

/**
 * Sets the variables and becomes its arguments. A script and not options of setpriv or env: those would be seen in
 * ps, and a variable such as LD_PRELOAD would reach setpriv while it is still root.
 */
export interface StartOptions {
  readonly umask: string
  readonly pidFile?: string
  /** Variables whose values, free of spaces, come by the first line of standard input. */
  readonly secrets?: readonly string[]
  /** Absent: the home. */
  readonly directory?: string
}

export function startScript(variables: Readonly<Record<string, string>>, options: StartOptions): string {
  const exports = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`)
  const note = options.pidFile === undefined ? [] : [`echo "$$" >${quoted(options.pidFile)}`]
  const { secrets = [], directory } = options
  const take =
    secrets.length === 0
      ? []
      : [`IFS=' ' read -r ${secrets.join(' ')} || exit 126`, `export ${secrets.join(' ')}`, 'exec </dev/null']
  const go = directory === undefined ? 'cd "$HOME" || exit 126' : `cd ${quoted(directory)} || exit 126`
  return [...note, `umask ${options.umask}`, ...exports, ...take, go, 'exec "$@"', ''].join('\n')
}

function keepCapabilities(...names: readonly string[]): readonly string[] {
  return ['--cap-drop', 'ALL', ...names.flatMap((name) => ['--cap-add', `CAP_${name}`])]
}

function temporary(path: string, bytes: number): readonly string[] {
  return ['--size', String(bytes), '--perms', '1777', '--tmpfs', path]
}

function seenPath(argument: string, { agentFolder, programs }: Pick<SandboxView, 'agentFolder' | 'programs'>): string {
  if (isWithin(argument, agentFolder)) return join(ours, 'agent', relative(agentFolder, argument))
  return programs.includes(argument) ? programPath(argument, programs) : argument
}

function programPath(path: string, programs: readonly string[]): string {
  return join(ours, 'bin', String(programs.indexOf(path)), basename(path))
}

/** An empty folder over each hidden one that would be seen. */
function masks(
  shown: readonly Readonly<{ source: string; target: string }>[],
  hidden: readonly string[],
): readonly string[] {
  return shown.flatMap(({ source, target }) => {
    const inside = hidden.find((path) => path !== source && isWithin(path, source))
    if (inside === undefined) return []
    return ['--perms', '0755', '--tmpfs', join(target, relative(source, inside))]
  })
}

/** bubblewrap makes the folders above as 0700; nobody but root could pass. `within` exist once they are mounted. */
function parentFolders(targets: readonly string[], within: readonly HostMount[] = []): readonly string[] {
  const parents = new Set<string>()
  for (const target of targets) {
    for (let path = dirname(target); path !== '/'; path = dirname(path)) {
      if (!within.some((mount) => isWithin(path, mount.target))) parents.add(path)
    }
  }
  return [...parents].toSorted().flatMap((path) => ['--perms', '0755', '--dir', path])
}

/** Of /etc and /sys, what programs need and no secret lies in. What is not there is passed over. */
const systemEntries =
  `alternatives bash.bashrc bashrc ca-certificates crypto-policies dbus-1 default/locale fonts gai.conf
    gtk-2.0 gtk-3.0 gtk-4.0 host.conf hosts inputrc ipython java jupyter krb5.conf krb5.conf.d ld.so.cache ld.so.conf ld.so.conf.d
    locale.alias locale.conf localtime lmod login.defs magic mime.types modulefiles nanorc nsswitch.conf
    OpenCL os-release pki profile profile.d protocols pulse R resolv.conf rpc services shells skel ssl
    terminfo timezone vim vulkan X11 xdg`
    .split(/\s+/)
    .map((name) => `/etc/${name}`)
    .concat('/sys/devices/system/cpu')
