/** The hub's side of admission: who gets a ticket for an environment, and how long its entry lasts. Pure. */
import { signTicket, ticketLifetimeMs } from '../../proxy/ticket.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'

/** An entry is bound to a login and ends with it; a day at most, then the hub is asked again. */
const entryLifetimeMs = 24 * 3_600_000

export interface TicketRequest {
  /** The admission key, shared with the proxy. */
  readonly key: Buffer
  readonly visitor: Visitor
  readonly environment: Pick<Environment, 'id' | 'userId'>
  /** sha256 (base64url) of the nonce cookie that the proxy set. */
  readonly nonceHash: string
  readonly now: Date
  /** Random, unguessable: the ticket is redeemed once by it. */
  readonly newId: () => string
}

/**
 * A ticket for the owner. Others get in only where environments have host names of their own, by shares and
 * administrators' entry, which are other functions.
 * @throws Problem forbidden, notLoggedIn or badRequest
 */
export function issueTicket({ key, visitor, environment, nonceHash, now, newId }: TicketRequest): string {
  if (visitor.by !== 'cookie') {
    throw new Problem('forbidden', 'A token can not enter an environment. Open it in a browser that is logged in.')
  }
  if (environment.userId !== visitor.user.id) {
    throw new Problem('forbidden', 'This environment belongs to somebody else. Ask its owner, or launch your own.')
  }
  const loginEndsAt = visitor.expiresAt.getTime()
  if (loginEndsAt <= now.getTime()) throw new Problem('notLoggedIn', 'Your login is over. Log in again.')
  if (!/^[A-Za-z0-9_-]{43}$/.test(nonceHash)) {
    throw new Problem('badRequest', 'The request lacks what ties it to your browser. Open the environment again.', {
      field: 'nonce',
    })
  }
  const issuedAt = now.getTime()
  return signTicket(key, {
    id: newId(),
    environment: environment.id,
    login: visitor.login,
    user: { id: visitor.user.id, name: visitor.user.name },
    role: 'owner',
    nonceHash,
    issuedAt,
    expiresAt: Math.min(issuedAt + ticketLifetimeMs, loginEndsAt),
    entryExpiresAt: Math.min(issuedAt + entryLifetimeMs, loginEndsAt),
  })
}
