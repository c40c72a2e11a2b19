/** The steps, done: each is recorded before and after. A step that failed is decided anew. */
import type { Transaction } from 'kysely'
import { type EndReason, LaunchRefused } from '../../spawners/spawner.ts'
import { type DecideSettings, settledAt } from '../domain/decide.ts'
import type { Claim } from '../domain/environment.ts'
import { leaveRecord } from '../quota/ledger.ts'
import { rowOf } from '../store/environments.ts'
import type { Tables } from '../store/schema.ts'
import type { Entry } from './board.ts'
import { askBackend, type Context, lastLines, refuseExtension, withoutNul, writeRow } from './context.ts'
import type { Memory } from './memory.ts'

export async function ensure(context: Context, entry: Entry, memory: Memory, settings: DecideSettings): Promise<void> {
  const { now, metrics, name, spawner, log, board } = context
  const { id, spec } = entry.environment
  if (!(await begin(context, entry, memory, settings, 'ensure'))) return
  try {
    await askBackend(context, 'ensure', settings.actionTimeoutMs, (signal) => spawner.ensure(spec, signal))
  } catch (error) {
    if (error instanceof LaunchRefused) return await end(context, entry, error.reason, error.message)
    memory.lostAt = now().getTime()
    log.warn(
      { environment: id, spawner: name, err: error },
      'a launch was not answered; it is looked for, then tried again',
    )
    return
  }
  const at = now().getTime()
  const row = board.get(id)?.row ?? entry.row
  await writeRow(context, id, { action_at: at, accepted_at: row.accepted_at ?? at })
  metrics.launched('accepted', name, (at - row.requested_at) / 1_000)
}

export async function remove(context: Context, entry: Entry, memory: Memory, settings: DecideSettings): Promise<void> {
  const { now, name, spawner, log } = context
  const { id } = entry.environment
  // Afterwards nobody has them any more.
  const isFirst = entry.row.action !== 'remove' && entry.row.log_tail === null
  const log_tail = isFirst ? await lastLines(context, id) : entry.row.log_tail
  if (!(await begin(context, entry, memory, settings, 'remove', { log_tail }))) return
  try {
    await askBackend(context, 'remove', settings.actionTimeoutMs, (signal) => spawner.remove(id, signal))
  } catch (error) {
    memory.lostAt = now().getTime()
    log.warn({ environment: id, spawner: name, err: error }, 'a removal was not answered; it is tried again')
    return
  }
  await writeRow(context, id, { action_at: now().getTime() })
}

/** It is admitted and committed; a backend that says no for good gives what was held for it back. */
export async function extend(
  context: Context,
  { environment, row }: Entry,
  memory: Memory,
  { until, ...settings }: DecideSettings & { readonly until: number },
): Promise<void> {
  const { now, name, spawner, log } = context
  const { id } = environment
  try {
    await askBackend(context, 'extend', settings.actionTimeoutMs, async (signal) => {
      await spawner.extend?.(id, new Date(until), signal)
    })
  } catch (error) {
    if (error instanceof LaunchRefused) {
      await refuseExtension(context, row, error.message)
      log.warn({ environment: id, spawner: name, err: error }, 'the backend does not make its time longer')
      return
    }
    log.warn({ environment: id, spawner: name, err: error }, 'a later end was not answered; it is asked for again')
  }
  // Also where it was taken: until it shows, only the next observation can tell.
  const at = now().getTime()
  if (memory.extendUntil !== until) memory.extendTries = 0
  memory.extendUntil = until
  memory.extendAt = at + Math.min(settings.lastRetryMs, settings.firstRetryMs * 2 ** Math.min(memory.extendTries, 10))
  memory.extendTries += 1
}

/** Law 1: that it is asked for is committed before it is asked for. False: there is nothing to ask for any more. */
async function begin(
  context: Context,
  { row }: Entry,
  memory: Memory,
  settings: DecideSettings,
  action: 'ensure' | 'remove',
  change: { log_tail?: string | null } = {},
): Promise<boolean> {
  if (row.action !== null) {
    const settled = settledAt(row, memory.since, settings)
    memory.earlierSettledAt = Math.max(memory.earlierSettledAt, settled)
  }
  memory.lostAt = null
  const attempts = row.action === action ? row.attempts + 1 : 1
  const action_begun_at = context.now().getTime()
  // From now on it is wanted of the backend: what it waited before is not held against that.
  const wanted = row.action === null && action === 'ensure' ? { wanted_at: action_begun_at } : {}
  return await writeRow(context, row.id, { ...change, ...wanted, action, action_begun_at, action_at: null, attempts })
}

/** The row becomes a record, with the last lines. */
export async function end(context: Context, entry: Entry, reason: EndReason, message: string): Promise<void> {
  const { now, metrics, name, log, board } = context
  const { id } = entry.environment
  const current = board.get(id) ?? entry
  const { row } = current
  const isMade = row.accepted_at !== null || row.observed_at !== null
  const lines = isMade ? await lastLines(context, id) : ''
  const change = {
    ended_at: now().getTime(),
    end_reason: reason,
    end_message: withoutNul(row.end_message ?? sentence(context, current, reason, message)),
    log_tail: lines || row.log_tail,
    unreachable_since: null,
  }
  // As it is written by then: what the backend said last, its end above all, may just be on its way.
  const leave = async (trx: Transaction<Tables>): Promise<void> =>
    await leaveRecord(trx, (await rowOf(trx, id)) ?? { ...row, ...change })
  const isWritten = await writeRow(context, id, change, { also: leave })
  if (!isWritten) return
  metrics.ended(name, reason, row.ready_at !== null)
  log.info({ environment: id, spawner: name, reason }, 'an environment ended')
}

/** Why it failed is known best by its agent; only its owner reads this. Which sizes there are, backends do not know. */
function sentence({ settings }: Context, { row, environment }: Entry, reason: EndReason, message: string): string {
  if (reason === 'outOfMemory') {
    return [/[.!?]$/.test(message) ? message : `${message}.`, settings.moreMemory(environment)].join(' ').trim()
  }
  const claim: Claim | undefined = row.claim === null ? undefined : JSON.parse(row.claim)
  return reason === 'failed' && claim?.application === 'failed' && claim.message ? claim.message : message
}
