/** Looks at one environment: its folder and its keeper. Changes nothing. */
import { open, readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { groupOomKills } from './cgroups.ts'
import { isErrno } from './errno.ts'
import { processInfo } from './processes.ts'
import type { Facts } from './read.ts'
import type { LocalRecord } from './record.ts'

/** What is the same for all environments of one observation. */
export interface Now {
  readonly bootId: string
  readonly oomKills: number
}

export async function look(stateFolder: string, record: LocalRecord, now: Now): Promise<Facts> {
  const folder = runFolder(stateFolder, record)
  const keeperLives = await isAlive(record, now.bootId)
  // After the keeper: what it did before it died is on disk by now.
  const names = await readdir(folder)
  const marker = await readMarker(folder, names)
  const mayBeOutOfMemory = marker.is === 'ended' && marker.code !== 0 && record.cgroups.length > 0
  return {
    sameBoot: record.keeper.bootId === now.bootId,
    keeperLives,
    marker,
    stopping: names.includes('stopping'),
    movedEnd: names.includes('end') ? new Date(await readFile(join(folder, 'end'), 'utf8')) : undefined,
    groupOomKills: mayBeOutOfMemory ? await groupOomKills(record.cgroups) : undefined,
    machineOomKills: now.oomKills,
  }
}

export async function isAlive({ keeper }: LocalRecord, bootId: string): Promise<boolean> {
  if (keeper.bootId !== bootId) return false
  const info = await processInfo(keeper.pid)
  return info !== undefined && !info.isZombie && info.startTime === keeper.startTime
}

export function runFolder(stateFolder: string, record: Pick<LocalRecord, 'id' | 'run'>): string {
  return join(stateFolder, record.id, record.run)
}

/** The last lines that it printed, at most `mostBytes`. Empty: it printed nothing, or is not there. */
export async function readLog(folder: string, mostBytes: number): Promise<string> {
  const newest = await tail(join(folder, 'log'), mostBytes)
  const older = newest.length < mostBytes ? await tail(join(folder, 'log.old'), mostBytes - newest.length) : newest
  const whole = older === newest ? newest : Buffer.concat([older, newest])
  // Cutting a line in two may cut a character in two, which would turn into three bytes.
  const start = whole.length < mostBytes ? 0 : whole.indexOf(10) + 1
  return whole.subarray(start).toString('utf8').slice(0, mostBytes)
}

async function tail(path: string, mostBytes: number): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  })
  if (!file) return Buffer.alloc(0)
  try {
    const { size } = await file.stat()
    const length = Math.min(size, mostBytes)
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function readMarker(folder: string, names: readonly string[]): Promise<Facts['marker']> {
  const name = names.find((each) => /^(running|ended\.\d{1,3})$/.test(each))
  if (name === undefined) return { is: 'waiting' }
  try {
    const { mtime, ctime } = await stat(join(folder, name))
    if (name === 'running') return { is: 'running', startedAt: mtime }
    return { is: 'ended', code: Number(name.slice('ended.'.length)), startedAt: mtime, endedAt: ctime }
  } catch (error) {
    // It was renamed in between, which happens once.
    if (isErrno(error, 'ENOENT') && name === 'running') return await readMarker(folder, await readdir(folder))
    throw error
  }
}
