/**
 * Admissions: how many launches are committed in a second with limits and without, on SQLite and on a PostgreSQL with
 * 64 connections; how much later one launch is committed because of them; and how much later a launch is answered with
 * a catalogue, limits and mounts than without. Goal: under 30 ms more.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { createQuotaAdmission } from '../../hub/quota/admission.ts'
import type { Limit } from '../../hub/quota/limit.ts'
import { createLimits } from '../../hub/quota/limits.ts'
import { createEnvironments } from '../../hub/reconcile/index.ts'
import { openStore, type Store } from '../../hub/store/index.ts'
import { portOf } from '../support/fakeAgents.ts'
import { startFakeBackend } from '../support/fakeBackend.ts'
import { fakeSite } from '../support/fakeSite.ts'
import { runHutch } from '../support/hutch.ts'
import { postgresServer } from '../support/postgres.ts'
import { limitOf } from '../support/quota.ts'
import { newRow } from '../support/rows.ts'
import { logInAs } from '../support/scientist.ts'
import { silentLog } from '../support/spawnerSubject.ts'
import { median, row } from './figures.ts'
import type { EnvironmentId } from '../../spawners/spawner.ts'

const people = 200
const launches = 1_600
const callers = 64
const alone = 40

const each = [
  limitOf({ resource: 'cpus', most: 1_000 }),
  limitOf({ resource: 'memoryBytes', most: 2 ** 44 }),
  limitOf({ resource: 'cpuHours', period: 'month', most: 1_000_000 }),
]
const together = limitOf({
  resource: 'cpuHours',
  period: 'ever',
  most: 10_000_000,
  share: 'together',
  subject: { kind: 'proposal', name: 'p1' },
})
const sets: readonly (readonly [string, readonly Limit[] | undefined])[] = [
  ['none', undefined],
  ['per user', each],
  ['per user and proposal', [...each, together]],
]

export async function benchQuota(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'hutch-bench-'))
  const sqlite = await openStore({ type: 'sqlite' }, { stateFolder: folder, log: silentLog })
  await measure('SQLite, 1 hub', [sqlite])
  await sqlite.close()
  await benchWhole(folder)
  await rm(folder, { recursive: true, force: true })
  const server = await postgresServer()
  if (server === undefined) return
  const stores: Store[] = []
  for (let index = 0; index < callers; index += 1) {
    stores.push(await openStore({ ...server.configuration, poolSize: 1 }, { stateFolder: folder, log: silentLog }))
  }
  await measure('PostgreSQL, 64 connections', stores)
  for (const store of stores) await store.close()
  await server.close()
}

/** As a browser asks for it, from request to answer; on the real hub with SQLite. What it runs on is a fake. */
async function benchWhole(folder: string): Promise<void> {
  const token = join(folder, 'token')
  await writeFile(token, 'bench\n', { mode: 0o600 })
  const service = await serveProposals()
  const backend = await startFakeBackend()
  const mount = { name: 'raw', source: '/data/{proposal}', target: '/data/{proposal}', allowedRoots: ['/data'] }
  const more = {
    catalogue: { type: 'http', url: service.url, tokenFile: token },
    mounts: [mount, { ...mount, name: 'results', source: '/data/{proposal}/out', target: '/data/{proposal}/out' }],
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB', walltime: '8h' } },
    environments: { perUser: 1_000, outliveHub: true },
    roles: { chief: { like: 'admin', users: ['ada'] } },
  }
  const args = await fakeSite({ folder: join(folder, 'site'), backend: backend.url, more })
  const hutch = await runHutch({ state: join(folder, 'site-state'), args })
  try {
    const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
    const time = async (proposals: readonly string[]): Promise<number> => {
      const begunAt = performance.now()
      const { id } = await ada.launch({ profile: 'good', flavour: 'small', proposals })
      const ms = performance.now() - begunAt
      await ada.api('POST', `/environments/${id}/stop`)
      return ms
    }
    for (const limit of ['cpus', 'gpus']) await ada.api('POST', '/limits', { for: 'group:none', limit, most: 1 })
    for (let index = 0; index < 5; index += 1) await time([])
    const without: number[] = []
    for (let index = 0; index < wholeLaunches; index += 1) without.push(await time([]))
    const limits = [
      { for: 'everyone', limit: 'cpus', most: 10_000 },
      { for: 'everyone', limit: 'cpuHours', per: 'month', most: 1_000_000 },
      { for: 'proposal:*', limit: 'cpuHours', per: 'ever', most: 1_000_000, together: true },
    ]
    for (const limit of limits) await ada.api('POST', '/limits', limit)
    for (let index = 0; index < 5; index += 1) await time(['p1', 'p2'])
    const withAll: number[] = []
    for (let index = 0; index < wholeLaunches; index += 1) withAll.push(await time(['p1', 'p2']))
    const [a, b] = [median(without), median(withAll)]
    row('launch with catalogue, limits and mounts', { without_ms: a, with_ms: b, more_ms: b - a })
  } finally {
    await hutch.stop()
    await backend.close()
    await service.close()
  }
}

