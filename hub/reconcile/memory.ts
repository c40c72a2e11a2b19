/** What a loop knows of an environment beside its row; lost with the process, and missed by nobody. */
import type { Answer, Seen, Told } from '../domain/decide.ts'
import type { EnvironmentRow } from '../store/schema.ts'

export interface Memory {
  /** An action or its record is under way: nothing else is begun. */
  busy: boolean
  probing: boolean
  probeFailures: number
  answer: Answer
  lostAt: number | null
  earlierSettledAt: number
  probeAt: number
  /** When the backend may be asked again for a later end; for which one it was asked, and how often. */
  extendAt: number
  extendUntil: number
  extendTries: number
  /** When this loop took over. */
  readonly since: number
  /** What its agent said last, as the row has it. */
  claim: string | null
  /** What the backend showed last, and the row's text of it: most observations show the same again. */
  shown: Readonly<{ observation: Told; text: string }> | null
  /** A step failed for a reason of our own: none is begun before. */
  restUntil: number
  /** When to decide again though nothing happened. */
  dueAt: number
}

export function newMemory(row: EnvironmentRow, since: number, silentAfterMs: number): Memory {
  // After a start, agents that were ready are asked one after the other, not all at once.
  const spread = silentAfterMs * (0.5 + spreadOf(row.id) / 2)
  const isWell = row.ready_at !== null && row.unreachable_since === null
  return {
    busy: false,
    probing: false,
    probeFailures: 0,
    answer: { is: 'unknown' },
    lostAt: null,
    earlierSettledAt: 0,
    probeAt: isWell ? since + spread : since,
    extendAt: 0,
    extendUntil: 0,
    extendTries: 0,
    since,
    claim: row.claim,
    shown: null,
    restUntil: 0,
    dueAt: Infinity,
  }
}

/** In [0, 1), the same for the same id. */
function spreadOf(id: string): number {
  let hash = 0
  for (const character of id) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 65_536
  return hash / 65_536
}

export function seenOf(memory: Memory, { hasAddress, hasTurn }: Pick<Seen, 'hasAddress' | 'hasTurn'>): Seen {
  const { answer, since, lostAt, earlierSettledAt, probeAt, extendAt } = memory
  return { answer, since, lostAt, earlierSettledAt, probeAt, extendAt, hasAddress, hasTurn }
}
