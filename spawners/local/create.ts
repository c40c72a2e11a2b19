/** The spawner of one machine: processes of this machine, kept by keeper.sh, found again on disk and in /proc. */
import { existsSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isWithin } from '../common/checkMounts.ts'
import { createTicketFiles } from '../common/ticketFiles.ts'
import type { EnvironmentId, Found, Spawner, SpawnerContext } from '../spawner.ts'
import type { LocalConfig, LocalProfile } from './config.ts'
import { launch } from './launch.ts'
import { look, readLog, runFolder, type Now } from './look.ts'
import { machineHealth, type Machine } from './machine.ts'
import { pidExists, readBootId, readOomKills } from './processes.ts'
import { readFacts } from './read.ts'
import { listIds, readLatest, sweep } from './record.ts'
import { createStopper } from './stop.ts'
import { watchPhases } from './watch.ts'

const mostLogBytes = 64 * 1_024
/** Environments that are looked at side by side. */
const sideBySide = 16

/** `machine` is what exploreMachine found. */
export async function createLocal(
  config: LocalConfig,
  context: SpawnerContext,
  machine: Machine,
): Promise<Spawner<LocalProfile>> {
  const { stateFolder } = context
  const shown = config.readOnlyPaths.find((path) => isWithin(path, stateFolder))
  if (shown !== undefined) throw new Error(`spawners.${context.name}.readOnlyPaths: ${shown} holds files of the hub`)
  // Not the name of an environment.
  const tickets = createTicketFiles(config.ticketFolder ?? join(stateFolder, '.tickets'), randomUUID)
  const tools = { config, context, machine, tickets }
  const stopper = createStopper(tools)
  await sweep(stateFolder)
  const there = new Set(await listIds(stateFolder))
  await tickets.sweep((id) => there.has(id))
  await stopper.resume()

  async function observe(ids: readonly EnvironmentId[]): Promise<ReadonlyMap<EnvironmentId, Found>> {
    const now: Now = { bootId: await readBootId(), oomKills: await readOomKills() }
    const found = new Map<EnvironmentId, Found>()
    for (let first = 0; first < ids.length; first += sideBySide) {
      await Promise.all(
        ids.slice(first, first + sideBySide).map(async (id) => {
          const one = await observeOne(context, id, now)
          if (one) found.set(id, one)
        }),
      )
    }
    return found
  }

  return {
    heedsBeneath: true,
    async ensure(spec, signal) {
      signal.throwIfAborted()
      await launch(tools, spec, signal)
    },
    async observe(signal) {
      signal.throwIfAborted()
      return await observe(await listIds(stateFolder))
    },
    remove: (id, signal) => stopper.remove(id, signal),
    async logs(id, signal) {
      signal.throwIfAborted()
      const latest = await readLatest(stateFolder, id)
      if (latest.is !== 'there' || latest.record.hub !== context.hub) return ''
      return await readLog(runFolder(stateFolder, latest.record), mostLogBytes)
    },
    async extend(id, endsAt, signal) {
      signal.throwIfAborted()
      const latest = await readLatest(stateFolder, id)
      if (latest.is !== 'there' || latest.record.hub !== context.hub) throw new Error(`there is no ${id}`)
      const file = join(runFolder(stateFolder, latest.record), 'end')
      await writeFile(`${file}.new`, endsAt.toISOString(), { mode: 0o600 })
      await rename(`${file}.new`, file)
    },
    async renewTickets(spec, cache, signal) {
      signal.throwIfAborted()
      if (!(await runs(context, spec.id))) return
      await tickets.write(spec.id, spec.account, cache)
      // It may have been removed meanwhile, and its tickets with it.
      if ((await readLatest(stateFolder, spec.id)).is === 'absent') await tickets.remove(spec.id)
    },
    async watch(changed, signal) {
      const list = () => listIds(stateFolder)
      await watchPhases({ list, observe, stillRuns: runningCheck(stateFolder) }, changed, signal)
    },
    async check(signal) {
      signal.throwIfAborted()
      await readdir(stateFolder)
      return await machineHealth(machine, config)
    },
    close: () => stopper.close(),
  }
}

/**
 * A look at two things only: the marker's name and whether the pid is anybody's. A pid that is somebody else's by now
 * is found out by the next whole observation.
 */
function runningCheck(stateFolder: string): (id: EnvironmentId) => Promise<boolean> {
  const known = new Map<EnvironmentId, Readonly<{ pid: number; marker: string }>>()
  return async (id) => {
    const latest = known.has(id) ? undefined : await readLatest(stateFolder, id)
    if (latest?.is === 'there') {
      const marker = join(runFolder(stateFolder, latest.record), 'running')
      known.set(id, { pid: latest.record.keeper.pid, marker })
    }
    const one = known.get(id)
    // Not asynchronous: a turn through the thread pool costs thirty times as much, and this is done for all of them.
    if (one && pidExists(one.pid) && existsSync(one.marker)) return true
    known.delete(id)
    return false
  }
}

async function runs({ stateFolder, hub }: SpawnerContext, id: EnvironmentId): Promise<boolean> {
  const latest = await readLatest(stateFolder, id)
  if (latest.is !== 'there' || latest.record.hub !== hub) return false
  const { marker, stopping } = await look(stateFolder, latest.record, { bootId: await readBootId(), oomKills: 0 })
  return marker.is === 'running' && !stopping
}

/** Undefined: it does not exist, or is another hub's. One that can't be looked at hides none of the others. */
async function observeOne(
  { stateFolder, hub }: SpawnerContext,
  id: EnvironmentId,
  now: Now,
): Promise<Found | undefined> {
  try {
    const latest = await readLatest(stateFolder, id)
    if (latest.is === 'absent') return undefined
    if (latest.is === 'broken') return { observation: { phase: 'unknown', message: latest.message } }
    const { record } = latest
    if (record.hub !== hub) return undefined
    const observation = readFacts(record, await look(stateFolder, record, now))
    return observation && { observation, owner: record.owner, digest: record.digest }
  } catch (error) {
    // Taken away between two looks: then it is absent. Anything else can't be told.
    const again = await readLatest(stateFolder, id)
    if (again.is === 'absent') return undefined
    return { observation: { phase: 'unknown', message: error instanceof Error ? error.message : 'it can not be read' } }
  }
}
