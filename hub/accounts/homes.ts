/** Homes of the sources `self` and `demo`: `<state>/homes/<name>` on the host, /home/<name> in the environment. */
import { chmod, cp, lchown, lstat, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Configuration } from '../../config/schema.ts'
import type { Account } from '../../spawners/spawner.ts'

const skeleton = fileURLToPath(new URL('./skeleton', import.meta.url))

/** Where the account's home lies on the host, which may differ from what the environment sees as HOME. */
export function homeSource(
  source: Configuration['accounts']['source'],
  stateFolder: string,
  account: Pick<Account, 'name' | 'home'>,
): string {
  switch (source) {
    case 'self':
    case 'demo':
      return join(stateFolder, 'homes', account.name)
    case 'system':
    case 'file':
    case 'ldap':
    case 'claims':
    case 'plugin':
      return account.home
  }
}

/**
 * Makes the home whole or not at all, 0700, from the skeleton; one that is there is left as it is.
 * Twice at once is fine: the second rename finds a folder that is not empty. `owner` absent: the hub's own account.
 */
export async function makeHome(
  stateFolder: string,
  name: string,
  owner?: Readonly<{ uid: number; gid: number }>,
): Promise<void> {
  const homes = join(stateFolder, 'homes')
  const home = join(homes, name)
  if (await isThere(home)) return
  await mkdir(homes, { recursive: true, mode: 0o700 })
  const draft = await mkdtemp(join(homes, '.new-'))
  try {
    await cp(skeleton, draft, { recursive: true })
    await chmod(draft, 0o700)
    if (owner !== undefined) await give(draft, owner)
    await rename(draft, home)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    if (!(await isThere(home))) throw error
  }
}

async function give(folder: string, { uid, gid }: Readonly<{ uid: number; gid: number }>): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) await lchown(join(folder, name), uid, gid)
  await lchown(folder, uid, gid)
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory()
  } catch {
    // Whatever keeps us from seeing it, making it says in words.
    return false
  }
}
