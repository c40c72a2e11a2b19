/**
 * Source `demo`: the hub's own account, as `self`; but a hub that runs as root gives each user a uid and gid of their
 * own. Which one is kept where it counts: it is the owner of their home.
 */
import { lstat, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Account } from '../../spawners/spawner.ts'
import { demoGroups } from '../catalogue/demo/groups.ts'
import { Problem } from '../domain/problem.ts'
import { demoUids, firstFree, isFree, isIn } from './demo-numbers.ts'
import { makeHome } from './homes.ts'
import type { AccountSource } from './index.ts'
import { createSelfSource, type ProcessIdentity } from './self.ts'

export function createDemoSource(options: { stateFolder: string; identity: ProcessIdentity }): AccountSource {
  if (options.identity.uid !== 0) return createSelfSource(options)
  const { stateFolder } = options
  const homes = join(stateFolder, 'homes')
  let last: Promise<unknown> = Promise.resolve()

  /** One after the other: two people must not be given the same number. */
  async function uidOf(name: string, signal: AbortSignal): Promise<number> {
    const mine = last.then(async () => {
      const owner = await ownerOf(join(homes, name))
      if (owner !== undefined) return owner
      const uid = await firstFree(demoUids, await ownersIn(homes), signal)
      await makeHome(stateFolder, name, { uid, gid: uid })
      return uid
    })
    last = mine.catch(() => undefined)
    return await mine
  }

  return {
    async find(name: string, signal: AbortSignal): Promise<Account> {
      const uid = await uidOf(name, signal)
      await check(name, uid, signal)
      const groups = await demoGroups(stateFolder, name, signal)
      return { name, uid, gid: uid, groups, home: `/home/${name}`, shell: '/bin/bash' }
    },
  }
}

/** @throws Problem launchRefused */
async function check(name: string, uid: number, signal: AbortSignal): Promise<void> {
  if (!isIn(demoUids, uid)) {
    throw new Problem(
      'launchRefused',
      `The home of ${name} belongs to uid ${uid}: a hub that was not root made it. Start Hutch as that user again, or as root with another --state.`,
    )
  }
  if (!(await isFree(uid, signal))) {
    throw new Problem(
      'launchRefused',
      `The number ${uid} of the demo's ${name} belongs to an account or a group of this machine by now. Start Hutch with another --state.`,
    )
  }
}

async function ownersIn(homes: string): Promise<ReadonlySet<number>> {
  await mkdir(homes, { recursive: true, mode: 0o700 })
  const owners = await Promise.all((await readdir(homes)).map(async (name) => await ownerOf(join(homes, name))))
  return new Set(owners.filter((owner) => owner !== undefined))
}

async function ownerOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).uid
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
