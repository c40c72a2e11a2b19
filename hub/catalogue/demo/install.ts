/** The demo's data in the state folder: copied once, so that what users change or delete stays so. */
import { chmod, cp, lchown, lstat, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { demoGids, firstFree } from '../../accounts/demo-numbers.ts'

const data = fileURLToPath(new URL('./data', import.meta.url))

/** A folder for each demo proposal, with `raw` and `processed` in it. */
export function demoDataFolder(stateFolder: string): string {
  return join(stateFolder, 'proposals')
}

/**
 * Each proposal's folder appears whole or not at all; one that is there is never touched again.
 * `asRoot`: the accounts that work in it are others than the hub's, so each proposal has a group of its own.
 */
export async function installDemoData(stateFolder: string, options: { asRoot: boolean }): Promise<void> {
  const folder = demoDataFolder(stateFolder)
  await mkdir(folder, { recursive: true, mode: options.asRoot ? 0o755 : 0o700 })
  const there = await readdir(folder)
  for (const proposal of await readdir(data)) {
    if (there.includes(proposal)) continue
    await install(folder, proposal, options.asRoot ? sharedModes(await freeGroup(folder)) : ownModes)
  }
  // What a start that was killed left behind.
  for (const draft of there.filter((name) => name.startsWith('.new-'))) {
    await rm(join(folder, draft), { recursive: true, force: true })
  }
}

async function install(folder: string, proposal: string, modes: Readonly<Record<string, Modes>>): Promise<void> {
  const draft = await mkdtemp(join(folder, '.new-'))
  await cp(join(data, proposal), draft, { recursive: true })
  for (const [name, own] of Object.entries(modes)) {
    await mkdir(join(draft, name), { recursive: true })
    await setModes(join(draft, name), own)
  }
  await chmod(draft, 0o755)
  await rename(draft, join(folder, proposal))
}

interface Modes {
  readonly folder: number
  readonly file: number
  /** Absent: as they were made. */
  readonly gid?: number
}

const ownModes: Readonly<Record<string, Modes>> = {
  raw: { folder: 0o755, file: 0o444 },
  processed: { folder: 0o755, file: 0o644 },
}

/** Set-gid, so that what one member makes belongs to the group of all. */
function sharedModes(gid: number): Readonly<Record<string, Modes>> {
  return { raw: { folder: 0o755, file: 0o444 }, processed: { folder: 0o2770, file: 0o660, gid } }
}

async function freeGroup(folder: string): Promise<number> {
  const taken = new Set<number>()
  for (const proposal of await readdir(folder)) {
    // A draft that was cut off may not have it yet.
    const shared = await lstat(join(folder, proposal, 'processed')).catch(() => undefined)
    if (shared !== undefined) taken.add(shared.gid)
  }
  return await firstFree(demoGids, taken, AbortSignal.timeout(groupDeadlineMs))
}

const groupDeadlineMs = 30_000

async function setModes(folder: string, modes: Modes): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    await setMode(join(entry.parentPath, entry.name), modes, entry.isDirectory())
  }
  await setMode(folder, modes, true)
}

/** The owner first: changing it takes the set-gid bit away. */
async function setMode(path: string, { folder, file, gid }: Modes, isFolder: boolean): Promise<void> {
  if (gid !== undefined) await lchown(path, 0, gid)
  await chmod(path, isFolder ? folder : file)
}
