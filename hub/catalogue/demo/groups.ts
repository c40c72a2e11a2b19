/** As root: the group of each demo proposal is the one that its folder for results has. */
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Account } from '../../../spawners/spawner.ts'
import { demoGids, isIn } from '../../accounts/demo-numbers.ts'
import { createProposals } from '../proposals.ts'
import { readCatalogueFile } from '../read.ts'
import { demoDataFolder } from './install.ts'

export const demoCataloguePath = fileURLToPath(new URL('./catalogue.yaml', import.meta.url))

/** The groups of the proposals that this person is a member of. Empty without the demo's catalogue. */
export async function demoGroups(stateFolder: string, name: string, signal: AbortSignal): Promise<Account['groups']> {
  const document = await readCatalogueFile(demoCataloguePath)
  if (document.is === 'wrong') throw new Error('a bug: the catalogue that ships with Hutch is wrong')
  signal.throwIfAborted()
  const { items } = createProposals(document.entries).page({ name }, { offset: 0, limit: 100 })
  const groups: { gid: number; name: string }[] = []
  for (const { id } of items) {
    // A proposal that has no folder has nothing to share.
    const folder = await lstat(join(demoDataFolder(stateFolder), id, 'processed')).catch(() => undefined)
    if (folder !== undefined && isIn(demoGids, folder.gid)) groups.push({ gid: folder.gid, name: `p${id}` })
  }
  return groups
}
