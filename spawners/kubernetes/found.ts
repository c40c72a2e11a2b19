import type { Found, Observation } from '../spawner.ts'
import { annotation } from './names.ts'
import type { SeenPod } from './seen.ts'

/** What is observed of a pod, with whose it is. Pure. */
export function foundOf({ metadata: { annotations } }: SeenPod, observation: Observation): Found {
  const owner = annotations[annotation.owner]
  const digest = annotations[annotation.digest]
  return { observation, ...(owner !== undefined && { owner }), ...(digest !== undefined && { digest }) }
}
