/** A profile as the launch page shows it to one visitor. Pure. */
import type { Configuration, ProfileConfiguration } from '../../config/schema.ts'
import type { Offer, Visitor } from '../domain/services.ts'

export function isOfferedTo(profile: ProfileConfiguration, visitor: Visitor): boolean {
  return profile.groups.length === 0 || profile.groups.some((group) => visitor.groups.includes(group))
}

/** `obstacles`: for each of the profile's spawners why it can't run there now; undefined: it can. */
export function offerOf(
  name: string,
  profile: ProfileConfiguration,
  flavours: Configuration['flavours'],
  obstacles: readonly (string | undefined)[],
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
    ...(possible ? {} : { unavailable: obstacles[0] ?? 'It runs nowhere. Ask your administrator.' }),
  }
}

function flavourOf(name: string, flavour: Configuration['flavours'][string] | undefined): Offer['flavours'][number][] {
  if (flavour === undefined) return []
  const { title, cpu, memory, gpus, walltime } = flavour
  return [{ name, title, cpu, memoryBytes: memory, gpus, ...(walltime === undefined ? {} : { walltimeMs: walltime }) }]
}
