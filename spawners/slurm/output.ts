/** The last lines of a job's output, from a folder in which users may put anything: their own files alone are read. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** Empty: there is none, or it is not a plain file of this user's. */
export async function readOutput(path: string, uid: number, mostBytes: number): Promise<string> {
  // A link would show the user whatever the hub can read; a pipe would never end.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ELOOP' || error.code === 'EACCES') return undefined
    throw error
  })
  if (file === undefined) return ''
  try {
    const entry = await file.stat()
    if (!entry.isFile() || entry.uid !== uid || entry.nlink !== 1) return ''
    const length = Math.min(entry.size, mostBytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, entry.size - length)
    const read = buffer.subarray(0, bytesRead)
    // Cutting a line in two may cut a character in two, which would turn into three bytes.
    const start = length < entry.size ? read.indexOf(10) + 1 : 0
    return read.subarray(start).toString('utf8').slice(0, mostBytes)
  } finally {
    await file.close()
  }
}
