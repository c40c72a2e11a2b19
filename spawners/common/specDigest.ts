import { createHash } from 'node:crypto'
import type { EnvironmentSpec } from '../spawner.ts'

/** sha256 (hex) of the canonical JSON of everything in the spec but the digest itself. */
export function specDigest(spec: Omit<EnvironmentSpec, 'digest'> & { readonly digest?: string }): string {
  const { digest: _, ...rest } = spec
  return createHash('sha256').update(canonicalJson(rest)).digest('hex')
}

/** JSON with sorted keys and without undefined members: equal values give equal text (RFC 8785 in spirit). */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => (isRecord(member) ? sorted(member) : member))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function sorted(record: Record<string, unknown>): Record<string, unknown> {
  // fromEntries defines '__proto__' as an own member, where assignment would lose it.
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}
