/** Limits and what goes with them, put together: admission, requests, lifetimes, records, homes. For hub/main.ts. */
import { randomUUID } from 'node:crypto'
import type { Configuration } from '../config/schema.ts'
import type { Log, Spawner } from '../spawners/spawner.ts'
import { createHomeStorage, type HomeStorage } from './accounts/home-storage.ts'
import { hubStop } from './audit/hub-ends.ts'
import type { Audit } from './audit/index.ts'
import type { Accounts, Catalogue } from './domain/services.ts'
import type { ReadRecords } from './http/records.ts'
import type { Authorisation } from './identity/authorisation.ts'
import type { Notifier } from './notify/index.ts'
import { createEntitlement } from './quota/entitlement.ts'
import { createFences } from './quota/fences.ts'
import { createQuota, type Quota } from './quota/index.ts'
import { createLifetimes, type Lifetimes } from './quota/lifetimes.ts'
import { packagesOf, type RecordQuery, recordsOf } from './quota/records.ts'
import { createRequests, type Requests } from './quota/requests.ts'
import type { LiveEnvironments } from './reconcile/service.ts'
import { runProgram } from './setup/program.ts'
import type { Store } from './store/index.ts'

export interface QuotaRooms {
  readonly quota: Quota
  readonly requests: Requests
  readonly lifetimes: Lifetimes
  readonly records: ReadRecords
  readonly homeStorage: HomeStorage
}

export interface QuotaRoomsOptions {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly store: Store
  readonly audit: Audit
  readonly environments: Pick<LiveEnvironments, 'get' | 'live' | 'stop' | 'mark'>
  readonly spawners: ReadonlyMap<string, { readonly spawner: Spawner }>
  readonly catalogue: Catalogue
  readonly accounts: Accounts
  readonly authorisation: Authorisation
  readonly notifier: Notifier
  readonly now: () => Date
  readonly log: Log
}

export async function createQuotaRooms(options: QuotaRoomsOptions): Promise<QuotaRooms> {
  const { configuration, store, environments, accounts, now, log } = options
  const { db } = store
  const { perUser, entitlement } = configuration.environments
  const quota = await createQuota({ ...options, perUser, contact: configuration.hub.contact, newId: randomUUID })
  const { mark } = environments
  const stop = hubStop(environments, options.audit)
  return {
    quota,
    requests: createRequests({ ...options, quota, newId: randomUUID }),
    lifetimes: createLifetimes({
      ...options,
      limits: { fresh: () => quota.list() },
      fences: createFences({
        live: () => environments.live(),
        spawners: new Map([...options.spawners].map(([name, { spawner }]) => [name, spawner])),
        now,
        log,
      }),
      stop,
      entitlement: createEntitlement({
        ...options,
        db,
        mark,
        stop,
        everyMs: entitlement.check,
        graceMs: entitlement.grace,
      }),
      holder: randomUUID(),
    }),
    records: Object.assign((query: RecordQuery) => recordsOf(db, query), {
      packages: (query: Parameters<typeof packagesOf>[1]) => packagesOf(db, query),
    }),
    homeStorage: createHomeStorage({
      configuration: configuration.homeStorage,
      accounts,
      run: (argv, timeoutMs) => runProgram(argv, { timeoutMs }),
      now,
      log,
    }),
  }
}
