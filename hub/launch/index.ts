/** Launching: what is offered to whom, and from choices to a committed row. Everything is checked live, every time. */
import type { Transaction } from 'kysely'
import type { Configuration, FlavourConfiguration, SpawnerConfiguration } from '../../config/schema.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'
import { actorOf, type AuditEntry } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Archive } from '../archive/index.ts'
import { homeSource } from '../accounts/homes.ts'
import type { Authorisation } from '../identity/authorisation.ts'
import type { Choices, Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Accounts, Catalogue, Environments, Launcher, Launches, Offer } from '../domain/services.ts'
import type { Admitting, QuotaAdmission } from '../quota/admission.ts'
import type { Usage } from '../quota/usage.ts'
import type { Asker } from '../quota/rules.ts'
import type { NewEnvironment, Tables } from '../store/schema.ts'
import { alternatives, askFor, askerOf, withinLife } from './asking.ts'
import { environmentOrigin } from '../web/environment-url.ts'
import { formatBytes, formatCores } from '../domain/format.ts'
import { backendLimits } from './backend-limits.ts'
import { checkServer, readChoices } from './choices.ts'
import { chosenData } from './chosen-data.ts'
import { notRestorable, restoredPlaces } from './restored.ts'
import { carryGroups } from './groups.ts'
import { createExtending } from './extend.ts'
import { deriveMounts } from './mounts.ts'
import { flavourFor, offerOf, profileFor } from './offer.ts'
import { standingOf } from './offer-rules.ts'
import { offeredOptions, withOptions } from './options.ts'
import { createPlacement, type PlacementOptions } from './placement.ts'
import { type Plan, rowOf, specOf } from './spec.ts'
import { ticketsOn } from './tickets.ts'

export interface LaunchesOptions extends PlacementOptions {
  /** As loaded: paths are absolute, and each spawner has checked its part of the profiles. */
  readonly configuration: Configuration
  readonly environments: Pick<Environments, 'launch' | 'extend'>
  readonly catalogue: Pick<Catalogue, 'entitled' | 'datasetsOf'>
  readonly archive: Pick<Archive, 'place'>
  readonly accounts: Accounts
  readonly authorisation: Pick<Authorisation, 'require'>
  readonly audit: Pick<Audit, 'write' | 'note' | 'within'>
  readonly quota: QuotaAdmission & { readonly usage: Pick<Usage, 'obstacles'> }
  readonly publicUrl: URL
  readonly newId: () => EnvironmentId
}

interface Planned extends Plan {
  readonly asker: Asker
  readonly longestMs: number | undefined
}

