/** A catalogue file from the disk, whatever its size up to a bound, without holding up the hub. */
import { fork } from 'node:child_process'
import { constants, open, stat } from 'node:fs/promises'
import { type CatalogueDocument, readCatalogue } from './document.ts'

const largestBytes = 64 * 2 ** 20
/** Below it, reading takes less time than starting a process. */
const smallCharacters = 256 * 2 ** 10
const deadlineMs = 120_000
const childMemoryMb = 4_096

/** What identifies one version of a file: a rename, a write and a touch all change it. */
export type FileVersion = string

export async function fileVersion(path: string): Promise<FileVersion> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

/** Mistakes include that the file can't be read; rejects only for trouble of our own. */
export async function readCatalogueFile(path: string): Promise<CatalogueDocument> {
  const text = await readText(path)
  if (text.is === 'wrong') return { is: 'wrong', mistakes: [{ file: path, field: '', message: text.message }] }
  return text.text.length <= smallCharacters ? readCatalogue(text.text, path) : await readInProcess(text.text, path)
}

type Text = Readonly<{ is: 'read'; text: string }> | Readonly<{ is: 'wrong'; message: string }>

async function readText(path: string): Promise<Text> {
  try {
    // Non-blocking, or a named pipe would be waited for until somebody writes to it.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const found = await handle.stat()
      if (!found.isFile()) return { is: 'wrong', message: 'is not a file' }
      if (found.size > largestBytes) return { is: 'wrong', message: `is larger than ${largestBytes} bytes` }
      const bytes = await handle.readFile()
      return { is: 'read', text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof TypeError) return { is: 'wrong', message: 'is not UTF-8 text' }
    const { code } = error as NodeJS.ErrnoException
    return {
      is: 'wrong',
      message: code === 'ENOENT' ? 'there is no such file' : `can't be read (${code ?? 'unknown'})`,
    }
  }
}

/** Ends with the answer, or in words when it takes too long or more memory than it may. */
async function readInProcess(text: string, file: string): Promise<CatalogueDocument> {
  const child = fork(new URL('./document-process.ts', import.meta.url), {
    // 'advanced' keeps dates dates.
    serialization: 'advanced',
    env: {},
    execArgv: [`--max-old-space-size=${childMemoryMb}`],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const failed = (message: string): CatalogueDocument => ({ is: 'wrong', mistakes: [{ file, field: '', message }] })
  const answer = Promise.withResolvers<CatalogueDocument>()
  const timer = setTimeout(() => answer.resolve(failed('takes too long to read; split it')), deadlineMs)
  child.once('message', (document) => answer.resolve(document as CatalogueDocument))
  child.once('error', (error) => answer.resolve(failed(`can't be read: ${error.message}`)))
  child.once('exit', (code, signal) => answer.resolve(failed(`can't be read: its reader ended with ${signal ?? code}`)))
  child.send({ text, file }, (error) => {
    if (error !== null) answer.resolve(failed(`can't be read: ${error.message}`))
  })
  try {
    return await answer.promise
  } finally {
    clearTimeout(timer)
    child.kill('SIGKILL')
  }
}
