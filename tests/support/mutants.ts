/** Broken copies of the hub: a property counts only once a broken implementation fails it. */
import assert from 'node:assert/strict'
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as fc from 'fast-check'
import type { Plan, Subject } from './world.ts'
import { deathsInMidLaunch } from './worldPlans.ts'

export interface Mutant {
  /** What is broken, in words. */
  readonly title: string
  readonly file: string
  readonly replace: string
  readonly by: string
  /** Where it shows often enough; absent: anywhere. */
  readonly plans?: fc.Arbitrary<Plan>
}

const root = join(import.meta.dirname, '../..')
const copied = ['hub/domain', 'hub/quota', 'hub/reconcile', 'hub/store']
const linked = ['config', 'images', 'proxy', 'spawners', 'node_modules', 'package.json']

/** A copy of the hub in `folder` in which one place is broken. */
export async function breed({ title, file, replace, by }: Mutant, folder: string): Promise<Subject> {
  await mkdir(join(folder, 'hub'), { recursive: true })
  for (const path of copied) await cp(join(root, path), join(folder, path), { recursive: true })
  for (const path of linked) await symlink(join(root, path), join(folder, path))
  const place = join(folder, file)
  const text = await readFile(place, 'utf8')
  assert.equal(text.split(replace).length, 2, `"${title}" does not find its one place in ${file}`)
  await writeFile(
    place,
    text.replace(replace, () => by),
  )
  const load = async (path: string): Promise<unknown> => import(pathToFileURL(join(folder, path)).href)
  return Object.assign({}, await load('hub/reconcile/index.ts'), await load('hub/store/index.ts')) as Subject
}

const decide = 'hub/domain/decide.ts'
const act = 'hub/reconcile/act.ts'
const observe = 'hub/reconcile/observe.ts'

export const mutants: readonly Mutant[] = [
  {
    title: 'law 1: the backend is asked before that is written',
    file: act,
    replace: `  if (!(await begin(context, entry, memory, settings, 'ensure'))) return
  try {`,
    by: `  const begun = begin(context, entry, memory, settings, 'ensure')
  try {`,
  },
  {
    title: 'law 2: a backend that fails shows nothing',
    file: observe,
    replace: `memoryOf(entry).answer = { is: 'unknown' }`,
    by: `memoryOf(entry).answer = { is: 'absent', begunAt: now().getTime() }`,
  },
  {
    title: 'law 2: what can not be told is absent',
    file: observe,
    replace: `else if (observation.phase === 'unknown') memory.answer = { is: 'unknown' }`,
    by: `else if (observation.phase === 'unknown') memory.answer = { is: 'absent', begunAt }`,
  },
  {
    title: 'law 2: what is not heard of is removed',
    file: decide,
    replace: `return row.port !== null && row.ready_at === null ? waitOr({ do: 'probe' }, seen.probeAt, now) : nothing`,
    by: `return row.accepted_at !== null ? { do: 'remove' } : nothing`,
  },
  {
    title: 'law 5: what vanished is launched again',
    file: decide,
    replace: `if (isKnown) return { do: 'end', reason: 'vanished', message: endMessages.vanished }`,
    by: `if (isKnown) return { do: 'ensure' }`,
  },
  {
    title: 'law 5: what vanished before it was ready is launched again',
    file: decide,
    replace: `const isKnown = row.accepted_at !== null || row.observed_at !== null`,
    by: `const isKnown = row.ready_at !== null`,
  },
  {
    title: 'law 5: the last lines are not kept',
    file: act,
    replace: `log_tail: lines || row.log_tail,`,
    by: `log_tail: row.log_tail,`,
  },
  {
    title: 'law 6: an old observation counts',
    file: decide,
    replace: `  if (begunAt < countsFrom) return { do: 'observe', from: countsFrom }`,
    by: ``,
  },
  {
    title: 'law 6: the lag of the backend does not count',
    file: decide,
    replace: `seen.earlierSettledAt) + settings.visibilityLagMs`,
    by: `seen.earlierSettledAt)`,
  },
  {
    title: 'law 6: an unanswered launch is over at once',
    file: decide,
    replace: `row.action_at ?? row.action_begun_at + settings.actionTimeoutMs`,
    by: `row.action_at ?? row.action_begun_at`,
  },
  {
    title: 'law 6: what a dead hub began is over',
    file: decide,
    replace: `return isAnswered ? since : since + settings.actionTimeoutMs`,
    by: `return since`,
    plans: deathsInMidLaunch,
  },
  {
    title: 'law 6: a removal settles the launch before it',
    file: act,
    replace: `memory.earlierSettledAt = Math.max(memory.earlierSettledAt, settled)`,
    by: `memory.earlierSettledAt = 0 * settled`,
  },
  {
    title: 'a launch whose answer was lost is never tried again',
    file: decide,
    replace: `return waitOr({ do: 'ensure' }, retryAt(row, seen, settings), now)`,
    by: `return nothing`,
  },
  {
    title: 'a removal whose answer was lost is never tried again',
    file: decide,
    replace: `    return waitOr({ do: 'remove' }, retryAt(row, seen, settings), now)`,
    by: `    return nothing`,
  },
  {
    title: 'what has ended is left in the backend',
    file: 'hub/reconcile/strays.ts',
    replace: `else if (row.ended_at !== null) removeLater(id)`,
    by: `else if (row.ended_at !== null) triedUntil.delete(id)`,
  },
  {
    title: 'a requeued environment keeps its old address',
    file: 'hub/domain/observation.ts',
    replace: `{ started_at: null, ends_at: null, ...noAddress(row) }`,
    by: `{ started_at: null, ends_at: null }`,
  },
  {
    title: 'the route of what has ended stays',
    file: 'hub/reconcile/board.ts',
    replace: `      published.delete(environment.id)
      routes.delete(environment.id)`,
    by: `      published.delete(environment.id)`,
  },
]
