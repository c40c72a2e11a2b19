/** What this machine offers, found out once by really trying. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { accessSync, constants } from 'node:fs'
import { lstat, readFile, readlink, rmdir } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Health } from '../spawner.ts'
import { groupPlan, groupVersion, makeGroups, removeGroups } from './cgroups.ts'
import type { LocalConfig } from './config.ts'
import type { Layout } from './render.ts'

export interface Machine {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  readonly root: boolean
  readonly layout: Layout
  /** bubblewrap's path, when sandboxes work. */
  readonly bubblewrap: string | undefined
  /** Why they don't. */
  readonly sandboxProblem: string | undefined
  readonly cgroups: Readonly<{ root: string; version: 1 | 2 }> | undefined
}

/** `programFolders`: where bwrap is looked for. The PATH of whoever started the hub is not trusted with that. */
export async function exploreMachine(
  programFolders: readonly string[] = ['/usr/bin', '/usr/local/bin', '/bin'],
  cgroupRoot = '/sys/fs/cgroup',
): Promise<Machine> {
  const [uid, gid] = [process.getuid?.() ?? -1, process.getgid?.() ?? -1]
  const root = uid === 0
  const layout = await exploreLayout()
  const path = findProgram('bwrap', programFolders)
  const sandboxProblem = path === undefined ? 'bubblewrap (bwrap) is not installed' : await tryOut(path, root)
  const version = root ? await workingGroups(cgroupRoot) : undefined
  return {
    uid,
    gid,
    groups: process.getgroups?.() ?? [],
    root,
    layout,
    bubblewrap: sandboxProblem === undefined ? path : undefined,
    sandboxProblem,
    cgroups: version && { root: cgroupRoot, version },
  }
}

/** Why nothing can be launched here, with the remedy; undefined: it can. */
export function launchProblem(machine: Machine, config: LocalConfig): string | undefined {
  const { root, sandboxProblem, cgroups } = machine
  if (sandboxProblem !== undefined && (root || !config.allowUnsandboxed)) {
    return `${sandboxProblem}, and without a sandbox nothing is launched here: install the package bubblewrap (apt-get install bubblewrap)`
  }
  if (root && cgroups === undefined && !config.allowUnlimited) {
    return 'control groups for cpu, memory and pids are not there or can not be written, and without limits nothing is launched here: give the hub /sys/fs/cgroup, or set allowUnlimited'
  }
  return undefined
}

export async function machineHealth(machine: Machine, config: LocalConfig): Promise<Health> {
  const problem = launchProblem(machine, config)
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile('/proc/meminfo', 'utf8'))?.[1]
  const free = {
    cpu: Math.max(0, availableParallelism() - (loadavg()[0] ?? 0)),
    ...(available !== undefined && { memoryBytes: Number(available) * 1_024 }),
    gpus: 0,
  }
  return { ok: problem === undefined, message: `${sentence(machine, problem)}.`, free }
}

function sentence({ root, bubblewrap, cgroups, sandboxProblem }: Machine, problem: string | undefined): string {
  if (problem !== undefined) return `This machine can't be used: ${problem}`
  if (root) {
    const limits = cgroups ? `within limits (cgroups v${cgroups.version})` : 'without limits: no cgroups'
    return `Environments run on this machine as their own accounts, sandboxed by bubblewrap, ${limits}`
  }
  const limits = 'CPU, memory and processes are not limited, because that takes root'
  return bubblewrap === undefined
    ? `Environments run on this machine as the hub's own user without a sandbox (${sandboxProblem}); ${limits}`
    : `Environments run on this machine as the hub's own user, sandboxed by bubblewrap; ${limits}`
}

/** An ordinary sandbox and, as root, an ordinary change of the user in it. */
async function tryOut(bubblewrap: string, root: boolean): Promise<string | undefined> {
  const caps = '--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP'
  const become = '/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --no-new-privs --'
  const view = '--ro-bind / / --proc /proc --dev /dev --tmpfs /tmp --unshare-pid --unshare-ipc --unshare-uts'
  const command = `${view} ${root ? caps : '--unshare-user'} -- ${root ? become : ''} /bin/sh -c :`
  const argv = command.split(' ').filter(Boolean)
  try {
    await promisify(execFile)(bubblewrap, argv, { timeout: 20_000, env: {} })
    return undefined
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n')[0] : ''
    return `bubblewrap does not work here (${said || 'it gave no reason'})`
  }
}

/** In most containers they are there, and read-only. */
async function workingGroups(root: string): Promise<1 | 2 | undefined> {
  const version = await groupVersion(root)
  if (version === undefined) return undefined
  const name = `hutch-trial-${randomUUID().slice(0, 8)}`
  const plan = groupPlan(version, root, name, 'trial', { cpu: 1, memoryBytes: 2 ** 26, gpus: 0, processes: 8 })
  const works = await makeGroups(plan).then(
    () => true,
    () => false,
  )
  for (const folder of plan.own) {
    // What was not made can't be removed either.
    await removeGroups([folder]).catch(() => undefined)
    await rmdir(dirname(folder)).catch(() => undefined)
  }
  return works ? version : undefined
}

async function exploreLayout(): Promise<Layout> {
  const folders: string[] = []
  const links: { path: string; target: string }[] = []
  for (const path of ['/usr', '/opt', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']) {
    const entry = await lstat(path).catch(() => undefined)
    if (entry?.isSymbolicLink()) links.push({ path, target: await readlink(path) })
    else if (entry?.isDirectory()) folders.push(path)
  }
  return { folders, links }
}

function findProgram(name: string, folders: readonly string[]): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}
