/** The row of a launch is one that the database takes, and it comes back as it was. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { demoConfiguration } from '../../config/defaults.ts'
import { configurationSchema } from '../../config/schema.ts'
import { createAccounts } from '../../hub/accounts/index.ts'
import { demoDataFolder } from '../../hub/catalogue/demo/install.ts'
import { createCatalogue } from '../../hub/catalogue/index.ts'
import { createLaunches } from '../../hub/launch/index.ts'
import { openStore } from '../../hub/store/index.ts'
import { environmentId } from '../../spawners/common/environmentId.ts'
import { specDigest } from '../../spawners/common/specDigest.ts'
import type { EnvironmentSpec, Spawner } from '../../spawners/spawner.ts'
import { createFakeEnvironments } from '../support/fake-environments.ts'
import { noArchive } from '../support/noArchive.ts'
import { everybody, rememberedAudit } from '../support/audit.ts'
import { quietLog } from '../support/quiet-log.ts'
import { unasked } from '../support/unasked.ts'
import { configuredQuota } from '../support/quota.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('SQLite takes the row of a launch with proposals and gives the same spec back', async (t) => {
  const state = await temporaryFolder(t)
  const written = { ...demoConfiguration({ demoDataFolder: demoDataFolder(state) }), state }
  const configuration = configurationSchema.parse(written)
  const now = () => new Date('2026-11-21T10:00:00Z')
  const options = { stateFolder: state, now, log: quietLog }
  const nothing = () => Promise.reject(new Error('the loop is not part of this test'))
  const spawner: Spawner = { ensure: nothing, observe: nothing, remove: nothing }
  const environments = createFakeEnvironments()
  const launches = createLaunches({
    configuration,
    spawners: new Map([['here', { spawner, type: 'local' }]]),
    environments,
    archive: noArchive,
    catalogue: await createCatalogue(configuration.catalogue, { ...unasked, ...options }),
    accounts: createAccounts(configuration.accounts, {
      ...options,
      identity: { uid: 12_001, gid: 12_001, groups: [] },
    }),
    setup: { jupyter: () => ({ ok: true, message: '' }), missingForDesktop: () => undefined },
    authorisation: everybody,
    audit: rememberedAudit(),
    publicUrl: new URL('http://127.0.0.1:8000'),
    now,
    quota: configuredQuota(configuration, now),
    newId: environmentId((size) => randomBytes(size)),
    log: quietLog,
  })
  const user = { id: 'u1', name: 'marie', title: 'Marie Curie', admin: false }
  const visitor = { user, login: 'l1', by: 'cookie', groups: [], expiresAt: new Date('2026-11-22') } as const
  const choices = { profile: 'jupyterlab', flavour: 'medium', proposals: ['20080121', '20150042'], title: 'Å 🦆 "x"' }
  const launched = await launches.launch(visitor, choices, AbortSignal.timeout(60_000))

  const store = await openStore(configuration.database, { stateFolder: state, log: quietLog })
  t.teardown(() => store.close())
  const person = { id: 'u1', name: 'marie', title: 'Marie Curie', email: null, admin: 0, blocked_reason: null }
  await store.db
    .insertInto('users')
    .values({ ...person, created_at: 1, last_activity_at: null })
    .execute()
  await store.db
    .insertInto('environments')
    .values([...environments.rows])
    .execute()
  const row = await store.db
    .selectFrom('environments')
    .selectAll()
    .where('id', '=', launched.id)
    .executeTakeFirstOrThrow()
  t.like(row, { ...environments.rows[0] })
  const spec = JSON.parse(row.spec) as EnvironmentSpec
  t.deepEqual(spec, launched.spec)
  t.is(specDigest(spec), row.spec_digest)
})
