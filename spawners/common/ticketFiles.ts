/**
 * Kerberos ticket caches as files of one machine, FOLDER/<uid>/krb5cc_<environment>: where KRB5CCNAME leads, and where
 * rpc.gssd finds them (`-d FOLDER/%U`). The files are the account's; the folders are the hub's, so that nobody can put a
 * link in the way of the next one.
 */
import { chmod, chown, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isEnvironmentId, type Account, type EnvironmentId, type EnvironmentSpec } from '../spawner.ts'

export interface TicketFiles {
  /** Of this account; nothing else is to be seen by it. */
  folderOf(account: Pick<Account, 'uid'>): string
  /** In place of the last one, whole at each moment. */
  write(id: EnvironmentId, account: Pick<Account, 'uid' | 'gid'>, cache: Uint8Array): Promise<void>
  /** Absent is success. */
  remove(id: EnvironmentId): Promise<void>
  /** Those of environments that are no more, and what a crash left. */
  sweep(isThere: (id: EnvironmentId) => boolean): Promise<void>
}

/** `folder`: where the environment sees its account's. */
export function ticketVariables(
  { id, tickets }: Pick<EnvironmentSpec, 'id' | 'tickets'>,
  folder: string,
): Readonly<Record<string, string>> {
  return tickets === true ? { KRB5CCNAME: `FILE:${join(folder, ticketFileName(id))}` } : {}
}

function ticketFileName(id: EnvironmentId): string {
  return `krb5cc_${id}`
}

/** Another user of this machine passes the folders, and sees nothing in them. */
const folderMode = 0o711

/** `random`: a name that is taken by nobody. */
export function createTicketFiles(folder: string, random: () => string): TicketFiles {
  const folderOf: TicketFiles['folderOf'] = ({ uid }) => join(folder, String(uid))

  async function each(work: (folder: string, names: readonly string[]) => Promise<void>): Promise<void> {
    for (const uid of await namesIn(folder)) {
      if (/^\d+$/.test(uid)) await work(join(folder, uid), await namesIn(join(folder, uid)))
    }
  }

  return {
    folderOf,
    async write(id, account, cache) {
      const own = folderOf(account)
      await mkdir(own, { recursive: true })
      // Whatever the umask says.
      for (const path of [folder, own]) await chmod(path, folderMode)
      const draft = join(own, `.new-${random()}`)
      const file = await open(draft, 'wx', 0o600)
      try {
        await file.writeFile(cache)
        if (process.getuid?.() === 0) await chown(draft, account.uid, account.gid)
        await rename(draft, join(own, ticketFileName(id)))
      } catch (error) {
        await rm(draft, { force: true })
        throw error
      } finally {
        await file.close()
      }
    },
    async remove(id) {
      await each(async (own, names) => {
        if (names.includes(ticketFileName(id))) await rm(join(own, ticketFileName(id)), { force: true })
      })
    },
    async sweep(isThere) {
      await each(async (own, names) => {
        for (const name of names) {
          const id = name.replace(/^krb5cc_/, '')
          if (!(isEnvironmentId(id) && isThere(id))) await rm(join(own, name), { force: true })
        }
      })
    },
  }
}

/** None where there is no such folder: nobody had tickets yet. */
async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code))) return []
    throw error
  })
}
