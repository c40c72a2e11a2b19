/** Limits without a database: those that look at one person alone. */
import type { Configuration } from '../../config/schema.ts'
import { createQuotaAdmission } from '../../hub/quota/admission.ts'
import type { Quota } from '../../hub/quota/index.ts'
import type { Requests } from '../../hub/quota/requests.ts'
import type { Limit } from '../../hub/quota/limit.ts'
import { configuredLimit } from '../../hub/quota/limits.ts'

export function configuredQuota({ hub, environments }: Configuration, now: () => Date) {
  const known = [configuredLimit(environments.perUser)]
  const limits = { known: () => known, at: () => known }
  const admission = createQuotaAdmission({ store: { type: 'sqlite' }, limits, contact: hub.contact, now })
  return { ...admission, usage: noUsage }
}

const noUsage = { obstacles: (_asker: unknown, asks: readonly unknown[]) => Promise.resolve(asks.map(() => undefined)) }

/** Fake: nobody has limits, and nobody may change them. For pages that are about something else. */
export function fakeQuota(): Quota {
  const nothing = () => Promise.resolve([])
  const refuse = () => Promise.reject(new Error('limits are not part of this test'))
  return {
    longestMs: () => undefined,
    idleMs: () => undefined,
    homeBytes: () => undefined,
    atOnce: () => ({}),
    admission: () => ({ together: () => false, admit: () => undefined }),
    usage: { of: nothing, everyone: nothing, obstacles: noUsage.obstacles },
    list: nothing,
    add: refuse,
    addLimit: refuse,
    remove: refuse,
    apply: refuse,
  }
}

/** Fake: nobody asks for anything. */
export function fakeRequests(): Requests {
  const refuse = () => Promise.reject(new Error('requests are not part of this test'))
  return { ask: refuse, list: () => Promise.resolve([]), decide: refuse }
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
