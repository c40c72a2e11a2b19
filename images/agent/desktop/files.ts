/** Files to and from the browser, one stream each: bounded, never whole in memory, and nothing is overwritten unasked. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { sendJson } from '../site/answers.ts'
import { existing, PathError, placeFor, type Root } from './paths.ts'

export interface Files {
  /** GET folder?path=: what is in it. */
  list(path: string, response: ServerResponse): Promise<void>
  /** GET file?path= */
  download(path: string, incoming: IncomingMessage, response: ServerResponse): Promise<void>
  /** PUT file?path=&conflict=refuse|rename|replace */
  upload(path: string, conflict: Conflict, incoming: IncomingMessage, response: ServerResponse): Promise<void>
}

export type Conflict = 'refuse' | 'rename' | 'replace'

export interface FilesOptions {
  readonly roots: readonly Root[]
  readonly mostUploadBytes?: number
  /** A transfer that moves nothing for so long is given up. */
  readonly idleMs?: number
  readonly mostTransfers?: number
}

const mostEntries = 2_000
const mostNames = 1_000
const discardMs = 5_000

export function createFiles(options: FilesOptions): Files {
  const { roots, mostUploadBytes = 64 * 1024 ** 3, idleMs = 60_000, mostTransfers = 16 } = options
  let transfers = 0

  const transfer = async (response: ServerResponse, work: () => Promise<void>): Promise<void> => {
    if (transfers >= mostTransfers) {
      return sendJson(response, 503, { detail: 'Too many files are on their way: wait until some are there.' })
    }
    transfers += 1
    try {
      await work()
    } catch (error) {
      answer(error, response)
    } finally {
      transfers -= 1
    }
  }

  return {
    async list(path, response) {
      try {
        const folder = await existing(path, roots)
        sendJson(response, 200, { path: folder, roots, ...(await entriesOf(folder)) })
      } catch (error) {
        answer(error, response)
      }
    },
    download: (path, incoming, response) =>
      transfer(response, async () => {
        const real = await existing(path, roots)
        // Without O_NONBLOCK opening a pipe would wait for its writer.
        const handle = await open(real, constants.O_RDONLY | constants.O_NONBLOCK)
        try {
          const about = await handle.stat()
          if (!about.isFile()) throw new PathError(400, 'Only files can be downloaded: pack a folder first.')
          response.writeHead(200, {
            'Content-Type': 'application/octet-stream',
            'Content-Length': about.size,
            'Content-Disposition': `attachment; filename*=UTF-8''${encoded(basename(real))}`,
            'Content-Security-Policy': "default-src 'none'; sandbox",
            'X-Content-Type-Options': 'nosniff',
            'Cache-Control': 'no-store',
          })
          if (incoming.method === 'HEAD' || about.size === 0) return void response.end()
          response.socket?.setTimeout(idleMs, () => response.destroy())
          // No further than its length was: it may grow meanwhile.
          await pipeline(handle.createReadStream({ end: about.size - 1, autoClose: false }), response)
        } finally {
          await handle.close()
        }
      }),
    upload: (path, conflict, incoming, response) =>
      transfer(response, async () => {
        const length = Number(incoming.headers['content-length'] ?? Number.NaN)
        if (length > mostUploadBytes) throw new Refusal(413, `Larger than ${Math.round(mostUploadBytes / 1e9)} GB.`)
        const { folder, name } = await placeFor(path, roots)
        // Asked before, so that nobody sends a gigabyte for nothing; the link below is what holds.
        if (conflict === 'refuse' && (await isThere(join(folder, name)))) throw new Refusal(409, taken(name))
        const as = await viaDraft(folder, async (draft, handle) => {
          await receive(incoming, handle, { mostUploadBytes, idleMs })
          await handle.close()
          return await putInPlace(draft, folder, name, conflict)
        })
        sendJson(response, 201, { path: join(folder, as), name: as })
      }),
  }
}

/** What is said to the browser, with its status. */
class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** A file beside the one that it becomes; of which nothing is left however the work ends. */
async function viaDraft<T>(folder: string, work: (draft: string, handle: FileHandle) => Promise<T>): Promise<T> {
  const draft = join(folder, `.hutch-upload-${randomBytes(9).toString('base64url')}`)
  const handle = await open(draft, 'wx', 0o666)
  try {
    return await work(draft, handle)
  } finally {
    await handle.close().catch(() => undefined)
    await rm(draft, { force: true })
  }
}

