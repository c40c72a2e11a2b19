/** More time for what runs: how much there may be, and its admission, which is a launch's. */
import type { Configuration } from '../../config/schema.ts'
import type { Spawner } from '../../spawners/spawner.ts'
import { actorOf } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Environment } from '../domain/environment.ts'
import { admittedEnd } from '../domain/extension.ts'
import { Problem } from '../domain/problem.ts'
import type { Catalogue, Environments, Launches, PossibleExtension } from '../domain/services.ts'
import { formatDuration } from '../domain/format.ts'
import type { Authorisation } from '../identity/authorisation.ts'
import type { QuotaAdmission } from '../quota/admission.ts'
import { heldBy } from '../quota/held.ts'
import type { Asker } from '../quota/rules.ts'
import { askerOf, entitledTo } from './asking.ts'

export interface ExtendingOptions {
  readonly configuration: Pick<Configuration, 'profiles'>
  readonly environments: Pick<Environments, 'extend'>
  readonly catalogue: Pick<Catalogue, 'entitled'>
  readonly authorisation: Pick<Authorisation, 'require'>
  readonly spawners: ReadonlyMap<string, { readonly spawner: Pick<Spawner, 'extend'> }>
  readonly quota: QuotaAdmission
  readonly audit: Pick<Audit, 'write' | 'note'>
  readonly now: () => Date
}

/** Less is not worth a click, and backends count in minutes. */
const leastMs = 60_000

export function createExtending(options: ExtendingOptions): Pick<Launches, 'extension' | 'extend'> {
  const { configuration, environments, catalogue, authorisation, spawners, quota, audit, now } = options

  function possible(environment: Environment, asker: Asker): PossibleExtension {
    return possibleExtension(environment, {
      profileMs: configuration.profiles[environment.profile]?.longest,
      limitMs: quota.longestMs(asker),
      canMove: spawners.get(environment.spawner)?.spawner.extend !== undefined,
      now: now(),
    })
  }

  return {
    extension: (environment) => possible(environment, ownerOf(environment)),

    async extend(visitor, environment, wanted, signal) {
      const { user } = visitor
      if (user.blockedReason !== undefined) throw new Problem('blocked', user.blockedReason)
      await authorisation.require(user, signal)
      const proposals = await entitledTo(catalogue, user, environment.proposals, signal)
      const { id, title, groups } = environment
      // As at its launch: in which groups its owner was then.
      const asker = { ...askerOf(visitor, proposals), groups }
      const at = now().getTime()
      const made = { id, title, requested_at: at }
      const asked = (before: Environment) => {
        const byMs = wantedMs(possible(before, asker), before, wanted)
        const until = (before.endsAt?.getTime() ?? at) + byMs
        const hasOwnEnd = before.observation?.phase === 'running' && before.observation.endsAt !== undefined
        return { extension: { at, ms: byMs, until }, ...(hasOwnEnd ? {} : { endsAt: until }) }
      }
      const { together } = quota.admission({ ...asker, ...sizeOf(environment) }, made, [])
      try {
        const extended = await environments.extend(
          environment,
          asked,
          async (before, { ms }, live, ground) => {
            const ask = { ...asker, ...sizeOf(before), walltimeMs: ms, extends: heldBy(before) }
            await quota.admission(ask, made, []).admit(live, ground)
          },
          { together },
        )
        const byMs = extended.extensions.at(-1)?.ms ?? 0
        await audit.write({ ...actorOf(visitor), did: 'environment.extended', what: id, detail: { byMs } })
        return extended
      } catch (error) {
        if (error instanceof Problem && error.status < 500) {
          const detail = { problem: error.type, reason: error.detail }
          audit.note({ ...actorOf(visitor), did: 'environment.refused', what: id, detail })
        }
        throw error
      }
    },
  }
}

/** What limits ask of whoever owns it; what they follow from in the catalogue is not asked for here. */
export function ownerOf({ userId, owner, groups, proposals }: Environment): Asker {
  return { user: { id: userId, name: owner }, groups, proposals: proposals.map((id) => ({ id, fields: {} })) }
}

interface ExtensionBounds {
  /** The profile's; undefined: it allows none. */
  readonly profileMs: number | undefined
  /** Of the limits; undefined: there is none. */
  readonly limitMs: number | undefined
  /** The backend's own end can be moved. */
  readonly canMove: boolean
  readonly now: Date
}

/** Pure. */
function possibleExtension(environment: Environment, bounds: ExtensionBounds): PossibleExtension {
  const { endsAt, startedAt, observation, spec, extensions, wanted, unentitled } = environment
  if (wanted.is === 'absent' || endsAt === undefined || startedAt === undefined) return { is: 'impossible' }
  if (unentitled !== undefined) return { is: 'impossible' }
  const { profileMs, limitMs = Infinity, canMove, now } = bounds
  const until = admittedEnd(extensions)
  const hasOwnEnd = observation?.phase === 'running' && observation.endsAt !== undefined
  if (hasOwnEnd && !canMove) return { is: 'impossible', why: 'Where it runs, its time can not be made longer.' }
  if (hasOwnEnd && until !== undefined && endsAt.getTime() + leastMs < until) return { is: 'underWay' }
  if (profileMs === undefined) return { is: 'impossible', why: 'Its profile does not allow a longer time.' }
  const wholeMs = endsAt.getTime() - startedAt.getTime()
  const byMs = Math.min(spec.resources.walltimeMs ?? wholeMs, Math.min(profileMs, limitMs) - wholeMs)
  if (now >= endsAt) return { is: 'impossible' }
  if (byMs >= leastMs) return { is: 'possible', byMs }
  const whose = limitMs < profileMs ? 'your limit allows' : 'its profile allows'
  const most = formatDuration(Math.min(profileMs, limitMs))
  return { is: 'impossible', why: `It has the longest time that ${whose}: ${most}.` }
}

/** @throws Problem conflict, badRequest */
function wantedMs(
  possible: PossibleExtension,
  { endsAt }: Environment,
  wanted: Readonly<{ byMs?: number; endsAt?: Date }>,
): number {
  // Another end than the one that was seen: it was made longer meanwhile.
  const isOld = wanted.endsAt !== undefined && Math.abs(wanted.endsAt.getTime() - (endsAt?.getTime() ?? 0)) > leastMs
  if (possible.is === 'underWay' || isOld) {
    throw new Problem('conflict', 'Its time was made longer just now. Look at its end, and ask again if you need more.')
  }
  if (possible.is === 'impossible') {
    const why = possible.why ?? 'It does not run, or has no end.'
    throw new Problem('conflict', `${why} Save your work, and start a new one.`)
  }
  const { byMs = possible.byMs } = wanted
  if (byMs <= possible.byMs) return byMs
  const most = formatDuration(possible.byMs)
  throw new Problem('badRequest', `Its time can be made longer by ${most} at most at once.`, { field: 'by' })
}

function sizeOf({ profile, spec }: Environment) {
  const { cpu, memoryBytes, gpus, gpuType = '' } = spec.resources
  return { profile, cpu, memoryBytes, gpus, gpuType }
}
