/** Makes an environment not exist: asks its agent to end, kills what is left after the deadline, forgets it. */
import { randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { environmentId } from '../common/environmentId.ts'
import { isWithin } from '../common/checkMounts.ts'
import type { EnvironmentId } from '../spawner.ts'
import { listGroups, removeGroups } from './cgroups.ts'
import { isErrno } from './errno.ts'
import { isAlive, look, runFolder } from './look.ts'
import type { LaunchTools } from './plan.ts'
import {
  descendantsOf,
  hasVariable,
  innerPid,
  listProcesses,
  processInfo,
  readBootId,
  signal as send,
  workingFolder,
  type ProcessInfo,
} from './processes.ts'
import { forget, listIds, readLatest, type LocalRecord } from './record.ts'

export interface Stopper {
  /** Accepts it; waits a moment, because most end at once. Absent is success. */
  remove(id: EnvironmentId, signal: AbortSignal): Promise<void>
  /** Goes on with what an earlier hub had begun to stop. */
  resume(): Promise<void>
  /** Ends the waiting; the next hub resumes it. */
  close(): Promise<void>
}

/** How long `remove` itself waits for the end. */
const settleMs = 1_500
/** For killed processes to be gone. The kernel may be busy giving back their memory. */
const dyingMs = 20_000

export function createStopper(tools: LaunchTools): Stopper {
  const { context } = tools
  const { stateFolder } = context
  const closing = new AbortController()
  const stopping = new Map<EnvironmentId, Promise<void>>()

  function begin(record: LocalRecord, id: EnvironmentId): Promise<void> {
    const begun = stopping.get(id)
    if (begun) return begun
    const work = stop(tools, record, id, closing.signal)
      .catch((error: unknown) => {
        if (closing.signal.aborted) return
        context.log.error({ environment: id, err: error }, 'an environment can not be stopped')
        throw error
      })
      .finally(() => stopping.delete(id))
    // Whoever asked may be gone before it fails; the next one to ask tries again.
    work.catch(() => undefined)
    stopping.set(id, work)
    return work
  }

  return {
    async remove(id, signal) {
      signal.throwIfAborted()
      const latest = await readLatest(stateFolder, id)
      switch (latest.is) {
        case 'absent':
          await removeRest(tools, id)
          return
        case 'broken':
          await killByFolder(join(stateFolder, id))
          await removeRest(tools, id)
          return
        case 'there': {
          const { record } = latest
          if (record.hub !== context.hub) return
          await markStopping(runFolder(stateFolder, record))
          const waiting = new AbortController()
          const settled = sleep(settleMs, undefined, { signal: AbortSignal.any([signal, waiting.signal]) })
          try {
            await Promise.race([begin(record, id), settled.catch(() => undefined)])
          } finally {
            waiting.abort()
          }
        }
      }
    },
    async resume() {
      for (const id of await listIds(stateFolder)) {
        const latest = await readLatest(stateFolder, id)
        if (latest.is !== 'there' || latest.record.hub !== context.hub) continue
        const facts = await look(stateFolder, latest.record, { bootId: '', oomKills: 0 })
        if (facts.stopping) void begin(latest.record, id)
      }
    },
    async close() {
      closing.abort()
      await Promise.allSettled(stopping.values())
    },
  }
}

async function markStopping(folder: string): Promise<void> {
  await writeFile(join(folder, 'stopping'), '', { flag: 'wx', mode: 0o600 }).catch((error: unknown) => {
    // Twice is once; and a full disk keeps nobody from stopping: then the mark is missing, not the stop.
    if (!isErrno(error, 'EEXIST', 'ENOENT', 'ENOSPC', 'EDQUOT')) throw error
  })
}

async function stop(tools: LaunchTools, record: LocalRecord, id: EnvironmentId, signal: AbortSignal): Promise<void> {
  const { stateFolder } = tools.context
  const folder = runFolder(stateFolder, record)
  const bootId = await readBootId()
  const { keeperLives, marker } = await look(stateFolder, record, { bootId, oomKills: 0 })
  if (keeperLives) {
    const agent = await findAgent(folder, record)
    if (agent !== undefined) {
      send(agent, 'SIGTERM')
      const since = await stat(join(folder, 'stopping')).then(
        (mark) => mark.mtimeMs,
        () => Date.now(),
      )
      await waitForEnd(record, bootId, since + record.stopTimeoutMs + tools.config.stopGrace, signal)
    }
  }
  await killAll(record, bootId, keeperLives || marker.is === 'ended')
  await removeRest(tools, id)
}

async function waitForEnd(record: LocalRecord, bootId: string, deadline: number, signal: AbortSignal): Promise<void> {
  for (let pauseMs = 10; Date.now() < deadline; pauseMs = Math.min(500, pauseMs * 1.5)) {
    if (!(await isAlive(record, bootId))) return
    await sleep(pauseMs, undefined, { signal })
  }
}

/** The agent is the first process in the sandbox after bubblewrap's own; without one, it noted its pid. */
async function findAgent(folder: string, record: LocalRecord): Promise<number | undefined> {
  const below = await descendantsOf(record.keeper.pid)
  if (!record.sandboxed) {
    const noted = Number.parseInt(await readFile(join(folder, 'agent'), 'utf8').catch(() => ''), 10)
    return below.find((info) => info.pid === noted)?.pid
  }
  for (const info of below) if ((await innerPid(info.pid)) === 2) return info.pid
  return undefined
}

/**
 * Killing the keeper kills the sandbox (bubblewrap's --die-with-parent), and the sandbox everything in it. What that
 * does not reach is nobody's child any more, and is known by its variable: what was left behind outside of a sandbox,
 * or a sandbox whose keeper was killed just as it began.
 */
async function killAll(record: LocalRecord, bootId: string, hasKeeper: boolean): Promise<void> {
  if (record.keeper.bootId !== bootId) return
  const info = await processInfo(record.keeper.pid)
  const isKeeper = info?.startTime === record.keeper.startTime
  if (isKeeper) await kill([info, ...(await descendantsOf(info.pid))])
  if (!record.sandboxed || !hasKeeper) await kill(await withVariable(`HUTCH_ENVIRONMENT=${record.id}`))
}

/** When the record tells nothing: keepers work in the environment's folder. */
async function killByFolder(folder: string): Promise<void> {
  for (const info of await listProcesses()) {
    const cwd = await workingFolder(info.pid)
    if (cwd !== undefined && isWithin(cwd, folder)) await kill([info, ...(await descendantsOf(info.pid))])
  }
}

async function withVariable(variable: string): Promise<readonly ProcessInfo[]> {
  const found: ProcessInfo[] = []
  for (const info of await listProcesses()) if (await hasVariable(info.pid, variable)) found.push(info)
  return found
}

/** @throws when one of them does not die. */
async function kill(processes: readonly ProcessInfo[]): Promise<void> {
  for (const info of processes) if (await lives(info)) send(info.pid, 'SIGKILL')
  const deadline = Date.now() + dyingMs
  for (const info of processes) {
    while (await lives(info)) {
      if (Date.now() > deadline) throw new Error(`process ${info.pid} does not die`)
      await sleep(10)
    }
  }
}

async function lives({ pid, startTime }: ProcessInfo): Promise<boolean> {
  const info = await processInfo(pid)
  return info !== undefined && !info.isZombie && info.startTime === startTime
}

async function removeRest({ machine, config, context, tickets }: LaunchTools, id: EnvironmentId): Promise<void> {
  await tickets.remove(id)
  if (machine.cgroups) {
    const parent = config.cgroup ?? `hutch-${context.hub}`
    await removeGroups(await listGroups(machine.cgroups.root, parent, id))
  }
  await forget(context.stateFolder, id, environmentId(randomBytes)())
}