async function receive(
  incoming: IncomingMessage,
  handle: FileHandle,
  { mostUploadBytes, idleMs }: { mostUploadBytes: number; idleMs: number },
): Promise<void> {
  incoming.socket.setTimeout(idleMs, () => incoming.destroy(new Error('nothing came any more')))
  let bytes = 0
  // What goes wrong with the disk is to be answered, and needs the connection.
  for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > mostUploadBytes) throw new Refusal(413, `Larger than ${Math.round(mostUploadBytes / 1e9)} GB.`)
    await handle.writeFile(chunk)
  }
  incoming.socket.setTimeout(0)
  // A file server may tell of a full quota only now.
  await handle.sync().catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EINVAL') throw error
  })
}

/** Returns the name that it has now. A link can't overwrite, whoever makes the same name at the same time. */
async function putInPlace(draft: string, folder: string, name: string, conflict: Conflict): Promise<string> {
  if (conflict === 'replace') {
    const there = await stat(join(folder, name)).catch(() => undefined)
    if (there?.isDirectory()) throw new Refusal(409, `${name} is a folder.`)
    await rename(draft, join(folder, name))
    return name
  }
  for (let count = 1; count <= mostNames; count += 1) {
    const wanted = count === 1 ? name : numbered(name, count)
    if (await claim(draft, join(folder, wanted))) return wanted
    if (conflict === 'refuse') break
  }
  throw new Refusal(409, taken(name))
}

/** False: the name is taken. */
async function claim(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS' && code !== 'EMLINK') throw error
  }
  // A file system without links: the name is taken by an empty file first.
  try {
    await (await open(path, 'wx')).close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  await rename(draft, path)
  return true
}

/** scan.tar.gz → scan (2).tar.gz */
function numbered(name: string, count: number): string {
  const dot = name.indexOf('.', 1)
  return dot === -1 ? `${name} (${count})` : `${name.slice(0, dot)} (${count})${name.slice(dot)}`
}

function taken(name: string): string {
  return `${name} is there already.`
}

interface Entry {
  readonly name: string
  readonly kind: 'folder' | 'file'
  readonly bytes?: number
  readonly changedAt?: string
}

/** Folders first, without what begins with a dot and what is neither file nor folder. */
async function entriesOf(folder: string): Promise<Readonly<{ entries: readonly Entry[]; isCut: boolean }>> {
  const names = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'))
  const shown = names.toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })).slice(0, mostEntries)
  const entries: Entry[] = []
  for (const { name } of shown) {
    const about = await stat(join(folder, name)).catch(() => undefined)
    if (about?.isDirectory()) entries.push({ name, kind: 'folder' })
    else if (about?.isFile()) {
      entries.push({ name, kind: 'file', bytes: about.size, changedAt: about.mtime.toISOString() })
    }
  }
  const ranked = entries.toSorted((a, b) => Number(a.kind === 'file') - Number(b.kind === 'file'))
  return { entries: ranked, isCut: names.length > mostEntries }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}

function encoded(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Whoever hung up at once would not be heard; who goes on sending for long is cut off. */
function discardRest(incoming: IncomingMessage): void {
  if (incoming.complete) return
  incoming.resume()
  const timer = setTimeout(() => incoming.destroy(), discardMs)
  incoming.once('close', () => clearTimeout(timer))
}

/** The code of what the disk says, as a status and a sentence. */
const troubles: Readonly<Record<string, readonly [status: number, sentence: string]>> = {
  EACCES: [403, 'You may not write or read there: choose another folder.'],
  EPERM: [403, 'You may not write or read there: choose another folder.'],
  EROFS: [403, 'This folder is read-only: choose another one.'],
  ENOTDIR: [400, 'This is not a folder.'],
  ENOENT: [404, 'It is not there any more.'],
  EISDIR: [400, 'This is a folder.'],
  ENOSPC: [507, 'The disk is full: delete something and try again.'],
  EDQUOT: [507, 'Your quota is used up: delete something and try again.'],
}

function answer(error: unknown, response: ServerResponse): void {
  if (response.headersSent) return void response.destroy()
  discardRest(response.req)
  if (error instanceof PathError || error instanceof Refusal) {
    return sendJson(response, error.status, { detail: error.message })
  }
  const known = troubles[(error as NodeJS.ErrnoException).code ?? '']
  if (known === undefined) return sendJson(response, 500, { detail: 'The file could not be moved: try again.' })
  sendJson(response, known[0], { detail: known[1] })
}
