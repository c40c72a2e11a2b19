/** Rows of environments as a launch makes them. */
import type { NewEnvironment } from '../../hub/store/schema.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'
import { contractSpec } from './spawnerSubject.ts'

export interface NewRowOptions {
  readonly id: EnvironmentId
  readonly userId: string
  readonly owner?: string
  readonly spawner: string
  readonly now: Date
  readonly hub?: string
}

export function newRow({ id, userId, spawner, now, hub = 'h', owner = 'alice' }: NewRowOptions): NewEnvironment {
  const spec = contractSpec(hub, id, {}, { owner, prefix: `/user/${owner}/${id}/` })
  return {
    id,
    user_id: userId,
    server: id,
    title: `Environment ${id}`,
    spawner,
    profile: 'notebook',
    flavour: 'small',
    image: null,
    proposals: '[]',
    spec: JSON.stringify(spec),
    spec_digest: spec.digest,
    choices: JSON.stringify({ profile: 'notebook', flavour: 'small', proposals: [] }),
    wanted: 'present',
    wanted_at: now.getTime(),
    requested_at: now.getTime(),
    attempts: 0,
    generation: 0,
  }
}
