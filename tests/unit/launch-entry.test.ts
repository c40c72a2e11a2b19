/** Tickets: only the owner, only from a browser, never longer than the login. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { Problem, type ProblemType } from '../../hub/domain/problem.ts'
import type { Visitor } from '../../hub/domain/services.ts'
import { issueTicket, type TicketRequest } from '../../hub/launch/entry.ts'
import { nonceHash, verifyTicket } from '../../proxy/ticket.ts'
import { environmentId } from '../../spawners/common/environmentId.ts'

const hour = 3_600_000
const now = new Date('2026-11-21T10:00:00Z')
const at = now.getTime()
const key = randomBytes(32)
const id = environmentId((size) => randomBytes(size))()
const visitor: Visitor = {
  user: { id: 'u1', name: 'ada', title: 'Ada', admin: false },
  login: 'login-1',
  by: 'cookie',
  groups: [],
  expiresAt: new Date(at + 8 * hour),
}
const base: TicketRequest = {
  key,
  visitor,
  environment: { id, userId: 'u1' },
  nonceHash: nonceHash('a nonce'),
  now,
  newId: () => 'ticket-1',
}
const read = (changes: Partial<TicketRequest> = {}) => verifyTicket(key, issueTicket({ ...base, ...changes }), at)

test('the owner gets a ticket that the proxy takes', (t) => {
  t.deepEqual(read(), {
    id: 'ticket-1',
    environment: id,
    login: 'login-1',
    user: { id: 'u1', name: 'ada' },
    role: 'owner',
    nonceHash: nonceHash('a nonce'),
    issuedAt: at,
    expiresAt: at + 30_000,
    entryExpiresAt: at + 8 * hour,
  })
  t.is(verifyTicket(randomBytes(32), issueTicket(base), at), undefined)
  t.is(verifyTicket(key, issueTicket(base), at + 30_000), undefined)
})

test('an entry ends with the login, and after a day at most', (t) => {
  const ending = (inMs: number) => read({ visitor: { ...visitor, expiresAt: new Date(at + inMs) } })
  t.is(ending(7 * 24 * hour)?.entryExpiresAt, at + 24 * hour)
  t.is(ending(hour)?.entryExpiresAt, at + hour)
  t.like(ending(10_000), { expiresAt: at + 10_000, entryExpiresAt: at + 10_000 })
})

const visit = {
  id: 'visit-1',
  role: 'guest' as const,
  environment: id,
  visitor: { id: 'u1', name: 'ada', title: 'Ada' },
  expiresAt: new Date(at + hour),
}
const others = { id, userId: 'u2' }

test("a visitor's ticket names the visit, and ends with it", (t) => {
  t.like(read({ environment: others, visit }), { role: 'guest', share: 'visit-1', entryExpiresAt: at + hour })
  const long = { ...visit, role: 'administrator' as const, expiresAt: new Date(at + 99 * hour) }
  t.like(read({ environment: others, visit: long }), { role: 'administrator', entryExpiresAt: at + 8 * hour })
  const owners = read({ visit })
  t.like(owners, { role: 'owner', entryExpiresAt: at + 8 * hour })
  t.is(owners?.share, undefined, 'an owner needs no visit')
})

const elsewhere = environmentId((size) => randomBytes(size))()
const refused: readonly (readonly [what: string, type: ProblemType, changes: Partial<TicketRequest>])[] = [
  ['another person', 'forbidden', { environment: { id, userId: 'u2' } }],
  [
    'an administrator',
    'forbidden',
    { environment: { id, userId: 'u2' }, visitor: { ...visitor, user: { ...visitor.user, admin: true } } },
  ],
  [
    "another's visit",
    'forbidden',
    { environment: others, visit: { ...visit, visitor: { ...visit.visitor, id: 'u3' } } },
  ],
  ['a visit elsewhere', 'forbidden', { environment: others, visit: { ...visit, environment: elsewhere } }],
  ['a token', 'forbidden', { visitor: { ...visitor, by: 'token' } }],
  ['a login that is over', 'notLoggedIn', { visitor: { ...visitor, expiresAt: now } }],
  ['no nonce', 'badRequest', { nonceHash: '' }],
  ['something else for the nonce', 'badRequest', { nonceHash: `${'a'.repeat(42)}=` }],
  ['100 kB of nonce', 'badRequest', { nonceHash: 'a'.repeat(100_000) }],
]
for (const [what, type, changes] of refused) {
  test(`no ticket for ${what}`, (t) => {
    const problem = t.throws(() => issueTicket({ ...base, ...changes }), { instanceOf: Problem })
    t.is(problem.type, type)
  })
}
