/** Limits that a backend keeps too: told when they change, once, and again when they were not taken. */
import test from 'ava'
import type { Environment } from '../../hub/domain/environment.ts'
import { createFences } from '../../hub/quota/fences.ts'
import type { Limit } from '../../hub/quota/limit.ts'
import type { EnvironmentId, EnvironmentSpec, OwnerLimits } from '../../spawners/spawner.ts'
import { limitOf } from '../support/quota.ts'
import { contractSpec, silentLog } from '../support/spawnerSubject.ts'

const now = () => new Date('2026-11-21T12:00:00Z')

/** As far as fences look at it. */
function environment(id: string, changes: Partial<Environment> = {}): Environment {
  const spec = contractSpec('h', id as EnvironmentId, {}, { owner: 'alice' })
  const made: Pick<Environment, 'userId' | 'owner' | 'spawner' | 'groups' | 'proposals' | 'wanted' | 'spec'> = {
    userId: 'u1',
    owner: 'alice',
    spawner: 'cluster',
    groups: [],
    proposals: [],
    wanted: { is: 'present' },
    spec,
  }
  return { ...made, ...changes } as Environment
}

function fenced(live: readonly Environment[]) {
  const told: (OwnerLimits | undefined)[] = []
  let isDown = false
  const limitOwner = (spec: EnvironmentSpec): Promise<void> => {
    if (isDown) return Promise.reject(new Error('down'))
    told.push(spec.ownerLimits)
    return Promise.resolve()
  }
  const spawners = new Map([
    ['cluster', { limitOwner }],
    ['here', {}],
  ])
  const fences = createFences({ live: () => live, spawners, now, log: silentLog })
  return { told, fences, down: (is: boolean) => void (isDown = is) }
}

const cpus = (most: number, limit: Partial<Limit> = {}): Limit => limitOf({ resource: 'cpus', most, ...limit })

test('a limit that changes is told once; what a backend does not take is told again', async (t) => {
  const { told, fences, down } = fenced([environment('one')])
  await fences.round([cpus(4)])
  await fences.round([cpus(4)])
  t.deepEqual(told, [{ cpu: 4 }])
  down(true)
  await t.notThrowsAsync(fences.round([cpus(8)]))
  down(false)
  await fences.round([cpus(8)])
  await fences.round([])
  t.deepEqual(told, [{ cpu: 4 }, { cpu: 8 }, {}])
})

test('several environments of one owner: the widest, for the hub alone decides', async (t) => {
  const live = [environment('one'), environment('two', { proposals: ['20260042'] })]
  const { told, fences } = fenced(live)
  const wide = cpus(32, { subject: { kind: 'proposal', name: '20260042' } })
  await fences.round([cpus(4), limitOf({ resource: 'environments', most: 2 }), wide])
  t.deepEqual(told, [{ cpu: 32, environments: 2 }])
})

test('what is derived from a field of the catalogue stays as it was found at the launch', async (t) => {
  const base = environment('one', { proposals: ['20260042'] })
  const { told, fences } = fenced([{ ...base, spec: { ...base.spec, ownerLimits: { cpu: 12 } } }])
  const derived = limitOf({
    resource: 'cpus',
    most: { field: 'days', factor: 4 },
    subject: { kind: 'proposal', name: '*' },
  })
  await fences.round([derived])
  t.deepEqual(told, [{ cpu: 12 }])
})

test('what is being stopped, and spawners without limits, are told nothing', async (t) => {
  const { told, fences } = fenced([environment('one', { wanted: { is: 'absent', reason: 'cancelled', since: now() } })])
  await fences.round([cpus(4)])
  t.deepEqual(told, [])
})
