/** How full somebody's home is: by the program `quota` (rquota), or one of the facility's own. */
import { z } from 'zod'
import type { HomeStorageConfiguration } from '../../config/schema.ts'
import type { Account, Log } from '../../spawners/spawner.ts'
import type { Accounts, User } from '../domain/services.ts'
import type { ProgramResult } from '../setup/program.ts'

export interface HomeUse {
  readonly usedBytes: number
  /** Absent: the file system sets none. */
  readonly limitBytes?: number
  /** Of bytes or of files, whichever is nearer to its limit; more than 1 where a soft limit is passed. */
  readonly share?: number
}

export interface HomeStorage {
  /** Undefined: nobody can tell. Never rejects, and keeps no page waiting for long. */
  of(user: User): Promise<HomeUse | undefined>
}

export interface HomeStorageOptions {
  readonly configuration: HomeStorageConfiguration
  readonly accounts: Accounts
  readonly run: (argv: readonly string[], timeoutMs: number) => Promise<ProgramResult>
  readonly now: () => Date
  readonly log: Log
}

const timeoutMs = 5_000
/** A page waits for so long; a slower answer is there for the next one. */
const patienceMs = 500
const mostKept = 5_000
const mostAtOnce = 4

export function createHomeStorage({ configuration, accounts, run, now, log }: HomeStorageOptions): HomeStorage {
  const { from, command, every } = configuration
  const known = new Map<string, { at: number; use: HomeUse | undefined }>()
  const asking = new Map<string, Promise<HomeUse | undefined>>()

  async function ask(user: User): Promise<HomeUse | undefined> {
    const account = await accounts.of(user, AbortSignal.timeout(timeoutMs))
    const argv = from === 'quota' ? ['quota', '-w', '-p', '-u', account.name] : filledIn(command ?? [], account)
    const { exitCode, stdout, stderr } = await run(argv, timeoutMs)
    // `quota` ends with 1 where a limit is passed.
    const use = from === 'quota' ? readQuota(stdout) : exitCode === 0 ? readCommand(stdout) : undefined
    if (use === undefined) {
      log.debug({ user: user.name, exitCode, stderr: stderr.slice(0, 500) }, 'how full a home is can not be told')
    }
    return use
  }

  function fresh(user: User): Promise<HomeUse | undefined> {
    const begun = asking.get(user.id)
    if (begun !== undefined) return begun
    if (asking.size >= mostAtOnce) return Promise.resolve(known.get(user.id)?.use)
    const answer = ask(user)
      .catch((error: unknown) => {
        log.debug({ user: user.name, err: error }, 'how full a home is can not be told')
        return undefined
      })
      .then((use) => {
        if (known.size >= mostKept) known.clear()
        known.set(user.id, { at: now().getTime(), use })
        return use
      })
      .finally(() => asking.delete(user.id))
    asking.set(user.id, answer)
    return answer
  }

  return {
    async of(user) {
      if (from === 'nothing') return undefined
      const last = known.get(user.id)
      if (last !== undefined && now().getTime() - last.at < every) return last.use
      const patience = Promise.withResolvers<HomeUse | undefined>()
      const timer = setTimeout(() => patience.resolve(last?.use), patienceMs)
      return await Promise.race([fresh(user), patience.promise]).finally(() => clearTimeout(timer))
    },
  }
}

function filledIn(argv: readonly string[], { name, uid, home }: Account): readonly string[] {
  const values: Readonly<Record<string, string>> = { user: name, uid: String(uid), home }
  return argv.map((argument) => argument.replaceAll(/\{(user|uid|home)\}/g, (_, key: string) => values[key] ?? ''))
}

const amount = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
const answer = z.object({ usedBytes: amount, limitBytes: amount.optional() })

/** One line of JSON. Exported for tests. */
export function readCommand(text: string): HomeUse | undefined {
  const line = text.split('\n').find((each) => each.trim() !== '')
  try {
    const { usedBytes, limitBytes } = answer.parse(JSON.parse(line ?? ''))
    return limitBytes === undefined || limitBytes === 0
      ? { usedBytes }
      : { usedBytes, limitBytes, share: usedBytes / limitBytes }
  } catch {
    return undefined // what it prints is no answer
  }
}

/** Blocks of 1 KiB; a number that is over its limit has a star. Several file systems: the fullest. */
const row = /^\s*\S+\s+(\d+)\*?\s+(\d+)\s+(\d+)\s+\d+\s+(\d+)\*?\s+(\d+)\s+(\d+)\s+\d+\s*$/

/** What `quota -w -p` prints. Exported for tests. */
export function readQuota(text: string): HomeUse | undefined {
  const uses = text.split('\n').flatMap((line): HomeUse[] => {
    const numbers = row.exec(line)?.slice(1).map(Number)
    if (numbers === undefined) return []
    const [blocks = 0, soft = 0, hard = 0, files = 0, softFiles = 0, hardFiles = 0] = numbers
    const shares = [shareOf(blocks, soft, hard), shareOf(files, softFiles, hardFiles)].filter(
      (each) => each !== undefined,
    )
    const limit = hard || soft
    return [
      {
        usedBytes: blocks * 1024,
        ...(limit === 0 ? {} : { limitBytes: limit * 1024 }),
        ...(shares.length === 0 ? {} : { share: Math.max(...shares) }),
      },
    ]
  })
  return uses.toSorted((a, b) => (b.share ?? 0) - (a.share ?? 0))[0]
}

/** Undefined: there is no limit. */
function shareOf(used: number, soft: number, hard: number): number | undefined {
  const limit = hard || soft
  return limit === 0 ? undefined : used / limit
}
