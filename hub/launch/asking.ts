/** What a launch asks of the catalogue and of the limits, in each size that its profile has. */
import type { Configuration, FlavourConfiguration, ProfileConfiguration } from '../../config/schema.ts'
import { notOpen } from '../catalogue/not-open.ts'
import type { Catalogue, Launcher, Proposal, User } from '../domain/services.ts'
import type { Ask } from '../quota/admit.ts'
import type { Alternative } from '../quota/admission.ts'
import type { Asker } from '../quota/rules.ts'

/** Who asks, and with which data: enough to know which limits hold. */
export function askerOf({ user, groups }: Launcher, proposals: readonly Proposal[]): Asker {
  return { user: { id: user.id, name: user.name }, groups, proposals }
}

/** `longestMs`: what the limits allow it to live at most; a size that lives longer gets this. */
export function withinLife(flavour: FlavourConfiguration, longestMs: number | undefined): FlavourConfiguration {
  if (longestMs === undefined) return flavour
  return { ...flavour, walltime: Math.min(flavour.walltime ?? Infinity, longestMs) }
}

/** `flavour`: as withinLife gives it. */
export function askFor(asker: Asker, profile: string, flavour: FlavourConfiguration): Ask {
  const { cpu, memory, gpus, gpuType = '', walltime } = flavour
  return {
    ...asker,
    profile,
    cpu,
    memoryBytes: memory,
    gpus,
    gpuType,
    ...(walltime === undefined ? {} : { walltimeMs: walltime }),
  }
}

/** The other sizes of the profile, as they are offered. */
export function alternatives(
  asker: Asker,
  chosen: Readonly<{ profile: string; flavour: string }>,
  profile: ProfileConfiguration,
  flavours: Configuration['flavours'],
  longestMs: number | undefined,
): readonly Alternative[] {
  return profile.flavours.flatMap((name) => {
    const flavour = flavours[name]
    if (flavour === undefined || name === chosen.flavour) return []
    return [{ title: flavour.title, ask: askFor(asker, chosen.profile, withinLife(flavour, longestMs)) }]
  })
}

/** In the order in which they were chosen. @throws Problem notEntitled */
export async function entitledTo(
  catalogue: Pick<Catalogue, 'entitled'>,
  user: User,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<readonly Proposal[]> {
  if (ids.length === 0) return []
  const entitled = new Map((await catalogue.entitled(user, ids, signal)).map((each) => [each.id, each]))
  return ids.map((id) => {
    const proposal = entitled.get(id)
    if (proposal !== undefined) return proposal
    throw notOpen(id)
  })
}
