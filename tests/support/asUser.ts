/** What a test does as an ordinary user, also when it runs as root. */
import { execFile } from 'node:child_process'
import { chmod, lchown, lstat, mkdir, readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { promisify } from 'node:util'

/** An ordinary user of no name, of this test file alone: what a test as root becomes where it must not be root. */
export const ordinaryUid = 50_000 + (process.pid % 10_000)

const project = new URL('../..', import.meta.url).pathname.replace(/\/$/, '')
const isRoot = process.getuid?.() === 0

/** argv that runs `argv` as an ordinary user (as ourselves, when we are one), in the same process. */
export async function ordinaryCommand(argv: readonly string[]): Promise<readonly string[]> {
  if (!isRoot) return argv
  const become = `setpriv --reuid ${ordinaryUid} --regid ${ordinaryUid} --clear-groups --`.split(' ')
  const hidden = await privateFolder(project)
  return hidden === undefined ? [...become, ...argv] : [...seeProject(hidden), ...become, ...argv]
}

/** Gives the temporary folder in which `path` lies to the ordinary user, with all that is in it. */
export async function giveToOrdinary(path: string): Promise<void> {
  const [first] = path.startsWith(`${tmpdir()}${sep}`) ? path.slice(tmpdir().length + 1).split(sep) : []
  if (!isRoot || first === undefined) return
  const top = join(tmpdir(), first)
  // A checkout below the temporary folder stays whose it is: git refuses one that changed hands.
  if (project === top || project.startsWith(`${top}${sep}`)) return
  await mkdir(top, { recursive: true })
  if ((await stat(top)).uid !== ordinaryUid) await chownAll(top)
}

/** Runs it to its end as an ordinary user with `folder` as its own. */
export async function runAsUser(folder: string, argv: readonly string[], timeoutMs = 150_000): Promise<string> {
  await giveToOrdinary(folder)
  await chmod(folder, 0o755)
  const [command = '', ...rest] = await ordinaryCommand(argv)
  const env = { PATH: process.env['PATH'], HOME: folder }
  const options = { cwd: folder, timeout: timeoutMs, maxBuffer: 2 ** 24, env }
  return (await promisify(execFile)(command, rest, options)).stdout
}

/** The outermost folder above the checkout that others may not pass. */
async function privateFolder(path: string): Promise<string | undefined> {
  const above = path === '/' ? undefined : await privateFolder(dirname(path))
  return above ?? (((await stat(path)).mode & 0o005) === 0o005 ? undefined : path)
}

/** A view of the machine of its own where nothing but the checkout is in that folder, and everybody may read it. */
function seeProject(hidden: string): readonly string[] {
  const script = [
    'kept=$(mktemp -d) && mount --bind "$1" "$kept" && mount -t tmpfs -o mode=0755 tmpfs "$2"',
    'umask 022; mkdir -p "$1" && mount --move "$kept" "$1" && rmdir "$kept" && shift 2 && exec "$@"',
  ].join(' && ')
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', project, hidden]
}

async function chownAll(path: string): Promise<void> {
  await lchown(path, ordinaryUid, ordinaryUid)
  if (!(await lstat(path)).isDirectory()) return
  for (const name of await readdir(path)) await chownAll(join(path, name))
}
