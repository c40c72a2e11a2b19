/**
 * One list and one watch of a kind of object: a copy of what the cluster shows, followed by bookmarks, resumed where
 * it was cut, listed again only when the server says that it is too old (410) or on the first look.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Log } from '../spawner.ts'
import { ApiError, type Api } from './api.ts'

export interface Followed<Item> {
  readonly items: ReadonlyMap<string, Item>
  /** True while the watch is open: then `items` is what the cluster shows, but for what is on its way. */
  isCurrent(): boolean
  /** ms since anything was heard; undefined: never yet. */
  ageMs(): number | undefined
  /** Reads the list anew. @throws when the server can't tell. */
  list(signal: AbortSignal): Promise<void>
  /** What we did ourselves and the watch may not have told yet. */
  put(item: Item): void
  /** Why the watch is not open; undefined: it is, or it was never tried. */
  trouble(): string | undefined
  /** Resolves when the signal has ended it. */
  readonly done: Promise<void>
}

export interface FollowOptions<Item> {
  readonly api: Api
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Throws for what is no such object. Undefined: nobody wants to know. */
  readonly read: (object: unknown) => Item | undefined
  readonly keyOf: (item: Item) => string
  readonly versionOf: (item: Item) => string
  /** Absent: everything is kept. What is not is told by `changed` alone. */
  readonly isKept?: (item: Item) => boolean
  /** Told each time when a list has been read. */
  readonly listed?: () => void
  readonly changed: (item: Item, type: 'there' | 'gone') => void
  readonly silenceMs: number
  /** Nothing is asked by itself before it is settled. A list that somebody asked for until then is not read twice. */
  readonly begin: Promise<unknown>
  readonly log: Log
  readonly now: () => number
  readonly signal: AbortSignal
}

const listSchema = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().nullish() }),
})
const changeSchema = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.unknown(),
})
const versionSchema = z.object({ metadata: z.object({ resourceVersion: z.string() }) })
const goneSchema = z.object({ code: z.int() })

const pageSize = 1_000
const mostPages = 100
const firstRetryMs = 200
const lastRetryMs = 15_000
/** The server ends a watch after this; a new one is opened where it was. */
const watchSeconds = 600

export function follow<Item>(options: FollowOptions<Item>): Followed<Item> {
  const { api, path, query, log, now, signal } = options
  let items = new Map<string, Item>()
  let version: string | undefined
  let heardAt: number | undefined
  let isOpen = false
  /** Of each list that is being read: what was put meanwhile, as it may have been answered before. */
  const reading = new Set<Map<string, Item>>()
  let latest: Promise<void> | undefined
  let begun = 0
  let newest = 0
  let trouble: string | undefined

  const keep = (object: unknown, type: 'there' | 'gone'): void => {
    const item = options.read(object)
    if (item === undefined) return
    const key = options.keyOf(item)
    if (type === 'gone') items.delete(key)
    else if (isKept(item)) items.set(key, newer(items.get(key), item))
    options.changed(item, type)
  }
  const isKept = options.isKept ?? (() => true)

  /** A list may have shown more than the watch has told yet. Versions of one kind of object grow. */
  function newer(old: Item | undefined, item: Item): Item {
    if (old === undefined) return item
    const [before, after] = [Number(options.versionOf(old)), Number(options.versionOf(item))]
    return before > after ? old : item
  }

  async function list(until: AbortSignal): Promise<void> {
    latest = listOnce(until)
    await latest
  }

  async function listOnce(until: AbortSignal): Promise<void> {
    const number = (begun += 1)
    const putMeanwhile = new Map<string, Item>()
    reading.add(putMeanwhile)
    try {
      const { found, version: shown } = await readList(until)
      // One that was begun later has been read already.
      if (number < newest) return
      newest = number
      version = shown
      heardAt = now()
      for (const [key, item] of putMeanwhile) if (!found.has(key)) found.set(key, item)
      replace(found)
      options.listed?.()
    } finally {
      reading.delete(putMeanwhile)
    }
  }

  /** Only a whole list is a place to go on from: what half of one left out would never be told. */
  async function readList(until: AbortSignal): Promise<{ found: Map<string, Item>; version: string | undefined }> {
    const found = new Map<string, Item>()
    const unkept: Item[] = []
    let next: string | undefined
    for (let pages = 0; pages < mostPages; pages += 1) {
      const page = { signal: until, query: { ...query, limit: pageSize, continue: next } }
      const answer = listSchema.parse(
        await api.list(path, page, (object) => {
          const item = options.read(object)
          if (item === undefined) return
          if (isKept(item)) found.set(options.keyOf(item), item)
          else unkept.push(item)
        }),
      )
      next = answer.metadata.continue ?? undefined
      if (next !== undefined && next !== '') continue
      for (const item of unkept) options.changed(item, 'there')
      return { found, version: answer.metadata.resourceVersion }
    }
    throw new Error(`${path} has more than ${mostPages * pageSize} objects`)
  }

  function replace(found: Map<string, Item>): void {
    const before = items
    items = found
    for (const [key, item] of before) if (!found.has(key)) options.changed(item, 'gone')
    for (const [key, item] of found) {
      const old = before.get(key)
      if (old === undefined || options.versionOf(old) !== options.versionOf(item)) options.changed(item, 'there')
    }
  }

  async function watchOnce(): Promise<void> {
    const stream = api.stream(path, {
      signal,
      silenceMs: options.silenceMs,
      opened: () => {
        isOpen = true
        trouble = undefined
        heardAt = now()
      },
      query: {
        ...query,
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: version,
        timeoutSeconds: watchSeconds,
      },
    })
    for await (const line of stream) {
      const { type, object } = changeSchema.parse(line)
      heardAt = now()
      if (type === 'ERROR') {
        const { code } = goneSchema.catch({ code: 0 }).parse(object)
        if (code === 410) version = undefined
        throw new Error(`the watch ended with ${code}`)
      }
      if (type !== 'BOOKMARK') keep(object, type === 'DELETED' ? 'gone' : 'there')
      version = versionSchema.parse(object).metadata.resourceVersion
    }
    heardAt = now()
  }

  async function run(): Promise<void> {
    let retryMs = firstRetryMs
    await Promise.allSettled([options.begin])
    while (!signal.aborted) {
      const beganAt = now()
      try {
        if (version === undefined) await latest?.catch(() => undefined)
        if (version === undefined) await list(signal)
        await watchOnce().finally(() => (isOpen = false))
        retryMs = firstRetryMs
        trouble = undefined
      } catch (error) {
        if (signal.aborted) return
        trouble = error instanceof Error ? error.message : 'for no reason that is told'
        if (error instanceof ApiError && error.status === 410) version = undefined
        else log.warn({ err: error, path }, 'the watch was cut; it is opened anew')
        if (now() - beganAt > lastRetryMs) retryMs = firstRetryMs
        await sleep(retryMs, undefined, { signal, ref: false }).catch(() => undefined)
        retryMs = Math.min(lastRetryMs, retryMs * 2)
      }
    }
  }

  return {
    get items() {
      return items
    },
    isCurrent: () => isOpen,
    trouble: () => trouble,
    ageMs: () => (heardAt === undefined ? undefined : now() - heardAt),
    list,
    put(item) {
      const key = options.keyOf(item)
      items.set(key, newer(items.get(key), item))
      for (const putMeanwhile of reading) putMeanwhile.set(key, item)
    },
    done: run(),
  }
}
