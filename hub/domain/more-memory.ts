/** What to choose next after an end for want of memory, whatever the backend that told it. Pure. */
import type { Configuration } from '../../config/schema.ts'
import { formatBytes } from './format.ts'
import type { Environment } from './environment.ts'

/**
 * Names the smallest larger size of its profile, of one with as many GPUs where there is one. Sizes that rules open to some
 * people are left out: who may choose them is asked at the launch. Empty: the profile is not there any more.
 */
export function moreMemory(
  { profiles, flavours, offers }: Pick<Configuration, 'profiles' | 'flavours' | 'offers'>,
  { profile: name, spec }: Pick<Environment, 'profile' | 'spec'>,
): string {
  const profile = profiles[name]
  if (profile === undefined) return ''
  const { memoryBytes, gpus } = spec.resources
  const closed = new Set(offers.flatMap(({ opens }) => opens.flavours))
  const larger = profile.flavours
    .filter((each) => !closed.has(each))
    .flatMap((each) => flavours[each] ?? [])
    .filter(({ memory }) => memory > memoryBytes)
  const distance = (each: { gpus: number }): number => Math.abs(each.gpus - gpus)
  const [next] = larger.toSorted((a, b) => distance(a) - distance(b) || a.memory - b.memory || a.cpu - b.cpu)
  return next === undefined
    ? `${formatBytes(memoryBytes)} is the most that “${profile.title}” offers: ask your administrator for more.`
    : `Next time choose “${next.title}”, which has ${formatBytes(next.memory)}.`
}
