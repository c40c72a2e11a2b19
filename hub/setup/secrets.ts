/** The installation's one secret, made once, and the keys that are derived from it. */
import { hkdfSync, randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StateFolderError } from './state-folder.ts'

export interface Secrets {
  /** Signs tickets and entries; the proxy has it too. 32 bytes. */
  readonly admissionKey: Buffer
  /** From which every environment's own key is derived (images/agent/link.ts). 32 bytes. */
  readonly agentsKey: Buffer
  /** What a proxy shows when it asks for the table. */
  readonly feedSecret: string
  /** For signing the hub's cookies. */
  readonly cookieKeys: readonly string[]
  /** Further keys, 32 bytes each, one for each purpose. */
  derive(purpose: string): Buffer
}

const keyBytes = 32

/** Reads `<state>/secrets/master.key` (0600) or makes it. Throws StateFolderError when it can't be trusted. */
export async function loadSecrets(stateFolder: string): Promise<Secrets> {
  const folder = join(stateFolder, 'secrets')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, 'master.key')
  const master = (await readKey(file)) ?? (await makeKey(file))
  const derive = (purpose: string): Buffer =>
    Buffer.from(hkdfSync('sha256', master, '', `hutch ${purpose} v1`, keyBytes))
  return {
    admissionKey: derive('admission'),
    agentsKey: derive('agents'),
    feedSecret: derive('feed').toString('base64url'),
    cookieKeys: [derive('cookies').toString('base64url')],
    derive,
  }
}

async function readKey(file: string): Promise<Buffer | undefined> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (handle === undefined) return undefined
  try {
    const { mode } = await handle.stat()
    if ((mode & 0o077) !== 0) {
      throw new StateFolderError(`others may have read ${file}: if so, delete it and start anew; else chmod 600 it`, 73)
    }
    const key = await handle.readFile()
    if (key.length === keyBytes) return key
    throw new StateFolderError(`${file} is damaged (${key.length} of ${keyBytes} bytes); restore it from a backup`, 73)
  } finally {
    await handle.close()
  }
}

/** link() makes it whole or not at all, and of two at once one wins; both then read the same. */
async function makeKey(file: string): Promise<Buffer> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(randomBytes(keyBytes))
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  return await readFile(file)
}
