/** One hub for each state folder: a lock that the kernel lets go of when the process ends, however it ends. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Another hub holds the folder. */
export class StateFolderTaken extends Error {
  override readonly name = 'StateFolderTaken'
}

export interface FolderLock {
  release(): void
}

/**
 * Node has no flock; SQLite's exclusive lock on a database of its own is one (fcntl, held by the process).
 * @throws StateFolderTaken
 */
export async function lockStateFolder(stateFolder: string): Promise<FolderLock> {
  const record = join(stateFolder, 'run', 'hub.pid')
  const database = new DatabaseSync(join(stateFolder, 'run', 'lock'), { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (!isBusy(error)) throw error
    const pid = await readFile(record, 'utf8').catch(() => '')
    const who = /^\d+$/.test(pid.trim()) ? ` (process ${pid.trim()})` : ''
    throw new StateFolderTaken(
      `another hub${who} uses the state folder ${stateFolder}; stop it, or choose another with --state`,
    )
  }
  await writeFile(record, `${process.pid}\n`, { mode: 0o600 })
  return { release: () => database.close() }
}

const sqliteBusy = 5

function isBusy(error: unknown): boolean {
  return ((error as { errcode?: number }).errcode ?? 0) % 256 === sqliteBusy
}
