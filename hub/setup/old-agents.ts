/**
 * Agents of earlier versions in the state folder. An environment reads the one that it was started with as long as it
 * lives, so one goes when everything that lives was launched after it had been replaced.
 */
import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Also what no row tells of, an orphan that waits for a word, has this long. */
const leastAgeMs = 7 * 86_400_000
const retiredName = 'retired'

export interface OldAgentsOptions {
  /** Holds one folder for each version. */
  readonly folder: string
  /** The name of the one that is given to new environments. */
  readonly current: string
  /** When the oldest of all that live was launched, ms; undefined: nothing lives. */
  readonly oldestLaunchAt: () => Promise<number | undefined>
  readonly now: () => Date
}

/** Returns the names of what it removed. */
export async function removeOldAgents({ folder, current, oldestLaunchAt, now }: OldAgentsOptions): Promise<string[]> {
  await rm(join(folder, current, retiredName), { force: true })
  const removed: string[] = []
  const names = (await readdir(folder)).filter((name) => name !== current)
  if (names.length === 0) return removed
  const oldest = (await oldestLaunchAt()) ?? Infinity
  for (const name of names) {
    const retiredAt = await retirementOf(join(folder, name), now)
    if (oldest <= retiredAt || now().getTime() - retiredAt < leastAgeMs) continue
    await rm(join(folder, name), { recursive: true, force: true })
    removed.push(name)
  }
  return removed
}

/** When it was first seen to be replaced, ms. A draft that a dead hub left behind was never more. */
async function retirementOf(path: string, now: () => Date): Promise<number> {
  const marker = join(path, retiredName)
  const known = await stat(marker).catch(() => undefined)
  if (known) return known.mtimeMs
  await writeFile(marker, '', { flag: 'wx' })
  return now().getTime()
}
