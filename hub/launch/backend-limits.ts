/** What backends themselves let somebody have: told beside the offers, and never in their way. */
import type { ProfileConfiguration } from '../../config/schema.ts'
import type { Accounts, SpawnerLimits, User } from '../domain/services.ts'
import type { Log, Spawner } from '../../spawners/spawner.ts'

export interface BackendLimitsOptions {
  readonly spawners: ReadonlyMap<string, Readonly<{ spawner: Spawner }>>
  readonly accounts: Pick<Accounts, 'of'>
  readonly log: Log
}

const deadlineMs = 3_000

/** Of the spawners that these profiles run on. Never rejects: what can't be told is left out. */
export async function backendLimits(
  { spawners, accounts, log }: BackendLimitsOptions,
  user: User,
  profiles: readonly ProfileConfiguration[],
): Promise<readonly SpawnerLimits[]> {
  const names = [...new Set(profiles.flatMap(({ on }) => Object.keys(on)))]
  const telling = names.flatMap((name) => {
    const spawner = spawners.get(name)?.spawner
    return spawner?.limits === undefined ? [] : [{ name, spawner }]
  })
  if (telling.length === 0) return []
  const signal = AbortSignal.timeout(deadlineMs)
  const late = new Promise<undefined>((resolve) =>
    signal.addEventListener('abort', () => resolve(undefined), { once: true }),
  )
  const found = await Promise.all(
    telling.map(async ({ name, spawner }) => {
      const asked = accounts.of(user, signal).then((account) => spawner.limits?.(account, signal))
      const limits = await Promise.race([asked, late]).catch((error: unknown) => {
        log.debug({ err: error, spawner: name, user: user.name }, 'what the backend lets somebody have can not be told')
        return undefined
      })
      asked.catch(() => undefined) // it was too late
      return { spawner: name, limits: limits ?? [] }
    }),
  )
  return found.filter(({ limits }) => limits.length > 0)
}
