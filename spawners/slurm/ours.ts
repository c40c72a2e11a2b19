/** Of a look's jobs those that are sealed as this hub's, by environment: the first one counts. */
import type { EnvironmentId } from '../spawner.ts'
import type { ListedJob } from './cluster.ts'
import type { Names } from './names.ts'
import type { Look } from './queue.ts'

/** The oldest first. Jobs that bear the name of another's environment are not among them. */
export function jobsOf(look: Look, names: Names): ReadonlyMap<EnvironmentId, readonly ListedJob[]> {
  const known = seen.get(look)
  if (known !== undefined) return known
  const found = new Map<EnvironmentId, ListedJob[]>()
  for (const job of look.digest.jobs.toSorted((a, b) => a.jobId - b.jobId)) {
    const id = names.read(job.name, job.uid)
    if (id === undefined) continue
    const those = found.get(id)
    if (those === undefined) found.set(id, [job])
    else those.push(job)
  }
  seen.set(look, found)
  return found
}

/** Each look is read once; a thousand seals take some milliseconds. */
const seen = new WeakMap<Look, ReadonlyMap<EnvironmentId, readonly ListedJob[]>>()
