/** The environment's own control group, when it has one: exact, and complete for what ended in between. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface GroupUse {
  readonly cpuMs: number
  readonly memoryBytes: number
}

/** Undefined when the group is not this environment's own, or can't be read. */
export async function readOwnGroup(id: string, root = '/sys/fs/cgroup', own = '/proc/self/cgroup') {
  const lines = (await text(own))?.trim().split('\n') ?? []
  const paths = new Map(lines.map((line) => line.split(':')).map(([, name = '', ...rest]) => [name, rest.join(':')]))
  return (await readV2(id, root, paths.get(''))) ?? (await readV1(id, root, paths))
}

async function readV2(id: string, root: string, path: string | undefined): Promise<GroupUse | undefined> {
  if (path === undefined) return undefined
  const folder = join(root, path)
  const limit = (await text(join(folder, 'memory.max')))?.trim()
  if (!isOwn(id, path, limit !== undefined && limit !== 'max')) return undefined
  const cpuMs = field(await text(join(folder, 'cpu.stat')), 'usage_usec') / 1_000
  const used = Number.parseInt((await text(join(folder, 'memory.current'))) ?? '', 10)
  const cache = field(await text(join(folder, 'memory.stat')), 'inactive_file')
  return checked({ cpuMs, memoryBytes: used - cache })
}

async function readV1(id: string, root: string, paths: ReadonlyMap<string, string>): Promise<GroupUse | undefined> {
  const find = (wanted: string) => [...paths].find(([names]) => names.split(',').includes(wanted))?.[1]
  const [cpuPath, memoryPath] = [find('cpuacct'), find('memory')]
  if (cpuPath === undefined || memoryPath === undefined) return undefined
  const folder = join(root, 'memory', memoryPath)
  const limit = Number.parseInt((await text(join(folder, 'memory.limit_in_bytes'))) ?? '', 10)
  // "No limit" is written as the largest whole number of pages.
  if (!isOwn(id, memoryPath, limit < 2 ** 62)) return undefined
  const cpuMs = Number.parseInt((await text(join(root, 'cpuacct', cpuPath, 'cpuacct.usage'))) ?? '', 10) / 1e6
  const used = Number.parseInt((await text(join(folder, 'memory.usage_in_bytes'))) ?? '', 10)
  const cache = field(await text(join(folder, 'memory.stat')), 'total_inactive_file')
  return checked({ cpuMs, memoryBytes: used - cache })
}

/** Named after the environment, or the root of a container's own view with a limit of its own. */
function isOwn(id: string, path: string, isLimited: boolean): boolean {
  return path.split(/[/._-]/).includes(id) || (path === '/' && isLimited)
}

function checked(use: GroupUse): GroupUse | undefined {
  return Number.isFinite(use.cpuMs) && Number.isFinite(use.memoryBytes) && use.memoryBytes >= 0 ? use : undefined
}

function field(stat: string | undefined, name: string): number {
  const found = stat?.split('\n').find((line) => line.startsWith(`${name} `))
  return Number(found?.slice(name.length + 1) ?? Number.NaN)
}

async function text(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(() => undefined)
}
