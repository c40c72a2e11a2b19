/** What one visitor may choose, and how the launch page shows it. Pure. */
import type { Configuration, FlavourConfiguration, ProfileConfiguration } from '../../config/schema.ts'
import type { LaunchOption } from '../../spawners/spawner.ts'
import type { Choices } from '../domain/environment.ts'
import type { Launcher, Offer } from '../domain/services.ts'
import { unknownChoice } from './choices.ts'

/** By name, in the order of the configuration. */
export function offeredProfiles(
  { profiles }: Configuration,
  { groups }: Pick<Launcher, 'groups'>,
): readonly (readonly [string, ProfileConfiguration])[] {
  return Object.entries(profiles).filter(
    ([, profile]) => profile.groups.length === 0 || profile.groups.some((group) => groups.includes(group)),
  )
}

/** @throws Problem badRequest; one that is for others is told apart from none at all by nothing. */
export function profileFor(configuration: Configuration, visitor: Launcher, choices: Choices): ProfileConfiguration {
  const offered = new Map(offeredProfiles(configuration, visitor))
  const profile = offered.get(choices.profile)
  if (profile === undefined) throw unknownChoice('profile', choices.profile, [...offered.keys()], 'You may choose')
  return profile
}

/** @throws Problem badRequest */
export function flavourFor(
  { flavours }: Configuration,
  profile: ProfileConfiguration,
  { flavour: name, profile: of }: Choices,
): FlavourConfiguration {
  const flavour = profile.flavours.includes(name) ? flavours[name] : undefined
  if (flavour === undefined) throw unknownChoice('flavour', name, profile.flavours, `The profile ${of} has`)
  return flavour
}

/** `obstacles`: for each of the profile's spawners why it can't run there now; undefined: it can. */
export function offerOf(
  name: string,
  profile: ProfileConfiguration,
  flavours: Configuration['flavours'],
  obstacles: readonly (string | undefined)[],
  options: readonly LaunchOption[],
): Offer {
  const possible = obstacles.includes(undefined)
  return {
    profile: name,
    title: profile.title,
    description: profile.description,
    kind: profile.kind,
    ...(profile.image === undefined ? {} : { image: profile.image }),
    flavours: profile.flavours.flatMap((flavour) => flavourOf(flavour, flavours[flavour])),
    spawners: Object.keys(profile.on),
    ...(options.length === 0 ? {} : { options }),
    ...(possible ? {} : { unavailable: obstacles[0] ?? 'It runs nowhere. Ask your administrator.' }),
  }
}

function flavourOf(name: string, flavour: Configuration['flavours'][string] | undefined): Offer['flavours'][number][] {
  if (flavour === undefined) return []
  const { title, cpu, memory, gpus, walltime } = flavour
  return [{ name, title, cpu, memoryBytes: memory, gpus, ...(walltime === undefined ? {} : { walltimeMs: walltime }) }]
}
