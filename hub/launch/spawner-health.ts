/** Whether each backend is there, asked at most every few seconds whoever looks at the launch page. */
import type { Health, Log, Spawner } from '../../spawners/spawner.ts'

const keptMs = 10_000
/** What was well is told this long, and asked anew beside it. */
const toldMs = 30_000
const deadlineMs = 5_000

export interface SpawnerHealth {
  /** Never rejects: a backend that can't be asked is not well. */
  of(name: string): Promise<Health>
}

export function createSpawnerHealth(options: {
  spawners: ReadonlyMap<string, { readonly spawner: Spawner }>
  now: () => Date
  log: Log
}): SpawnerHealth {
  const { spawners, now, log } = options
  const kept = new Map<string, { at: number; health: Promise<Health>; isWell: boolean }>()

  async function ask(name: string): Promise<Health> {
    const spawner = spawners.get(name)?.spawner
    if (spawner === undefined) return { ok: false, message: `There is no computing service named ${name}.` }
    if (spawner.check === undefined) return { ok: true, message: 'It is not asked.' }
    try {
      return await within(deadlineMs, (signal) => spawner.check?.(signal))
    } catch (error) {
      log.warn({ err: error, spawner: name }, 'a computing service can not be asked')
      return { ok: false, message: `The computing service ${name} does not answer.` }
    }
  }

  /** Names come from the configuration alone, so the map is as small as it. */
  function renew(name: string, before?: { health: Promise<Health> }): Promise<Health> {
    const health = ask(name)
    const entry = { at: now().getTime(), health: before?.health ?? health, isWell: before !== undefined }
    kept.set(name, entry)
    void health.then(({ ok }) => Object.assign(entry, { health, isWell: ok }))
    return entry.health
  }

  return {
    of(name) {
      const entry = kept.get(name)
      const age = entry === undefined ? Number.NaN : now().getTime() - entry.at
      if (entry !== undefined && age >= 0 && age < keptMs) return entry.health
      // While a hundred people look, none of them waits for the backend; who was told that it is away asks anew.
      return renew(name, entry?.isWell === true && age >= 0 && age < toldMs ? entry : undefined)
    },
  }
}

/** Also ends the wait for a spawner that ignores its signal. */
async function within<T>(ms: number, ask: (signal: AbortSignal) => Promise<T> | undefined): Promise<T> {
  const signal = AbortSignal.timeout(ms)
  const late = Promise.withResolvers<never>()
  const onAbort = () => late.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const answer = ask(signal)
    if (answer === undefined) throw new Error('it has no check')
    return await Promise.race([answer, late.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
