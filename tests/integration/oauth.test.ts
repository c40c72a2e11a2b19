/** Codes of the OAuth provider: once, for 300 s, and for nobody but whom they were made for. Both databases. */
import { createHash } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { createServerTokens } from '../../hub/identity/server-tokens.ts'
import { createClients } from '../../hub/oauth/clients.ts'
import { createCodes } from '../../hub/oauth/codes.ts'
import { openStore } from '../../hub/store/index.ts'
import { startPostgres } from '../support/postgres.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'

const verifier = 'v'.repeat(43)
const challenge = createHash('sha256').update(verifier).digest('base64url')
const grant = {
  client: 'jupyterhub-user-ada-lab',
  userId: 'u1',
  login: 'l1',
  session: 'session1',
  redirectUri: '/user/ada/lab/oauth_callback',
  challenge,
  scopes: ['access:servers!server=ada/lab'],
}
const right = { client: grant.client, redirectUri: grant.redirectUri, verifier }

async function provider(t: ExecutionContext, type: 'sqlite' | 'postgresql') {
  const database = type === 'sqlite' ? ({ type } as const) : await startPostgres(t)
  if (database === undefined) return undefined
  const store = await openStore(database, { stateFolder: await temporaryFolder(t), log: quietLog })
  t.teardown(() => store.close())
  const user = { id: 'u1', name: 'ada', title: 'Ada', email: null, admin: 0, blocked_reason: null }
  await store.db
    .insertInto('users')
    .values({ ...user, created_at: 1, last_activity_at: null })
    .execute()
  const clock = { now: 1_000_000 }
  return { db: store.db, clock, codes: createCodes({ db: store.db, now: () => clock.now }) }
}

for (const database of ['sqlite', 'postgresql'] as const) {
  test(`a code counts once, and what it is bound to must fit (${database})`, async (t) => {
    const made = await provider(t, database)
    if (made === undefined) return
    const { codes, clock, db } = made
    const code = await codes.issue(grant)
    t.false(JSON.stringify(await db.selectFrom('oauth_codes').selectAll().execute()).includes(code), 'hashed')
    for (const [what, wrong] of [
      ['another client', { client: 'jupyterhub-user-eve-lab' }],
      ['another address', { redirectUri: '/user/eve/lab/oauth_callback' }],
      ['the same address in full', { redirectUri: 'http://hub.example/user/ada/lab/oauth_callback' }],
      ['another verifier', { verifier: 'w'.repeat(43) }],
      ['no verifier', { verifier: undefined }],
      ['a verifier that is too short', { verifier: 'v'.repeat(42) }],
      ['the challenge itself', { verifier: challenge }],
    ] as const) {
      const { verifier: given, ...rest } = { ...right, ...wrong }
      const presented = { code, ...rest, ...(given === undefined ? {} : { verifier: given }) }
      t.is((await codes.redeem(presented)).is, 'bad', what)
    }
    t.is((await codes.redeem({ ...right, code: `${code}x` })).is, 'bad')
    const all = await Promise.all(Array.from({ length: 8 }, () => codes.redeem({ ...right, code })))
    t.deepEqual(all.map((each) => each.is).toSorted(), ['good', ...Array.from({ length: 7 }, () => 'spent')])
    t.like(
      all.find((each) => each.is === 'good'),
      { grant: { userId: 'u1', login: 'l1', session: 'session1' } },
    )

    const { challenge: _, ...plain } = grant
    const without = await codes.issue(plain)
    t.is((await codes.redeem({ ...right, code: without })).is, 'bad', 'a verifier without a challenge')
    t.is((await codes.redeem({ code: without, client: right.client, redirectUri: right.redirectUri })).is, 'good')
    const late = await codes.issue(grant)
    clock.now += 300_000
    t.is((await codes.redeem({ ...right, code: late })).is, 'bad', 'after 300 s')
  })
}

test("an environment's token is its own: forged, shortened and foreign ones are nobody's", (t) => {
  const tokens = createServerTokens(Buffer.alloc(32, 1))
  const token = tokens.of('e1')
  t.is(tokens.idOf(token), 'e1')
  for (const wrong of [
    createServerTokens(Buffer.alloc(32, 2)).of('e1'),
    token.slice(0, -1),
    `${token}A`,
    token.replace('_e1_', '_e2_'),
    token.replace('_e1_', '__'),
    'hutch_server_',
    'hutch_server_e1',
    '',
  ]) {
    t.is(tokens.idOf(wrong), undefined, wrong)
  }
})

test('a client is known by its id and its secret; two whose ids are the same are told apart', (t) => {
  const environment = (id: string, owner: string, server: string, protocol?: string) => ({
    id,
    owner,
    userId: `u-${owner}`,
    server,
    title: id,
    spec: { prefix: `/user/${owner}/${server}/`, protocol },
  })
  const live = [
    environment('e1', 'a', 'b-c', 'jupyterhub'),
    environment('e2', 'a-b', 'c', 'jupyterhub'),
    environment('e3', 'x', 'default', 'jupyterhub'),
    environment('e4', 'y', 'z'),
  ]
  const clients = createClients({
    environments: { live: () => live as never },
    secretOf: (id) => `secret-${id}`,
    originOf: () => 'http://hub.example',
    publicOrigin: 'http://hub.example',
    services: { culler: { clientScopes: [], apiToken: 'service-secret' } },
  })
  const both = clients.find('jupyterhub-user-a-b-c')
  t.is(both.length, 2)
  t.deepEqual(
    both.filter((each) => each.isSecret('secret-e2')).map((each) => each.owner?.name),
    ['a-b'],
  )
  t.is(clients.find('jupyterhub-user-x')[0]?.redirectUris[0], '/user/x/default/oauth_callback')
  t.deepEqual(clients.find('jupyterhub-user-y-z'), [], 'it has an agent, and no OAuth')
  t.true(clients.find('service-culler')[0]?.isSecret('service-secret'))
  t.false(clients.find('service-culler')[0]?.isSecret(''))
  t.deepEqual(clients.find('service-constructor'), [])
  t.deepEqual(clients.find(''), [])
})
