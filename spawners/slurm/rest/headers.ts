import type { Person } from '../cluster.ts'

/** What tells slurmrestd who asks. */
export type Headers = (person: Person, signal: AbortSignal) => Promise<Record<string, string>>
