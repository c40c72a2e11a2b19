/** What agents report. All of it is a claim: the port is used, the host must be one that the backend observed. */
import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Transaction } from 'kysely'
import type { AgentReport } from '../../images/agent/bootstrap.ts'
import type { EnvironmentId, Log } from '../../spawners/spawner.ts'
import type { Claim } from '../domain/environment.ts'
import type { RowChange } from '../domain/observation.ts'
import { Problem } from '../domain/problem.ts'
import { changeLiveRow } from '../store/environments.ts'
import type { Store } from '../store/index.ts'
import type { EnvironmentRow, Tables } from '../store/schema.ts'
import type { Board, Entry } from './board.ts'
import { withoutNul } from './context.ts'
import { type Timers, withDeadline } from './timers.ts'

export type Resolve = (host: string) => Promise<readonly string[]>

export interface ReportsOptions {
  readonly board: Board
  readonly store: Store
  readonly timers: Timers
  readonly waitMs: number
  readonly now: () => Date
  readonly log: Log
  readonly resolve?: Resolve
  /** The loop of its spawner: the backend should be looked at. */
  readonly nudge: (spawner: string) => void
  readonly heard: (spawner: string, id: string, isReady: boolean) => void
}

export interface Reports {
  reported(id: EnvironmentId, report: AgentReport, remoteAddress: string): Promise<void>
  usage(id: EnvironmentId): AgentReport['usage']
  /** @throws Problem forbidden when the backend does not show it on this host, backendUnreachable when not running. */
  check(id: EnvironmentId, remoteAddress: string): Promise<void>
}

const resolveTimeoutMs = 3_000
/** Activity that is nearer to what is known is not worth a write. */
const activityStepMs = 60_000
const measuredStepMs = 300_000

export function createReports(options: ReportsOptions): Reports {
  const { board, store, timers, waitMs, now, log, nudge, heard } = options
  const resolve: Resolve = options.resolve ?? resolveHost
  const usages = new Map<string, AgentReport['usage']>()
  const measuredAt = new Map<string, number>()
  board.watch(({ row }) => {
    if (board.get(row.id) !== undefined) return
    usages.delete(row.id)
    measuredAt.delete(row.id)
  })

  function live(id: string): Entry {
    const entry = board.get(id)
    if (entry === undefined) throw new Problem('notFound', 'This environment has ended.')
    return entry
  }

  /** The agent may be faster than the backend's answer: then the backend is looked at, and the agent waits. */
  async function hostsOf(id: string): Promise<readonly string[]> {
    const known = observedHosts(live(id))
    if (known !== undefined) return known
    nudge(live(id).row.spawner)
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>()
    const unwatch = board.watch(({ row }) => {
      if (row.id !== id) return
      const entry = board.get(id)
      const hosts = entry && observedHosts(entry)
      if (entry === undefined) reject(new Problem('notFound', 'This environment has ended.'))
      else if (hosts !== undefined) resolve(hosts)
    })
    try {
      return await withDeadline(timers, waitMs, new AbortController().signal, () => promise)
    } catch (error) {
      if (error instanceof Problem) throw error
      throw new Problem('backendUnreachable', 'The backend does not show this environment running yet. Report again.', {
        cause: error,
        retryAfter: 5,
      })
    } finally {
      unwatch()
    }
  }

  async function check(id: string, address: string): Promise<void> {
    const hosts = await hostsOf(id)
    if (hosts.some((host) => plain(host) === address)) return
    for (const host of hosts.filter((each) => isIP(plain(each)) === 0)) {
      const signal = new AbortController().signal
      const addresses = await withDeadline(timers, resolveTimeoutMs, signal, () => resolve(host)).catch(() => [])
      if (addresses.some((each) => plain(each) === address)) return
    }
    log.warn({ environment: id, address, hosts }, 'a report came from a host that the backend did not observe')
    throw new Problem('forbidden', 'The backend does not show this environment on the host that this report came from.')
  }

  async function write(id: string, changeOf: (row: EnvironmentRow) => RowChange, packages?: string): Promise<void> {
    await store.writer.note(
      `environment ${id}`,
      async (trx, tell) => {
        const row = board.get(id)?.row
        const change = row && changeOf(row)
        if (change === undefined || !(await changeLiveRow(trx, id, change))) return undefined
        if (change.packages && packages !== undefined) await keepPackages(trx, change.packages, packages)
        tell({ of: 'environments', ids: [id] })
        return change
      },
      (change) => {
        const entry = board.get(id)
        if (entry && change) board.apply({ ...entry.row, ...change })
      },
    )
  }

  return {
    usage: (id) => usages.get(id),
    check: (id, remoteAddress) => check(id, plain(remoteAddress)),
    async reported(id, report, remoteAddress) {
      const { row } = live(id)
      const host = plain(remoteAddress)
      const isKnown = row.host === host && row.port === report.port
      if (!isKnown) await check(id, host)
      usages.set(id, report.usage)
      const at = now().getTime()
      const isMeasured = isDue(report, measuredAt.get(id), at)
      if (isMeasured) measuredAt.set(id, at)
      const changeOf = (latest: EnvironmentRow): RowChange => ({
        ...changeBy(latest, host, report, now().getTime()),
        ...(isMeasured && report.used !== undefined ? { measured: JSON.stringify(report.used) } : {}),
        ...packagesOf(latest, report),
      })
      if (Object.keys(changeOf(live(id).row)).length > 0) await write(id, changeOf, report.packages)
      heard(row.spawner, id, report.application === 'ready')
    },
  }
}

/** What is used is worth a write now and then, and when it is over. */
function isDue({ used, application }: AgentReport, before: number | undefined, at: number): boolean {
  if (used === undefined) return false
  return before === undefined || at - before >= measuredStepMs || application === 'ended' || application === 'failed'
}

/** Told once: what is put into an environment later is its owner's own. */
function packagesOf(row: EnvironmentRow, { packages }: AgentReport): RowChange {
  if (packages === undefined || row.packages !== null) return {}
  return { packages: createHash('sha256').update(withoutNul(packages)).digest('hex') }
}

async function keepPackages(trx: Transaction<Tables>, digest: string, packages: string): Promise<void> {
  await trx
    .insertInto('package_lists')
    .values({ digest, list: withoutNul(packages) })
    .onConflict((conflict) => conflict.column('digest').doNothing())
    .execute()
}

function observedHosts({ observation }: Entry): readonly string[] | undefined {
  return observation?.phase === 'running' ? observation.hosts : undefined
}

/** What this report changes in the row. A target that moved is asked again before anybody is led there. */
function changeBy(row: EnvironmentRow, host: string, report: AgentReport, now: number): RowChange {
  const { port, application, message } = report
  const change: RowChange = {}
  if (row.host !== host || row.port !== port) {
    Object.assign(change, { host, port, generation: row.generation + 1, ready_at: null, unreachable_since: null })
  }
  const claim: Claim = { application, ...(message === undefined ? {} : { message: withoutNul(message) }) }
  if (row.claim !== JSON.stringify(claim)) change.claim = JSON.stringify(claim)
  const activeAt = report.lastActivityAt === undefined ? 0 : Math.min(Date.parse(report.lastActivityAt), now)
  if (activeAt > (row.last_activity_at ?? 0) + activityStepMs) change.last_activity_at = activeAt
  return change
}

/** ::ffff:10.0.0.1 is 10.0.0.1. */
function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '')
}

async function resolveHost(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
}
