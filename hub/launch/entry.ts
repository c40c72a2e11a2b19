/** The hub's side of admission: who gets a ticket for an environment, and how long its entry lasts. Pure. */
import { signTicket, ticketLifetimeMs } from '../../proxy/ticket.ts'
import type { Environment } from '../domain/environment.ts'
import { Problem } from '../domain/problem.ts'
import type { Visitor } from '../domain/services.ts'
import type { Visit, VisitRole } from '../sharing/share.ts'

/** An entry is bound to a login and ends with it; a day at most, then the hub is asked again. */
const entryLifetimeMs = 24 * 3_600_000

export interface TicketRequest {
  /** The admission key, shared with the proxy. */
  readonly key: Buffer
  readonly visitor: Visitor
  readonly environment: Pick<Environment, 'id' | 'userId'>
  /** For who is not its owner: a visit, which was admitted a moment ago (hub/sharing). */
  readonly visit?: Pick<Visit, 'id' | 'role' | 'environment' | 'visitor' | 'expiresAt'>
  /** sha256 (base64url) of the nonce cookie that the proxy set. */
  readonly nonceHash: string
  readonly now: Date
  /** Random, unguessable: the ticket is redeemed once by it. */
  readonly newId: () => string
}

/**
 * A ticket for the owner, or for a visit.
 * @throws Problem forbidden, notLoggedIn or badRequest
 */
export function issueTicket({ key, visitor, environment, visit, nonceHash, now, newId }: TicketRequest): string {
  if (visitor.by !== 'cookie') {
    throw new Problem('forbidden', 'A token can not enter an environment. Open it in a browser that is logged in.')
  }
  const as = rightOf(visitor, environment, visit)
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
    role: as.role,
    ...('visit' in as ? { share: as.visit } : {}),
    nonceHash,
    issuedAt,
    expiresAt: Math.min(issuedAt + ticketLifetimeMs, loginEndsAt),
    entryExpiresAt: Math.min(issuedAt + entryLifetimeMs, loginEndsAt, as.endsAt),
  })
}

type Right = Readonly<{ role: 'owner'; endsAt: number }> | Readonly<{ role: VisitRole; visit: string; endsAt: number }>

function rightOf(
  { user }: Visitor,
  { id, userId }: TicketRequest['environment'],
  visit: TicketRequest['visit'],
): Right {
  if (userId === user.id) return { role: 'owner', endsAt: Infinity }
  if (visit?.environment === id && visit.visitor.id === user.id) {
    return { role: visit.role, visit: visit.id, endsAt: visit.expiresAt.getTime() }
  }
  throw new Problem('forbidden', 'This environment belongs to somebody else. Ask its owner, or launch your own.')
}
