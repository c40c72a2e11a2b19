/**
 * One control group for each environment, by direct writes: version 2 where the unified hierarchy has the
 * controllers, version 1 else. What is to be written is data (`groupPlan`); the rest does it.
 */
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Resources } from '../spawner.ts'
import { isErrno } from './errno.ts'
import { signal } from './processes.ts'

export interface GroupPlan {
  /** Made in this order; the last ones are the environment's own. */
  readonly folders: readonly string[]
  /** Own folders: the environment is a member of these. */
  readonly own: readonly string[]
  /** [file, value, whether the kernel may lack it]. */
  readonly writes: readonly (readonly [file: string, value: string, optional: boolean])[]
}

/** Which version has the controllers that we need; undefined: neither, so nothing can be limited. */
export async function groupVersion(root: string): Promise<1 | 2 | undefined> {
  const unified = await readFile(join(root, 'cgroup.controllers'), 'utf8').catch(() => '')
  if (['cpu', 'memory', 'pids'].every((name) => unified.trim().split(' ').includes(name))) return 2
  const found = await Promise.all(
    v1Controllers.map((name) => readFile(join(root, name, 'cgroup.procs')).catch(() => undefined)),
  )
  return found.every((file) => file !== undefined) ? 1 : undefined
}

export function groupPlan(version: 1 | 2, root: string, parent: string, id: string, resources: Resources): GroupPlan {
  const processes = String(resources.processes ?? 4_096)
  const quotaUs = Math.max(1_000, Math.round(resources.cpu * periodUs))
  const memory = String(resources.memoryBytes)
  switch (version) {
    case 2: {
      const above = join(root, parent)
      const own = join(above, id)
      return {
        folders: [above, own],
        own: [own],
        writes: [
          [join(root, 'cgroup.subtree_control'), '+cpu +memory +pids', false],
          [join(above, 'cgroup.subtree_control'), '+cpu +memory +pids', false],
          [join(own, 'memory.max'), memory, false],
          [join(own, 'memory.swap.max'), '0', true],
          [join(own, 'cpu.max'), `${quotaUs} ${periodUs}`, false],
          [join(own, 'pids.max'), processes, false],
        ],
      }
    }
    case 1: {
      const of = (controller: string) => join(root, controller, parent, id)
      return {
        folders: v1Controllers.flatMap((name) => [join(root, name, parent), of(name)]),
        own: v1Controllers.map(of),
        writes: [
          [join(of('memory'), 'memory.limit_in_bytes'), memory, false],
          [join(of('memory'), 'memory.memsw.limit_in_bytes'), memory, true],
          [join(of('cpu'), 'cpu.cfs_period_us'), String(periodUs), false],
          [join(of('cpu'), 'cpu.cfs_quota_us'), String(quotaUs), false],
          [join(of('pids'), 'pids.max'), processes, false],
        ],
      }
    }
  }
}

/** Twice is once. @throws when a limit can't be set: an environment without its limits is not started. */
export async function makeGroups(plan: GroupPlan): Promise<void> {
  for (const folder of plan.folders) {
    await mkdir(folder).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error
    })
  }
  for (const [file, value, optional] of plan.writes) {
    try {
      // 'r+' and not 'w': a file that the kernel does not offer must not be made.
      await writeFile(file, value, { flag: 'r+' })
    } catch (error) {
      if (!optional) throw new Error(`${file} can't be set to ${value}`, { cause: error })
    }
  }
}

/** How many of its processes were killed for want of memory; undefined: its groups are gone (or there were none). */
export async function groupOomKills(own: readonly string[]): Promise<number | undefined> {
  for (const folder of own) {
    for (const file of ['memory.events', 'memory.oom_control']) {
      const text = await readFile(join(folder, file), 'utf8').catch(() => '')
      const line = text.split('\n').find((each) => each.startsWith('oom_kill '))
      if (line) return Number(line.slice('oom_kill '.length))
    }
  }
  return undefined
}

/** Kills everything in them and takes them away. Absent is success. @throws when something does not die. */
export async function removeGroups(own: readonly string[]): Promise<void> {
  for (const folder of own) {
    for (let tries = 0; ; tries += 1) {
      for (const pid of await members(folder)) signal(pid, 'SIGKILL')
      const error = await rmdir(folder).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      if (error === undefined || isErrno(error, 'ENOENT')) break
      if (!isErrno(error, 'EBUSY') || tries >= 100) throw error
      await sleep(50)
    }
  }
}

/** Those of an environment that left no record. */
export async function listGroups(root: string, parent: string, id: string): Promise<readonly string[]> {
  const above = [join(root, parent), ...v1Controllers.map((name) => join(root, name, parent))]
  const found = await Promise.all(above.map(async (folder) => (await subfolders(folder)).includes(id)))
  return above.filter((_folder, index) => found[index]).map((folder) => join(folder, id))
}

async function subfolders(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => [])
}

async function members(folder: string): Promise<readonly number[]> {
  const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean).map(Number)
}

/** cpuacct limits nothing; it counts, for the agent. */
const v1Controllers = ['memory', 'cpu', 'cpuacct', 'pids']
const periodUs = 100_000
