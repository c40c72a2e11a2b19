/** What was signed as one thing is never taken for another, whatever it says. */
import { createHmac, randomBytes } from 'node:crypto'
import test from 'ava'
import { verifyEntry, verifyTicket } from '../../proxy/ticket.ts'

const key = randomBytes(32)
const now = 1_790_000_000_000
const common = {
  environment: 'e1',
  login: 'l1',
  user: { id: 'u1', name: 'alice' },
  role: 'owner',
  issuedAt: now,
  expiresAt: now + 30_000,
}
const ticket = { ...common, id: 't1', nonceHash: 'n', entryExpiresAt: now + 60_000 }

function signedAs(type: string, claims: object): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
  return `${payload}.${createHmac('sha256', key).update(`${type}.${payload}`).digest('base64url')}`
}

const rows = [
  { title: 'an entry', type: 'entry', verify: verifyEntry, claims: common, isTaken: true },
  { title: 'what an entry says, signed as a ticket', type: 'ticket', verify: verifyEntry, claims: common },
  { title: 'a ticket', type: 'ticket', verify: verifyTicket, claims: ticket, isTaken: true },
  { title: 'what a ticket says, signed as an entry', type: 'entry', verify: verifyTicket, claims: ticket },
  { title: 'what a ticket says, signed as something else', type: 'token', verify: verifyTicket, claims: ticket },
]

for (const { title, type, verify, claims, isTaken = false } of rows) {
  test(title, (t) => t.is(verify(key, signedAs(type, claims), now) !== undefined, isTaken))
}
