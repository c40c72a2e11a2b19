/** The demo's data in the state folder: copied once, so that what users change or delete stays so. */
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const data = fileURLToPath(new URL('./data', import.meta.url))

/** A folder for each demo proposal, with `raw` and `processed` in it. */
export function demoDataFolder(stateFolder: string): string {
  return join(stateFolder, 'proposals')
}

/**
 * Each proposal's folder appears whole or not at all; one that is there is never touched again.
 * `asRoot`: the accounts that work in it are others than the hub's.
 */
export async function installDemoData(stateFolder: string, options: { asRoot: boolean }): Promise<void> {
  const folder = demoDataFolder(stateFolder)
  await mkdir(folder, { recursive: true, mode: options.asRoot ? 0o755 : 0o700 })
  const there = await readdir(folder)
  for (const proposal of await readdir(data)) {
    if (!there.includes(proposal)) await install(folder, proposal, options.asRoot)
  }
  // What a start that was killed left behind.
  for (const draft of there.filter((name) => name.startsWith('.new-'))) {
    await rm(join(folder, draft), { recursive: true, force: true })
  }
}

async function install(folder: string, proposal: string, asRoot: boolean): Promise<void> {
  const draft = await mkdtemp(join(folder, '.new-'))
  await cp(join(data, proposal), draft, { recursive: true })
  for (const [name, modes] of Object.entries(asRoot ? modesAsRoot : modesAsOneself)) {
    await mkdir(join(draft, name), { recursive: true })
    await setModes(join(draft, name), modes)
  }
  await chmod(draft, 0o755)
  await rename(draft, join(folder, proposal))
}

interface Modes {
  readonly folder: number
  readonly file: number
}

const modesAsOneself: Readonly<Record<string, Modes>> = {
  raw: { folder: 0o755, file: 0o444 },
  processed: { folder: 0o755, file: 0o644 },
}
/** Members share `processed` by its mode alone: the state folder (0700) above keeps everybody else out. */
const modesAsRoot: Readonly<Record<string, Modes>> = {
  raw: { folder: 0o755, file: 0o444 },
  processed: { folder: 0o777, file: 0o666 },
}

async function setModes(folder: string, modes: Modes): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name)
    await chmod(path, entry.isDirectory() ? modes.folder : modes.file)
  }
  await chmod(folder, modes.folder)
}
