/** Asking one environment's agent, and what follows from its answer. */
import type { Environment } from '../domain/environment.ts'
import { plainUrl } from '../domain/route.ts'
import type { Entry } from './board.ts'
import { type Context, writeRow } from './context.ts'
import type { Memory } from './memory.ts'
import type { Place, ProbeResult } from './probe.ts'
import { withDeadline } from './timers.ts'

const firstRetryMs = 250
const lastRetryMs = 5_000
/** One lost answer is no news. */
const failuresUntilTold = 2

export async function probeEntry(context: Context, entry: Entry, memory: Memory): Promise<void> {
  const { environment, row } = entry
  const place = placeOf(entry)
  if (place === undefined) return
  const { timers, settings, signal, probe, log, name } = context
  const result = await withDeadline(timers, settings.probeTimeoutMs, signal, (inner) =>
    probe(environment, place, inner),
  ).catch((error: unknown): ProbeResult => {
    log.debug({ environment: row.id, spawner: name, err: error }, 'an agent did not answer')
    return 'silent'
  })
  if (signal.aborted) return
  if (row.ready_at === null) await becomesReady(context, entry, memory, result)
  else await staysReachable(context, entry, memory, result)
}

function placeOf({ row, environment }: { row: Entry['row']; environment: Environment }): Place | undefined {
  const { observation } = environment
  if (observation?.phase === 'running' && observation.address !== undefined) return { url: observation.address }
  if (row.host === null || row.port === null) return undefined
  if (environment.spec.protocol === 'jupyterhub') return { url: plainUrl(row.host, row.port) }
  return { host: row.host, port: row.port }
}

async function becomesReady(context: Context, { row }: Entry, memory: Memory, result: ProbeResult): Promise<void> {
  const { now, metrics, name, settings } = context
  const at = now().getTime()
  if (result !== 'ready') {
    memory.probeFailures += 1
    memory.probeAt = at + Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(memory.probeFailures - 1, 10))
    return
  }
  memory.probeFailures = 0
  memory.probeAt = at + settings.silentAfterMs
  // Only of what was asked: it may have moved meanwhile.
  if (await writeRow(context, row.id, { ready_at: at, unreachable_since: null }, row)) {
    metrics.launched('ready', name, (at - row.requested_at) / 1_000)
  }
}

async function staysReachable(context: Context, { row }: Entry, memory: Memory, result: ProbeResult): Promise<void> {
  const { now, settings } = context
  const at = now().getTime()
  if (result !== 'silent') {
    memory.probeFailures = 0
    memory.probeAt = at + settings.silentAfterMs
    if (row.unreachable_since !== null) await writeRow(context, row.id, { unreachable_since: null })
    return
  }
  memory.probeFailures += 1
  memory.probeAt = at + settings.unreachableRetryMs
  if (memory.probeFailures >= failuresUntilTold && row.unreachable_since === null) {
    await writeRow(context, row.id, { unreachable_since: at })
  }
}
