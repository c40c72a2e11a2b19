/** Numbers that the demo gives to people and proposals when it runs as root: none that this machine knows already. */
import { Problem } from '../domain/problem.ts'
import { groupNames, passwdLine } from './getent.ts'

interface NumberRange {
  readonly first: number
  readonly last: number
}

/** uids, each with the gid of the same number. Debian and Red Hat give none of these to anybody. */
export const demoUids: NumberRange = { first: 61_000, last: 61_799 }
/** Groups of proposals. */
export const demoGids: NumberRange = { first: 61_800, last: 61_999 }

export function isIn({ first, last }: NumberRange, id: number): boolean {
  return id >= first && id <= last
}

/** Neither a user nor a group of this machine has it. */
export async function isFree(id: number, signal: AbortSignal): Promise<boolean> {
  const [line, groups] = await Promise.all([passwdLine(String(id), signal), groupNames([id], signal)])
  return line === undefined && groups.size === 0
}

/** @throws Problem launchRefused when there is none. */
export async function firstFree(range: NumberRange, taken: ReadonlySet<number>, signal: AbortSignal): Promise<number> {
  for (let id = range.first; id <= range.last; id += 1) {
    if (!taken.has(id) && (await isFree(id, signal))) return id
  }
  throw new Problem('launchRefused', `The demo has no number left between ${range.first} and ${range.last}.`)
}
