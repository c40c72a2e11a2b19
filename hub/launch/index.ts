/** Launching: what is offered to whom, and from choices to a committed row. Everything is checked live, every time. */
import type { Configuration, FlavourConfiguration, ProfileConfiguration } from '../../config/schema.ts'
import type { EnvironmentId, Health, Log, Spawner } from '../../spawners/spawner.ts'
import { homeSource } from '../accounts/homes.ts'
import type { Choices, Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Accounts, Catalogue, Environments, Launches, Offer, Proposal, Visitor } from '../domain/services.ts'
import { type Admission, perUserAdmission } from './admission.ts'
import { readChoices } from './choices.ts'
import { deriveMounts } from './mounts.ts'
import { isOfferedTo, offerOf } from './offer.ts'
import { createSpawnerHealth } from './spawner-health.ts'
import { type Plan, resourcesOf, rowOf, specOf } from './spec.ts'

/** Whether what environments on this machine need is there. A facility's other backends bring their own. */
interface LocalSetup {
  readonly jupyter: () => Health
}

export interface LaunchesOptions {
  /** As loaded: paths are absolute, and each spawner has checked its part of the profiles. */
  readonly configuration: Configuration
  readonly spawners: ReadonlyMap<string, { readonly spawner: Spawner; readonly type: string }>
  readonly environments: Pick<Environments, 'launch'>
  readonly catalogue: Pick<Catalogue, 'entitled'>
  readonly accounts: Accounts
  readonly setup: LocalSetup
  /** Absent: configuration.environments.perUser and nothing else. */
  readonly admission?: Admission
  readonly now: () => Date
  readonly newId: () => EnvironmentId
  readonly log: Log
}

/** For the catalogue and the account together; each has shorter deadlines of its own. */
const deadlineMs = 30_000

export function createLaunches(options: LaunchesOptions): Launches {
  const { configuration, catalogue, accounts, environments, setup, now, newId, log } = options
  const admission = options.admission ?? perUserAdmission(configuration.environments.perUser)
  const health = createSpawnerHealth(options)

  /** Why this profile can't run on this spawner now; undefined: it can. */
  async function obstacle(profile: ProfileConfiguration, spawner: string): Promise<string | undefined> {
    const isHere = options.spawners.get(spawner)?.type === 'local'
    if (isHere && profile.kind === 'notebook' && profile.argv === undefined) {
      const jupyter = setup.jupyter()
      if (!jupyter.ok) return jupyter.message
    }
    const { ok, message } = await health.of(spawner)
    return ok ? undefined : message
  }

  /** The first that can run it, in the order of the configuration; or the chosen one. */
  async function spawnerFor(choices: Choices, profile: ProfileConfiguration): Promise<string> {
    const offered = Object.keys(profile.on)
    if (choices.spawner !== undefined && !offered.includes(choices.spawner)) {
      throw unknown('spawner', choices.spawner, offered, `The profile ${choices.profile} runs on`)
    }
    const obstacles: string[] = []
    for (const spawner of choices.spawner === undefined ? offered : [choices.spawner]) {
      const found = await obstacle(profile, spawner)
      if (found === undefined) return spawner
      obstacles.push(found)
    }
    throw new Problem('backendUnreachable', `${obstacles[0] ?? 'It runs nowhere.'} Try again in a minute.`, {
      field: 'spawner',
      retryAfter: 60,
    })
  }

  function profileFor(visitor: Visitor, choices: Choices): ProfileConfiguration {
    // Own fields alone: 'constructor' is a possible name.
    const profile = new Map(Object.entries(configuration.profiles)).get(choices.profile)
    if (profile !== undefined && isOfferedTo(profile, visitor)) return profile
    const offered = Object.entries(configuration.profiles).filter(([, each]) => isOfferedTo(each, visitor))
    throw unknown('profile', choices.profile, names(offered), 'You may choose')
  }

  function flavourFor(choices: Choices, profile: ProfileConfiguration): FlavourConfiguration {
    const flavour = configuration.flavours[choices.flavour]
    if (flavour !== undefined && profile.flavours.includes(choices.flavour)) return flavour
    throw unknown('flavour', choices.flavour, profile.flavours, `The profile ${choices.profile} has`)
  }

  async function proposalsFor(visitor: Visitor, ids: readonly string[], signal: AbortSignal): Promise<Proposal[]> {
    if (ids.length === 0) return []
    const entitled = new Map((await catalogue.entitled(visitor.user, ids, signal)).map((each) => [each.id, each]))
    return ids.map((id) => {
      const proposal = entitled.get(id)
      if (proposal !== undefined) return proposal
      // The same for one that is somebody else's and for one that is not there: neither is told.
      throw new Problem(
        'notEntitled',
        `There is no proposal ${id} that is open to you. Choose one of yours, or ask its principal investigator to add you.`,
        { field: 'proposals' },
      )
    })
  }

  async function plan(visitor: Visitor, choices: Choices, signal: AbortSignal): Promise<Plan> {
    const { user } = visitor
    const profile = profileFor(visitor, choices)
    const flavour = flavourFor(choices, profile)
    const spawner = await spawnerFor(choices, profile)
    const [proposals, account] = await Promise.all([
      proposalsFor(visitor, choices.proposals, signal),
      accounts.of(user, signal),
    ])
    const mounts = deriveMounts({
      rules: configuration.mounts,
      account,
      homeSource: homeSource(configuration.accounts.source, configuration.state, account),
      proposals,
      stateFolder: configuration.state,
    })
    return { id: newId(), hub: configuration.hub, user, choices, profile, flavour, spawner, account, proposals, mounts }
  }

  return {
    async offers(visitor): Promise<readonly Offer[]> {
      const offered = Object.entries(configuration.profiles).filter(([, profile]) => isOfferedTo(profile, visitor))
      return await Promise.all(
        offered.map(async ([name, profile]) => {
          const obstacles = await Promise.all(Object.keys(profile.on).map((spawner) => obstacle(profile, spawner)))
          return offerOf(name, profile, configuration.flavours, obstacles)
        }),
      )
    },

    async launch(visitor, input, signal): Promise<Environment> {
      const { user } = visitor
      if (user.blockedReason !== undefined) throw new Problem('blocked', user.blockedReason)
      const choices = readChoices(input)
      const planned = await plan(visitor, choices, AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]))
      const spec = specOf(planned)
      const request = {
        user,
        groups: visitor.groups,
        choices,
        spawner: planned.spawner,
        resources: resourcesOf(planned.flavour),
      }
      const row = rowOf(planned, spec, now())
      const environment = await environments.launch(row, (live) => admission(request, live))
      log.info(
        { environment: spec.id, user: user.name, profile: choices.profile, spawner: planned.spawner },
        'an environment is wanted',
      )
      return environment
    },
  }
}

function names(entries: readonly (readonly [string, unknown])[]): string[] {
  return entries.map(([name]) => name)
}

function unknown(
  field: 'profile' | 'flavour' | 'spawner',
  value: string,
  known: readonly string[],
  lead: string,
): Problem {
  const choice = known.length === 0 ? 'nothing just now; ask your administrator' : known.slice(0, 20).join(', ')
  return new Problem('badRequest', `There is no ${field} ${value} for you here. ${lead}: ${choice}.`, { field })
}
