/** What is held, read from what the store has. Pure. */
import type { Resources } from '../../spawners/spawner.ts'
import type { Environment } from '../domain/environment.ts'
import type { HeldRow } from '../store/environments.ts'
import type { Held } from './admit.ts'
import { slicesOf } from './ledger.ts'
import type { Scope } from './rules.ts'

/** Most limits count environments and look into none: what costs is read when it is asked for. */
export function heldBy(environment: Environment): Held {
  const { id, title, userId, profile } = environment
  return {
    id,
    title,
    userId,
    profile,
    get groups() {
      return environment.groups
    },
    get proposals() {
      return environment.proposals
    },
    get cpu() {
      return environment.spec.resources.cpu
    },
    get memoryBytes() {
      return environment.spec.resources.memoryBytes
    },
    get gpus() {
      return environment.spec.resources.gpus
    },
    get gpuType() {
      return environment.spec.resources.gpuType ?? ''
    },
    get slices() {
      const { walltimeMs } = environment.spec.resources
      const first = walltimeMs === undefined ? [] : [{ at: environment.requestedAt.getTime(), ms: walltimeMs }]
      return [...first, ...environment.extensions.map(({ at, ms }) => ({ at, ms }))]
    },
  }
}

export function heldIn(row: HeldRow): Held {
  const resources: Resources = JSON.parse(row.resources)
  return {
    id: row.id,
    title: row.title,
    userId: row.user_id,
    profile: row.profile,
    groups: JSON.parse(row.owner_groups) as string[],
    proposals: JSON.parse(row.proposals) as string[],
    cpu: resources.cpu,
    memoryBytes: resources.memoryBytes,
    gpus: resources.gpus,
    gpuType: resources.gpuType ?? '',
    slices: slicesOf(row, resources.walltimeMs),
  }
}

export function isWithin(held: Held, { kind, name }: Scope): boolean {
  switch (kind) {
    case 'everyone':
      return true
    case 'user':
      return held.userId === name
    case 'group':
      return held.groups.includes(name)
    case 'proposal':
      return held.proposals.includes(name)
  }
}
