/** What one visitor may choose, and how the launch page shows it. Pure. */
import type { Configuration, FlavourConfiguration, ProfileConfiguration } from '../../config/schema.ts'
import type { LaunchOption } from '../../spawners/spawner.ts'
import type { Choices } from '../domain/environment.ts'
import type { Offer } from '../domain/services.ts'
import { unknownChoice } from './choices.ts'
import type { OfferedProfile, Standing } from './offer-rules.ts'

/** @throws Problem badRequest; one that is for others is told apart from none at all by nothing. */
export function profileFor({ profiles }: Standing, { profile: name }: Choices): ProfileConfiguration {
  const found = profiles.find((each) => each.name === name)
  if (found !== undefined) return found.profile
  const names = profiles.map((each) => each.name)
  throw unknownChoice('profile', name, names, 'You may choose')
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
  { name, profile, first }: OfferedProfile,
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
    ...(first === undefined ? {} : { first }),
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
