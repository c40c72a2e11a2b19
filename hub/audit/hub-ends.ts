/** What the hub ends by itself stands in the audit trail as what people end does: unused, over its time, not entitled. */
import type { EndReason, EnvironmentId } from '../../spawners/spawner.ts'
import type { LiveEnvironments } from '../reconcile/service.ts'
import type { AuditEntry } from './entry.ts'
import type { Audit } from './index.ts'

type HubStop = (id: EnvironmentId, reason: EndReason, message?: string) => Promise<void>

export function hubStop(environments: Pick<LiveEnvironments, 'get' | 'stop'>, audit: Pick<Audit, 'write'>): HubStop {
  return async (id, reason, message) => {
    await environments.stop(id, reason, message)
    const environment = await environments.get(id)
    await audit.write(
      endedByHub({ id, owner: environment && { id: environment.userId, name: environment.owner } }, reason),
    )
  }
}

interface Ended {
  readonly id: string
  readonly owner: Readonly<{ id: string; name: string }> | undefined
}

export function endedByHub({ id, owner }: Ended, reason: EndReason): AuditEntry {
  return { who: 'hub', did: 'environment.stopped', ...(owner && { toWhom: owner }), what: id, detail: { reason } }
}
