/** Limits without a database: those that look at one person alone. */
import type { Configuration } from '../../config/schema.ts'
import { createQuotaAdmission, type QuotaAdmission } from '../../hub/quota/admission.ts'
import type { Limit } from '../../hub/quota/limit.ts'
import { configuredLimit } from '../../hub/quota/limits.ts'

export function configuredQuota({ hub, environments }: Configuration, now: () => Date): QuotaAdmission {
  const known = [configuredLimit(environments.perUser)]
  const limits = { known: () => known, at: () => known }
  return createQuotaAdmission({ store: { type: 'sqlite' }, limits, contact: hub.contact, now })
}

let made = 0

export function limitOf(limit: Partial<Limit> & Pick<Limit, 'resource' | 'most'>): Limit {
  made += 1
  return {
    id: `l${made}`,
    subject: { kind: 'everyone', name: '' },
    share: 'each',
    of: '',
    period: '',
    source: 'page',
    note: '',
    ...limit,
  }
}
