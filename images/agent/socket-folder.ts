/** The private folder (0700) for the application's unix socket: nobody else on a shared node gets through it. */
import { lstat, mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** sockaddr_un holds 107 bytes; some programs need a few of them for a temporary name. */
const longestSocketPath = 100
/** What Jupyter adds to its runtime folder for a kernel's socket: /kernel-<uuid>-ipc-1 */
const kernelSocketBytes = 52

export interface SocketFolder {
  /** Where the application listens. */
  readonly socket: string
  /** A short private folder for sockets that the application makes itself. */
  readonly runtime: string
  remove(): Promise<void>
}

/** @throws with a sentence that says what to do. */
export async function makeSocketFolder(wanted: string | undefined): Promise<SocketFolder> {
  const folder = wanted ?? (await temporary())
  const socket = join(folder, 'app.sock')
  const bytes = Buffer.byteLength(socket)
  if (bytes >= longestSocketPath) {
    throw new Error(`the socket path ${socket} has ${bytes} bytes; choose a socket folder that makes it shorter`)
  }
  if (wanted !== undefined) await takeOver(folder)
  const isShort = Buffer.byteLength(folder) + 2 + kernelSocketBytes < longestSocketPath
  const runtime = isShort ? join(folder, 'r') : await temporary()
  // What a killed agent left behind would be taken for the application's.
  await rm(socket, { force: true })
  if (isShort) await rm(runtime, { recursive: true, force: true })
  await mkdir(runtime, { recursive: true, mode: 0o700 })
  return {
    socket,
    runtime,
    async remove() {
      await rm(socket, { force: true })
      await rm(runtime, { recursive: true, force: true, maxRetries: 3 })
      // Whoever gave us the folder may keep other things in it.
      await rmdir(folder).catch(() => undefined)
    },
  }
}

async function temporary(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'hutch-'))
}

/** Makes it, or takes one that is ours and private already: anything else that is there is refused. */
async function takeOver(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const there = await lstat(folder)
  if (!there.isDirectory()) throw new Error(`the socket folder ${folder} is not a folder`)
  if (there.uid !== process.getuid?.()) throw new Error(`the socket folder ${folder} belongs to somebody else`)
  if ((there.mode & 0o77) !== 0) throw new Error(`the socket folder ${folder} is open to others; make it 0700`)
}
