/** The one folder that holds all state: made private, known to be writable, of a version that this release reads. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Why the state folder can't be used: one line with the remedy. Exit codes as in sysexits.h. */
export class StateFolderError extends Error {
  override readonly name = 'StateFolderError'
  readonly exitCode: number
  constructor(message: string, exitCode: 73 | 74, options: { cause?: unknown } = {}) {
    super(message, options)
    this.exitCode = exitCode
  }
}

export interface StateFolder {
  readonly path: string
  /** Sockets and records of running processes. */
  readonly run: string
  readonly logs: string
  /** True when this start made it. */
  readonly fresh: boolean
  readonly warnings: readonly string[]
}

/** Counts up when an older release could not read what a newer one wrote. */
const layoutVersion = 1
const leastFreeBytes = 64 * 2 ** 20
const comfortableFreeBytes = 2 * 2 ** 30
/** sun_path holds 108 bytes; the longest name in run/ must fit behind the folder. */
const longestPathBytes = 80

/** Makes the folder (0700) or checks the one that is there. Throws StateFolderError. */
export async function prepareStateFolder(path: string): Promise<StateFolder> {
  if (Buffer.byteLength(path) > longestPathBytes) {
    const remedy = 'choose a shorter one with --state (sockets in it have names of at most 107 bytes)'
    throw new StateFolderError(`the path of the state folder is longer than ${longestPathBytes} bytes: ${remedy}`, 73)
  }
  const made = await makeFolder(path).catch((error: unknown) => refuse(path, error))
  await makePrivate(path)
  const warnings = await checkSpace(path)
  const folders = { run: join(path, 'run'), logs: join(path, 'logs') }
  try {
    for (const folder of Object.values(folders)) await makeFolder(folder)
    const fresh = await checkVersion(path)
    return { path, ...folders, fresh: fresh || made, warnings }
  } catch (error) {
    return refuse(path, error)
  }
}

/** True: it was not there. mkdir's own recursion calls every failure ENOENT. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 })
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && dirname(path) !== path) {
      await makeFolder(dirname(path))
      return await makeFolder(path)
    }
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return false
    throw error
  }
}

async function makePrivate(path: string): Promise<void> {
  const { mode, uid } = await stat(path).catch((error: unknown) => refuse(path, error))
  if (uid !== process.geteuid?.() && process.geteuid?.() !== 0) {
    throw new StateFolderError(`the state folder ${path} belongs to another account; choose one with --state`, 73)
  }
  if ((mode & 0o077) !== 0) await chmod(path, 0o700).catch((error: unknown) => refuse(path, error))
}

async function checkSpace(path: string): Promise<string[]> {
  const { bavail, bsize, type } = await statfs(path).catch((error: unknown) => refuse(path, error))
  const freeBytes = bavail * bsize
  const free = `${Math.floor(freeBytes / 2 ** 20)} MiB`
  if (freeBytes < leastFreeBytes) {
    throw new StateFolderError(`the disk of the state folder ${path} is full (${free} are free); make room on it`, 74)
  }
  const warnings: string[] = []
  if (freeBytes < comfortableFreeBytes) warnings.push(`only ${free} are free on the disk of the state folder ${path}`)
  if (networkFilesystems.has(type)) {
    warnings.push(`the state folder ${path} is on a network file system: SQLite loses data there; use a local disk`)
  }
  return warnings
}

/** f_type of nfs, smb, cifs, smb2, afs, ceph. */
const networkFilesystems: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x5346414f, 0x00c36400,
])

/** Writes the version of a new folder; that it can be written at all is found out here. True: it was new. */
async function checkVersion(path: string): Promise<boolean> {
  const file = join(path, 'version')
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const version = Number(text ?? layoutVersion)
  if (version > layoutVersion) {
    throw new StateFolderError(`the state folder ${path} was written by a newer Hutch; use that one`, 73)
  }
  if (!Number.isInteger(version) || version < 1) {
    throw new StateFolderError(`${path} is not a state folder of Hutch (see its file version); choose another`, 73)
  }
  await writeWhole(file, `${layoutVersion}\n`)
  return text === undefined
}

/** The whole file or the old one, on the disk when it returns; 0600. */
export async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined)
    throw error
  }
}

function refuse(path: string, error: unknown): never {
  if (error instanceof StateFolderError) throw error
  const code = (error as NodeJS.ErrnoException).code
  switch (code) {
    case 'EROFS':
      throw new StateFolderError(`the state folder ${path} is on a read-only disk; choose another with --state`, 73)
    case 'EACCES':
    case 'EPERM':
      throw new StateFolderError(
        `this account may not write to the state folder ${path}; choose another with --state`,
        73,
      )
    case 'ENOTDIR':
    case 'EEXIST':
      throw new StateFolderError(
        `the state folder ${path} is a file, or lies beneath one; choose another with --state`,
        73,
      )
    case 'ENOSPC':
    case 'EDQUOT':
      throw new StateFolderError(`the disk of the state folder ${path} is full; make room on it`, 74, { cause: error })
    case undefined:
    default:
      throw new StateFolderError(`the state folder ${path} can't be used (${code ?? String(error)})`, 74, {
        cause: error,
      })
  }
}
