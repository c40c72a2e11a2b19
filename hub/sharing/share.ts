/** The words of sharing: who may enter another's environment, as what, until when. Pure. */
import type { EnvironmentId, EnvironmentSpec } from '../../spawners/spawner.ts'
import type { Configuration } from '../../config/schema.ts'
import { viewersOf } from '../domain/viewers.ts'
import { Problem } from '../domain/problem.ts'

/** `guest`: acts as the owner, home included. `viewer`: may only look, where the application can hold to that. */
export type ShareRole = 'guest' | 'viewer'

export type Grantee =
  | Readonly<{ kind: 'user'; id: string; name: string; title: string }>
  | Readonly<{ kind: 'group'; name: string }>

export interface Share {
  readonly id: string
  readonly environment: EnvironmentId
  readonly with: Grantee
  readonly role: ShareRole
  readonly createdAt: Date
  /** Absent: as long as the environment. */
  readonly expiresAt?: Date
  /** Ended a while ago: it can be undone. */
  readonly endedAt?: Date
}

export type VisitRole = ShareRole | 'administrator'

/** Somebody's stay in another's environment: a guest's, or one of the staff with a reason. */
export interface Visit {
  readonly id: string
  readonly environment: EnvironmentId
  readonly owner: Readonly<{ id: string; name: string }>
  readonly visitor: Readonly<{ id: string; name: string; title: string }>
  readonly role: VisitRole
  /** Of staff, in their own words; of guests empty. */
  readonly reason: string
  readonly beganAt: Date
  /** What was issued for it ends then at the latest. */
  readonly expiresAt: Date
  readonly endedAt?: Date
}

/** A day at most, as every entry; then the hub is asked again. */
export const longestVisitMs = 24 * 3_600_000

/** Why this environment opens for its owner alone; undefined: others may be let in. */
export function closedBecause(
  spec: Pick<EnvironmentSpec, 'protocol'>,
  configuration: Pick<Configuration, 'environments'>,
): string | undefined {
  if (configuration.environments.hosts === undefined) {
    return 'Here an environment opens for its owner alone, because all of them share one address with the hub. Ask your administrator for environments.hosts.'
  }
  // It asks JupyterHub's own questions at its door, past what the proxy knows.
  if (spec.protocol === 'jupyterhub') {
    return 'This environment checks for itself who comes, so it can not be shared.'
  }
  return undefined
}

/** Whether its application can be looked at without touching it. */
export function canBeViewed(spec: Pick<EnvironmentSpec, 'application'>): boolean {
  return viewersOf(spec) !== undefined
}

/** @throws Problem badRequest, with the field */
export function requireRole(role: ShareRole, spec: EnvironmentSpec): void {
  if (role === 'guest' || canBeViewed(spec)) return
  const detail =
    'This application can not keep anybody from typing, so it can only be shared for use. Choose use, or do not share it.'
  throw new Problem('badRequest', detail, { field: 'role' })
}