const wholeLaunches = 60

/** A facility's small service, which answers at once. */
async function serveProposals(): Promise<{ url: string; close: () => Promise<void> }> {
  const items = ['p1', 'p2'].map((id) => ({ id, title: id, instrument: 'i1' }))
  const server = createServer((request, response) => {
    const ids = new URL(request.url ?? '/', 'http://localhost').searchParams.getAll('id')
    const found = items.filter(({ id }) => ids.length === 0 || ids.includes(id))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ items: found, total: found.length }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function measure(title: string, stores: readonly Store[]): Promise<void> {
  const [first] = stores
  if (first === undefined) return
  const person = { title: '', email: null, admin: 0, blocked_reason: null, created_at: 0, last_activity_at: null }
  const users = Array.from({ length: people }, (_, index) => `u${index}`)
  await first.db
    .insertInto('users')
    .values(users.map((id) => ({ ...person, id, name: id })))
    .execute()
  const now = (): Date => new Date()
  const hubs = stores.map((store) => {
    const limits = createLimits({ store, perUser: 1_000_000, now, newId: randomUUID })
    const settings = { hub: 'h', hosts: undefined, startTimeoutMs: () => 60_000 }
    const shared = { agentsKey: Buffer.alloc(32), settings, now, log: silentLog, metrics: new Registry() }
    const { environments } = createEnvironments({ ...shared, store, spawners: new Map() })
    return { environments, limits, quota: createQuotaAdmission({ store, limits, contact: '', now }) }
  })
  let serial = 0
  async function launch(isLimited: boolean): Promise<void> {
    serial += 1
    const [hub, userId] = [hubs[serial % hubs.length], users[serial % people] ?? '']
    const id = `e${serial}` as EnvironmentId
    const made = { ...newRow({ id, userId, spawner: 's', now: now() }), proposals: '["p1"]' }
    const ask = {
      user: { id: userId, name: userId },
      groups: [],
      proposals: [{ id: 'p1', fields: {} }],
      profile: 'lab',
    }
    const size = { cpu: 1, memoryBytes: 2 ** 30, gpus: 0, gpuType: '', walltimeMs: 3_600_000 }
    const admitting = hub?.quota.admission({ ...ask, ...size }, made, [])
    if (!isLimited || admitting === undefined) await hub?.environments.launch(made, () => undefined)
    else await hub?.environments.launch(made, admitting.admit, { together: admitting.together })
  }
  for (const [name, limits] of sets) {
    const known = (await hubs[0]?.limits.fresh()) ?? []
    const old = known.flatMap(({ id }) => (id === '' ? [] : [id]))
    await hubs[0]?.limits.change(limits ?? [], old, 'bench')
    for (const hub of hubs) await hub.limits.fresh()
    const isLimited = limits !== undefined
    const startedAt = performance.now()
    let left = launches
    const caller = async (): Promise<void> => {
      while (left > 0) {
        left -= 1
        await launch(isLimited)
      }
    }
    await Promise.all(Array.from({ length: callers }, caller))
    const perSecond = launches / ((performance.now() - startedAt) / 1_000)
    const times: number[] = []
    for (let index = 0; index < alone; index += 1) {
      const begunAt = performance.now()
      await launch(isLimited)
      times.push(performance.now() - begunAt)
    }
    row(`admissions, ${title}, limits: ${name}`, { per_second: perSecond, alone_ms: median(times) })
  }
}
