/** An audit trail that only remembers, for what is tested without a store. */
import type { Audit } from '../../hub/audit/index.ts'
import type { AuditEntry } from '../../hub/audit/entry.ts'

export interface RememberedAudit extends Pick<Audit, 'write' | 'note' | 'within'> {
  readonly entries: AuditEntry[]
}

export function rememberedAudit(): RememberedAudit {
  const entries: AuditEntry[] = []
  return {
    entries,
    async write(entry) {
      entries.push(entry)
    },
    note: (entry) => void entries.push(entry),
    within: (_trx, entry) => Promise.resolve(() => void entries.push(entry)),
  }
}

/** Everybody may: for what is tested without rules. */
export const everybody = { require: () => Promise.resolve() }
