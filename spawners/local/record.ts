/**
 * What is known of each environment, on disk, so that it outlives the hub:
 *
 *     <state folder>/<id>/record.1           attempts to start it, each written once and never changed
 *     <state folder>/<id>/<run>/running      that attempt's own folder; see keeper.sh
 *
 * The highest attempt counts. A new attempt is made only when the highest one never started and is dead, and it is
 * taken with link(2), which one of several racing hubs alone can do. Nothing is deleted until the whole is.
 */
import { link, open, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { isEnvironmentId, type EnvironmentId } from '../spawner.ts'
import { isErrno } from './errno.ts'

const recordSchema = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  hub: z.string(),
  owner: z.string(),
  digest: z.string(),
  /** The name of the attempt's folder. */
  run: z.string().regex(/^e[a-z0-9]{12}$/),
  /** The keeper: the same process only with the same start time, in the same boot. */
  keeper: z.strictObject({ pid: z.int().positive(), startTime: z.string(), bootId: z.string() }),
  sandboxed: z.boolean(),
  /** The control groups' folders; empty: no limits. */
  cgroups: z.array(z.string()),
  stopTimeoutMs: z.int().positive(),
  walltimeMs: z.int().positive().optional(),
  /** Where an application without an agent listens, on loopback. */
  port: z.int().min(1).max(65_535).optional(),
  /** How many processes this machine had killed for want of memory when it began. */
  oomKills: z.int(),
})

export type LocalRecord = z.infer<typeof recordSchema>

/** The highest attempt. `broken`: there is one, and it can't be read. */
export type Latest =
  | Readonly<{ is: 'absent' }>
  | Readonly<{ is: 'broken'; message: string }>
  | Readonly<{ is: 'there'; number: number; record: LocalRecord }>

/** @throws when it can't be told whether there is one. */
export async function readLatest(stateFolder: string, id: EnvironmentId): Promise<Latest> {
  const names = await readdir(join(stateFolder, id)).catch(async (error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error
    // Without the state folder nothing can be told; with it, this one is absent.
    await readdir(stateFolder)
    return []
  })
  const number = Math.max(0, ...names.map((name) => Number(/^record\.(\d{1,6})$/.exec(name)?.[1] ?? 0)))
  if (number === 0) return { is: 'absent' }
  try {
    const text = await readFile(join(stateFolder, id, `record.${number}`), 'utf8')
    const record = recordSchema.parse(JSON.parse(text))
    if (record.id !== id) throw new Error('it is the record of another environment')
    return { is: 'there', number, record }
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { is: 'absent' }
    return { is: 'broken', message: `its record can't be read: ${error instanceof Error ? error.message : ''}` }
  }
}

/** Takes attempt `number`. False: another hub or call was first. */
export async function claim(stateFolder: string, record: LocalRecord, number: number): Promise<boolean> {
  const folder = join(stateFolder, record.id)
  const draft = join(folder, record.run, 'record')
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(record)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    await link(draft, join(folder, `record.${number}`))
    return true
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false
    throw error
  }
}

/** Every id that has a folder. @throws when the state folder can't be read. */
export async function listIds(stateFolder: string): Promise<readonly EnvironmentId[]> {
  return (await readdir(stateFolder)).filter(isEnvironmentId)
}

/** At once for everybody who looks; what a crash leaves of the rest is swept by the next start. */
export async function forget(stateFolder: string, id: EnvironmentId, random: string): Promise<void> {
  const grave = join(stateFolder, `.gone-${id}-${random}`)
  try {
    await rename(join(stateFolder, id), grave)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return
    throw error
  }
  await rm(grave, { recursive: true, force: true, maxRetries: 3 })
}

export async function sweep(stateFolder: string): Promise<void> {
  for (const name of await readdir(stateFolder)) {
    if (name.startsWith('.gone-')) await rm(join(stateFolder, name), { recursive: true, force: true })
  }
}
