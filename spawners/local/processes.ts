/** Processes of this machine, from /proc. A process is a pid with its start time: pids come back. */
import { readFile, readdir, readlink } from 'node:fs/promises'
import { isErrno } from './errno.ts'

export interface ProcessInfo {
  readonly pid: number
  readonly parent: number
  /** Clock ticks since the boot, as text. */
  readonly startTime: string
  readonly isZombie: boolean
}

/** Undefined: there is none. @throws when /proc can't be read. */
export async function processInfo(pid: number): Promise<ProcessInfo | undefined> {
  const stat = await readProc(`${pid}/stat`)
  return stat === undefined ? undefined : parseStat(stat)
}

/** The name in parentheses may hold anything, parentheses and spaces too. */
export function parseStat(stat: string): ProcessInfo {
  const end = stat.lastIndexOf(')')
  const fields = stat.slice(end + 2).split(' ')
  return {
    pid: Number.parseInt(stat, 10),
    isZombie: fields[0] === 'Z' || fields[0] === 'X',
    parent: Number(fields[1]),
    startTime: fields[19] ?? '',
  }
}

/** All of this machine, a few at a time: there may be thousands, and files that may be open are counted. */
export async function listProcesses(): Promise<readonly ProcessInfo[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const infos: ProcessInfo[] = []
  for (let first = 0; first < pids.length; first += sideBySide) {
    const some = await Promise.all(pids.slice(first, first + sideBySide).map((pid) => processInfo(Number(pid))))
    infos.push(...some.filter((info) => info !== undefined))
  }
  return infos
}

const sideBySide = 32

/** Everything below `root` in the tree, without `root`. */
export async function descendantsOf(root: number): Promise<readonly ProcessInfo[]> {
  const found: ProcessInfo[] = []
  const next = [root]
  for (let pid = next.pop(); pid !== undefined; pid = next.pop()) {
    for (const child of await childrenOf(pid)) {
      const info = await processInfo(child)
      if (info === undefined) continue
      found.push(info)
      next.push(child)
    }
  }
  return found
}

/** A thread that starts a process is its parent, and the kernel lists it there. */
async function childrenOf(pid: number): Promise<readonly number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  const lists = await Promise.all(threads.map((thread) => readProc(`${pid}/task/${thread}/children`)))
  if (threads.length > 0 && lists.every((list) => list === undefined)) {
    // A kernel without these lists (CONFIG_PROC_CHILDREN), or it has just ended.
    return (await listProcesses()).filter((info) => info.parent === pid).map((info) => info.pid)
  }
  return lists.flatMap((list) => (list ?? '').split(' ').filter(Boolean).map(Number))
}

/** Its pid in its own pid namespace; undefined: it is gone, or has no namespace of its own. */
export async function innerPid(pid: number): Promise<number | undefined> {
  const line = (await readProc(`${pid}/status`))?.split('\n').find((each) => each.startsWith('NSpid:'))
  const [, ...pids] = line?.split(/\s+/) ?? []
  return pids.length > 1 ? Number(pids.at(-1)) : undefined
}

/** Undefined: there is none, or we may not know. */
export async function workingFolder(pid: number): Promise<string | undefined> {
  return await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
}

/** Whether it was started with this variable; false when we may not know. */
export async function hasVariable(pid: number, variable: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
  return environment.split('\0').includes(variable)
}

export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

/** How many processes this machine has killed for want of memory since its boot. */
export async function readOomKills(): Promise<number> {
  const line = (await readFile('/proc/vmstat', 'utf8')).split('\n').find((each) => each.startsWith('oom_kill '))
  return Number(line?.split(' ')[1] ?? 0)
}

/** Whether the pid is anybody's, in one system call. */
export function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return isErrno(error, 'EPERM')
  }
}

/** False: it was gone already. */
export function signal(pid: number, name: 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false
    throw error
  }
}

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${path}`, 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
