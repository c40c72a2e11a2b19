/** Who may use the installation: rules by account, group, claim and membership, asked anew each time. */
import test from 'ava'
import type { Configuration } from '../../config/schema.ts'
import { block } from '../../hub/identity/blocking.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Proposal } from '../../hub/domain/services.ts'
import { createJar } from '../support/browser-jar.ts'
import { startHubAndProvider } from '../support/identity.ts'
import { ada } from '../support/oidc.ts'

type Rules = Configuration['access']['rules']
const signal = AbortSignal.timeout(60_000)
const proposal: Proposal = { id: '42', title: 'x', instrument: 'LOKI', fields: {} }
const members = {
  proposals: () => Promise.resolve({ items: [proposal], total: 1 }),
  entitled: (_user: object, ids: readonly string[]) => Promise.resolve(ids.includes('42') ? [proposal] : []),
}
const down = () => Promise.reject(new Problem('backendUnreachable', 'The catalogue does not answer.'))

interface Row {
  readonly rule: string
  readonly rules: Rules
  readonly otherwise?: 'allow' | 'refuse'
  /** Absent: allowed. */
  readonly refused?: RegExp
  readonly claims?: Record<string, unknown>
  readonly catalogue?: typeof members
}
const rows: readonly Row[] = [
  { rule: 'none', rules: [] },
  {
    rule: 'none, and otherwise refuse',
    rules: [],
    otherwise: 'refuse',
    refused: /^Not open\. Ask help@example\.org\.$/,
  },
  { rule: 'a group that she is in', rules: [{ allow: true, groups: ['x', 'optics'] }], otherwise: 'refuse' },
  {
    rule: 'a group that she is not in',
    rules: [{ allow: true, groups: ['x'] }],
    otherwise: 'refuse',
    refused: /Not open/,
  },
  {
    rule: 'her group is refused',
    rules: [{ allow: false, groups: ['optics'], reason: 'No optics.' }],
    refused: /^No optics\. Ask/,
  },
  { rule: 'her account', rules: [{ allow: true, users: ['ada'] }], otherwise: 'refuse' },
  {
    rule: 'all conditions must fit',
    rules: [{ allow: true, users: ['ada'], groups: ['x'] }],
    otherwise: 'refuse',
    refused: /Not open/,
  },
  {
    rule: 'the first that fits decides',
    rules: [
      { allow: true, users: ['ada'] },
      { allow: false, groups: ['optics'] },
    ],
  },
  {
    rule: 'a claim',
    rules: [{ allow: true, claims: { contract: ['beamtime', 'staff'] } }],
    otherwise: 'refuse',
    claims: { contract: 'staff' },
  },
  {
    rule: 'a claim that is a list',
    rules: [{ allow: true, claims: { contract: ['staff'] } }],
    otherwise: 'refuse',
    claims: { contract: ['x', 'staff'] },
  },
  {
    rule: 'a claim that is true',
    rules: [{ allow: true, claims: { member: ['true'] } }],
    otherwise: 'refuse',
    claims: { member: true },
  },
  {
    rule: 'a claim that became an object',
    rules: [{ allow: true, claims: { contract: ['staff'] } }],
    otherwise: 'refuse',
    claims: { contract: { staff: true } },
    refused: /Not open/,
  },
  {
    rule: 'a claim that is missing',
    rules: [{ allow: true, claims: { contract: ['staff'] } }],
    otherwise: 'refuse',
    refused: /Not open/,
  },
  {
    rule: 'a claim by a name that objects have',
    rules: [{ allow: true, claims: { constructor: ['Object'] } }],
    otherwise: 'refuse',
    refused: /Not open/,
  },
  {
    rule: 'member of any proposal',
    rules: [{ allow: true, proposals: 'any' }],
    otherwise: 'refuse',
    catalogue: members,
  },
  { rule: 'member of none', rules: [{ allow: true, proposals: 'any' }], otherwise: 'refuse', refused: /Not open/ },
  {
    rule: 'member of that proposal',
    rules: [{ allow: true, proposals: ['41', '42'] }],
    otherwise: 'refuse',
    catalogue: members,
  },
  {
    rule: 'member of another proposal',
    rules: [{ allow: true, proposals: ['41'] }],
    otherwise: 'refuse',
    catalogue: members,
    refused: /Not open/,
  },
  {
    rule: 'a catalogue that is down lets nobody in who needs it',
    rules: [{ allow: true, proposals: 'any' }],
    catalogue: { proposals: down, entitled: down },
    refused: /does not answer/,
  },
  {
    rule: 'what a catalogue said before it was down lets nobody in',
    rules: [{ allow: true, proposals: 'any' }],
    catalogue: { proposals: () => Promise.resolve({ items: [], total: 1, asOf: new Date() }), entitled: down },
    refused: /does not answer, so nobody can say/,
  },
  {
    rule: 'a catalogue that is down and is not needed',
    rules: [
      { allow: true, users: ['ada'] },
      { allow: false, proposals: 'any' },
    ],
    catalogue: { proposals: down, entitled: down },
  },
]