export function createLaunches(options: LaunchesOptions): Launches {
  const { configuration, publicUrl, catalogue, accounts, environments, authorisation, audit, quota, now, newId, log } =
    options
  const placement = createPlacement(options)

  async function plan(visitor: Launcher, choices: Choices, signal: AbortSignal, server?: string): Promise<Planned> {
    const { user } = visitor
    const [{ proposals, datasets }, whole] = await Promise.all([
      chosenData(catalogue, user, choices, signal),
      accounts.of(user, signal),
    ])
    const standing = standingOf(configuration, { ...visitor, proposals, now: now() })
    const profile = profileFor(standing, choices)
    const usual = flavourFor(configuration, profile, choices)
    const spawner = await placement.choose(choices, profile)
    const source = options.spawners.get(spawner)
    const { own, flavour, image } = withOptions(source, profile.on[spawner], usual, choices, standing)
    if (choices.rescue !== undefined && profile.kind !== 'terminal') throw noTerminal(choices.profile)
    requireRoom(configuration.spawners[spawner]?.capacity, flavour)
    const restored = await restoredPlaces(options.archive, user, datasets, choices.folders, signal)
    if (restored.size > 0 && source?.spawner.heedsBeneath !== true) throw notRestorable(spawner)
    const { account, warning } = carryGroups(whole, configuration.mounts, { proposals, datasets })
    const tickets = ticketsOn(configuration, spawner, source?.spawner)
    const mounts = deriveMounts({
      noTickets: tickets.is === 'missing' ? tickets.why : undefined,
      rules: configuration.mounts,
      account,
      homeSource: homeSource(configuration.accounts.source, configuration.state, account),
      proposals,
      datasets,
      restored,
      archive: configuration.archive,
      stateFolder: configuration.state,
    })
    const asker = askerOf(visitor, proposals)
    const longestMs = quota.longestMs(asker)
    const id = newId()
    return {
      id,
      server: server ?? id,
      hub: configuration.hub,
      origins: { hub: publicUrl.origin, environment: environmentOrigin(user.name, configuration, publicUrl) },
      user,
      groups: visitor.groups,
      choices,
      profile: image === undefined ? profile : { ...profile, image },
      flavour: withinLife(flavour, longestMs),
      spawner,
      own,
      account,
      proposals,
      datasets,
      mounts,
      tickets: tickets.is === 'supplied' && mounts.some(({ mount }) => mount.security === 'krb5'),
      ...(warning === undefined ? {} : { warning }),
      ownerLimits: quota.atOnce(asker),
      asker,
      longestMs,
    }
  }

  function admitting({ asker, choices, profile, flavour, longestMs }: Planned, row: NewEnvironment): Admitting {
    const others = alternatives(asker, choices, profile, configuration.flavours, longestMs)
    return quota.admission(askFor(asker, choices.profile, flavour), row, others)
  }

  async function commit(
    visitor: Launcher,
    choices: Choices,
    signal: AbortSignal,
    actor: Omit<AuditEntry, 'did'>,
    server?: string,
  ): Promise<Environment> {
    const { user } = visitor
    if (user.blockedReason !== undefined) throw new Problem('blocked', user.blockedReason)
    // As the store and the catalogue have it now, not as it was when the login began.
    await authorisation.require(user, signal)
    const planned = await plan(visitor, choices, signal, server)
    const { spawner } = planned
    const spec = specOf(planned)
    const row = rowOf(planned, spec, now())
    const { admit, together } = admitting(planned, row)
    const line: AuditEntry = { ...actor, did: 'environment.launched', what: spec.id, detail: facts(choices) }
    const also = (trx: Transaction<Tables>) => audit.within(trx, line)
    const environment = await environments.launch(row, admit, { together, also })
    if (planned.warning !== undefined) log.warn({ environment: spec.id, user: user.name }, planned.warning)
    log.info({ environment: spec.id, user: user.name, profile: choices.profile, spawner }, 'an environment is wanted')
    return environment
  }

  /** What would be refused is told before one tries. */
  async function markOverLimit(offered: readonly Offer[], asker: Asker): Promise<readonly Offer[]> {
    const longestMs = quota.longestMs(asker)
    const asks = offered.flatMap(({ profile, flavours }) =>
      flavours.flatMap(({ name }) => {
        const flavour = configuration.flavours[name]
        return flavour === undefined
          ? []
          : [{ profile, name, ask: askFor(asker, profile, withinLife(flavour, longestMs)) }]
      }),
    )
    const why = await quota.usage.obstacles(
      asker,
      asks.map(({ ask }) => ask),
    )
    const overLimit = new Map(asks.map(({ profile, name }, index) => [`${profile} ${name}`, why[index]]))
    return offered.map((offer) => ({
      ...offer,
      flavours: offer.flavours.map((flavour) => {
        const reason = overLimit.get(`${offer.profile} ${flavour.name}`)
        return reason === undefined ? flavour : { ...flavour, overLimit: reason }
      }),
    }))
  }

  return {
    ...createExtending(options),

    describe({ spawner, spec }) {
      try {
        return options.spawners.get(spawner)?.spawner.describe?.(spec) ?? []
      } catch (error) {
        log.debug({ environment: spec.id, err: error }, 'an environment can not be described')
        return []
      }
    },

    async backendLimits(visitor) {
      const { profiles } = standingOf(configuration, { ...visitor, proposals: [], now: now() })
      return await backendLimits(
        options,
        visitor.user,
        profiles.map(({ profile }) => profile),
      )
    },

    async offers(visitor, proposals): Promise<readonly Offer[]> {
      const standing = standingOf(configuration, { ...visitor, proposals: proposals ?? [], now: now() })
      const offered = await Promise.all(
        standing.profiles.map(async (each) =>
          offerOf(
            each,
            configuration.flavours,
            await placement.obstacles(each.profile),
            offeredOptions(each.profile, options.spawners, standing),
          ),
        ),
      )
      return proposals === undefined ? offered : await markOverLimit(offered, askerOf(visitor, proposals))
    },

    async launch(visitor, input, signal, { server, asked } = {}): Promise<Environment> {
      const { id, name } = visitor.user
      const actor = asked === undefined ? actorOf(visitor) : { ...asked, toWhom: { id, name } }
      const choices = readChoices(input)
      if (server !== undefined) checkServer(server)
      try {
        return await commit(visitor, choices, signal, actor, server)
      } catch (error) {
        if (error instanceof Problem && error.status < 500) {
          const detail = { ...facts(choices), problem: error.type, reason: error.detail }
          audit.note({ ...actor, did: 'environment.refused', detail })
        }
        throw error
      }
    },
  }
}

function noTerminal(profile: string): Problem {
  const detail = `${profile} is no terminal: only a terminal can leave your home alone.`
  return new Problem('badRequest', detail, { field: 'rescue' })
}

/** What is larger than all that there is would wait for ever. @throws Problem launchRefused */
function requireRoom(capacity: SpawnerConfiguration['capacity'], { cpu, memory }: FlavourConfiguration): void {
  if (capacity === undefined || (cpu <= capacity.cpu && memory <= capacity.memory)) return
  const all = `${formatCores(capacity.cpu)} cores and ${formatBytes(capacity.memory)}`
  const detail = `This size never fits where it is to run, which has ${all} in all. Choose a smaller one.`
  throw new Problem('launchRefused', detail, { field: 'flavour' })
}

function facts({ profile, flavour, proposals, datasets, spawner }: Choices): AuditEntry['detail'] {
  return {
    profile,
    flavour,
    proposals,
    ...(datasets === undefined ? {} : { datasets }),
    ...(spawner === undefined ? {} : { spawner }),
  }
}
