/** The catalogue in a YAML file: read again when it changes, and the last good version kept when it is wrong. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigurationError, mistakeLine } from '../../config/mistake.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Catalogue, User } from '../domain/services.ts'
import { createProposals, type Proposals } from './proposals.ts'
import { type FileVersion, fileVersion, readCatalogueFile } from './read.ts'

/** How soon a change of the file counts. Looking is one stat, and needs no watcher, which NFS would not serve. */
const lookEveryMs = 1_000
/** A small file is read before the answer; an answer does not wait longer than this for a huge one. */
const longestWaitMs = 2_000

export interface FileCatalogueOptions {
  readonly path: string
  readonly instrumentsOf: (user: User, signal: AbortSignal) => Promise<readonly string[]>
  readonly now: () => Date
  readonly log: Log
}

/** @throws ConfigurationError with every mistake, when the file can't be used at the start. */
export async function createFileCatalogue(options: FileCatalogueOptions): Promise<Catalogue> {
  const { path, instrumentsOf, now, log } = options
  let version: FileVersion | undefined = await versionOf(path)
  let proposals = await read(path)
  let lookedAt = now().getTime()
  let looking: Promise<void> | undefined

  async function look(): Promise<void> {
    lookedAt = now().getTime()
    const seen = await versionOf(path)
    if (seen === version) return
    version = seen
    try {
      proposals = await read(path)
      log.info({ path }, 'the catalogue changed and was read again')
    } catch (error) {
      const lines = error instanceof ConfigurationError ? error.mistakes.slice(0, 10).map(mistakeLine) : [String(error)]
      log.warn({ path, mistakes: lines }, 'the catalogue can not be used: its last good version is kept')
    }
  }

  async function current(signal: AbortSignal): Promise<Proposals> {
    signal.throwIfAborted()
    const age = now().getTime() - lookedAt
    // A clock that went back makes a negative age: look.
    if (age < 0 || age >= lookEveryMs) {
      looking ??= look().finally(() => {
        looking = undefined
      })
    }
    if (looking !== undefined) await noLongerThan(longestWaitMs, looking, signal)
    return proposals
  }

  async function seerOf(user: User, signal: AbortSignal) {
    return { name: user.name, instruments: await instrumentsOf(user, signal) }
  }

  return {
    async proposals(user, request, signal) {
      const seer = await seerOf(user, signal)
      return (await current(signal)).page(seer, request)
    },
    async entitled(user, ids, signal) {
      const seer = await seerOf(user, signal)
      return (await current(signal)).entitled(seer, ids)
    },
    async datasets(user, proposal, request, signal) {
      const seer = await seerOf(user, signal)
      return (await current(signal)).datasets(seer, proposal, request)
    },
    async datasetsOf(user, proposal, ids, signal) {
      const seer = await seerOf(user, signal)
      return (await current(signal)).datasetsOf(seer, proposal, ids)
    },
  }
}

async function read(path: string): Promise<Proposals> {
  const document = await readCatalogueFile(path)
  if (document.is === 'wrong') throw new ConfigurationError(document.mistakes)
  return createProposals(document.entries)
}

/** Undefined when it is not there or may not be seen: that too is a version. */
async function versionOf(path: string): Promise<FileVersion | undefined> {
  return await fileVersion(path).catch(() => undefined)
}

async function noLongerThan(ms: number, work: Promise<void>, signal: AbortSignal): Promise<void> {
  const timer = new AbortController()
  const either = AbortSignal.any([signal, timer.signal])
  await Promise.race([work, sleep(ms, undefined, { signal: either, ref: false }).catch(() => undefined)])
  timer.abort()
  signal.throwIfAborted()
}