for (const { rule, rules, otherwise = 'allow', refused, claims = {}, catalogue } of rows) {
  test(`rules: ${rule} → ${refused ? 'refused' : 'allowed'}, at the login and at a launch`, async (t) => {
    const { hub, provider } = await startHubAndProvider(t, {
      access: { rules, otherwise },
      ...(catalogue ? { catalogue } : {}),
    })
    // UserInfo carries whatever claims the provider has.
    provider.person = ada
    provider.forge.userInfo = (info) => ({ ...info, ...claims })
    const page = await createJar().open(`${hub.url}/hub/login/site?next=/hub/who`)
    const user = await hub.db.selectFrom('users').selectAll().executeTakeFirstOrThrow()
    const launch = hub.identity.authorisation.require({ id: user.id, name: 'ada', title: '', admin: false }, signal)
    if (refused === undefined) {
      t.is(page.status, 200, page.text)
      await t.notThrowsAsync(launch)
      return
    }
    t.true(page.status >= 400)
    const problem = await t.throwsAsync(launch, { instanceOf: Problem })
    t.regex(problem?.detail ?? '', refused)
    t.true(page.text.includes(problem?.detail ?? '-'), page.text)
    t.is((await hub.db.selectFrom('logins').select('id').execute()).length, 0)
  })
}

test('it is asked anew: groups that are gone at the provider count no more, a block counts at once and shows its reason', async (t) => {
  const { hub, provider } = await startHubAndProvider(t, {
    access: { rules: [{ allow: true, groups: ['optics'] }], otherwise: 'refuse' },
  })
  const browser = createJar()
  await browser.open(`${hub.url}/hub/login/site?next=/hub/who`)
  const { user } = JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text).visitor
  const { authorisation } = hub.identity
  await t.notThrowsAsync(authorisation.require(user, signal))
  const audit = { within: () => Promise.resolve(() => undefined) }
  const routes = { revoke: async (each: (typeof hub.revocations)[number]) => void hub.revocations.push(each) }
  const options = { db: hub.db, audit, routes, now: () => new Date() }
  await block(options, 'ada', 'Left in May', { who: 'hub' })
  const blocked = await t.throwsAsync(authorisation.require(user, signal), { instanceOf: Problem })
  t.is(blocked?.detail, 'Left in May. Ask help@example.org.')
  t.like(hub.revocations[0], { kind: 'user', subject: user.id })
  await block(options, 'ada', null, { who: 'hub' })
  await t.notThrowsAsync(authorisation.require(user, signal))
  provider.person = { ...ada, groups: [] }
  t.is((await createJar().open(`${hub.url}/hub/login/site`)).status, 403)
  const gone = await t.throwsAsync(authorisation.require(user, signal), { instanceOf: Problem })
  t.is(gone?.type, 'notAuthorised')
})
