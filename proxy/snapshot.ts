/**
 * The last table on the disk, so that a proxy that starts while the hub is away serves all the same. Routes may be a
 * second late; a revocation is on the disk before it is acknowledged, in a small file of its own.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { z } from 'zod'
import { revocationSchema, routeSchema, type Revocation, type Route } from './feed.ts'
import type { Log } from './log.ts'

export interface Snapshot {
  /** What was kept; empty when there is none. A file that can't be read is told, and counts as none. */
  read(): Promise<{ routes: Route[]; revocations: Revocation[] }>
  /** Routes changed: they are written at once, but at most once a second. */
  routesChanged(): void
  /** Resolves when the revocations are on the disk. */
  saveRevocations(): Promise<void>
  /** Resolves when everything is on the disk. */
  flush(): Promise<void>
}

export interface SnapshotOptions {
  readonly file: string
  readonly log: Log
  readonly routes: () => Iterable<Route>
  readonly revocations: () => readonly Revocation[]
}

const routesFileSchema = z.strictObject({ version: z.literal(1), routes: z.array(routeSchema) })
const revocationsFileSchema = z.strictObject({ version: z.literal(1), revocations: z.array(revocationSchema) })
const delayMs = 1_000

export function keepSnapshot({ file, log, routes, revocations }: SnapshotOptions): Snapshot {
  const revocationsFile = `${file}.revocations`
  let timer: NodeJS.Timeout | undefined
  let wroteAt = Number.NEGATIVE_INFINITY
  let writing = Promise.resolve()

  const writeRoutes = (): Promise<void> =>
    enqueue(async () => {
      await replaceFile(file, JSON.stringify({ version: 1, routes: [...routes()] }))
      wroteAt = performance.now()
    })

  return {
    async read() {
      const kept = await readKept(file, routesFileSchema, log)
      const revoked = await readKept(revocationsFile, revocationsFileSchema, log)
      return { routes: kept?.routes ?? [], revocations: revoked?.revocations ?? [] }
    },
    routesChanged() {
      timer ??= setTimeout(
        () => {
          timer = undefined
          writeRoutes().catch((error: unknown) => log.error({ err: error }, 'the routes could not be written'))
        },
        Math.max(0, wroteAt + delayMs - performance.now()),
      )
    },
    saveRevocations: () =>
      enqueue(() => replaceFile(revocationsFile, JSON.stringify({ version: 1, revocations: revocations() }))),
    async flush() {
      const isDue = timer !== undefined
      clearTimeout(timer)
      timer = undefined
      await (isDue ? writeRoutes() : writing)
    },
  }

  /** One write after the other; one that fails does not keep the next from trying. */
  function enqueue(write: () => Promise<void>): Promise<void> {
    const turn = writing.then(write)
    writing = turn.catch(() => {})
    return turn
  }
}

async function readKept<T>(file: string, schema: z.ZodType<T>, log: Log): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (!isAbsent)
      log.warn({ file, cause: String(error).slice(0, 500) }, 'the snapshot can not be read; it is left out')
    return undefined
  }
}

/** Whole or not at all, for its owner's eyes alone. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const handle = await open(`${file}.new`, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.datasync()
  } finally {
    await handle.close()
  }
  await rename(`${file}.new`, file)
}
