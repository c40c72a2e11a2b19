/** From a ticket to an entry cookie: once, in the browser that holds the nonce, on a form that the hub's page sent. */
import { randomBytes } from 'node:crypto'
import type { Route } from '../feed.ts'
import type { Request } from '../forward/request.ts'
import { redirect, type Answer } from '../http/answer.ts'
import { cookieValues } from '../http/cookies.ts'
import { joined, single } from '../http/head.ts'
import { pathBelow } from '../http/path.ts'
import { problemAnswer } from '../pages.ts'
import type { Revocations } from '../revocations.ts'
import { nonceHash, signEntry, verifyTicket, type Entry, type Ticket } from '../ticket.ts'
import { entryCookie } from './entries.ts'

export const nonceCookie = 'hutch-nonce'
export const enterPath = '_hutch/enter'
/** The agent's page that closes the window in which a login was renewed. */
export const renewedPath = '_hutch/static/renewed.html'
export const longestFormBytes = 16_384
const nonceLifetimeSeconds = 3_600

export interface Entering {
  readonly key: Buffer
  readonly publicUrl: URL
  readonly revocations: Revocations
  readonly now: () => number
  /** True for the first who asks: all workers ask the same one. */
  readonly useTicket: (id: string, issuedAt: number, expiresAt: number) => Promise<boolean>
}

/** Sends the browser to the hub for a ticket, with a nonce that makes the ticket useless in any other browser. */
export function askForTicket(
  request: Request,
  route: Route,
  publicUrl: URL,
  base: string,
  /** Below the route's prefix; absent: where the request was to go. */
  then?: string,
): Answer {
  // A second tab that opens at the same time keeps the nonce of the first, so that both tickets fit.
  const known = noncesOf(request)[0]
  const nonce = known ?? randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    environment: route.id,
    nonce: nonceHash(nonce),
    next: then === undefined ? request.path + request.query : route.prefix + then,
  })
  const location = `${publicUrl.origin}${base}hub/enter?${query.toString()}`
  return redirect(location, known === undefined ? [['Set-Cookie', nonceCookieField(nonce, route, request)]] : [])
}

export async function enter(
  request: Request,
  route: Route,
  body: Buffer,
  entering: Entering,
  alreadyIn: boolean,
): Promise<Answer> {
  const { key, publicUrl, revocations, now } = entering
  const form = new URLSearchParams(body.toString('latin1'))
  const next = pathBelow(route.prefix, form.get('next') ?? '') ?? route.prefix
  if (single(request.head, 'origin') !== publicUrl.origin) {
    return refuse(request, 'The form did not come from the hub.')
  }
  const ticket = verifyTicket(key, form.get('ticket') ?? '', now())
  if (ticket === undefined) return refuse(request, 'The ticket is not valid or too old. Open the environment again.')
  if (!fits(ticket, route) || revocations.isRevoked(ticket))
    return refuse(request, 'This ticket is not for this place.')
  if (!noncesOf(request).some((nonce) => nonceHash(nonce) === ticket.nonceHash)) {
    // Another tab was faster, and took the nonce with it.
    if (alreadyIn) return redirect(next, [], 303)
    return refuse(
      request,
      'The browser did not keep the cookie that goes with this ticket. Open the environment again.',
    )
  }
  if (!(await entering.useTicket(ticket.id, ticket.issuedAt, ticket.expiresAt))) {
    return refuse(request, 'This ticket was used already, or is older than this proxy. Open the environment again.')
  }
  const { environment, login, user, role, share, issuedAt, entryExpiresAt } = ticket
  const entry: Entry = {
    environment,
    login,
    user,
    role,
    ...(share === undefined ? {} : { share }),
    // Not the time of now: a revocation between ticket and entry must reach the entry.
    issuedAt,
    expiresAt: entryExpiresAt,
  }
  const maxAge = Math.max(0, Math.floor((entryExpiresAt - now()) / 1_000))
  return redirect(
    next,
    [
      [
        'Set-Cookie',
        `${entryCookie}=${signEntry(key, entry)}; Max-Age=${maxAge}; ${attributes(route, request)}; SameSite=Lax`,
      ],
      ['Set-Cookie', `${nonceCookie}=; Max-Age=0; ${attributes(route, request)}${nonceSameSite(route, request)}`],
    ],
    303,
  )
}

/** On a single origin a path is no boundary, so that an environment opens for its owner alone. */
export function fits(claims: Pick<Ticket, 'environment' | 'role' | 'user'>, route: Route): boolean {
  if (claims.environment !== route.id) return false
  if (claims.role === 'owner') return claims.user.id === route.owner.id
  return route.host !== null
}

function noncesOf(request: Request): string[] {
  const values = cookieValues(joined(request.head, 'cookie', '; '), nonceCookie)
  return values.filter((value) => /^[A-Za-z0-9_-]{43}$/.test(value))
}

function nonceCookieField(nonce: string, route: Route, request: Request): string {
  const place = `${attributes(route, request)}${nonceSameSite(route, request)}`
  return `${nonceCookie}=${nonce}; Max-Age=${nonceLifetimeSeconds}; ${place}`
}

function attributes(route: Route, request: Request): string {
  return `Path=${route.prefix}; HttpOnly${request.scheme === 'https' ? '; Secure' : ''}`
}

/**
 * The hub's form may come from another site (127.0.0.1 → alice.localhost, or a domain kept apart on purpose), and
 * Lax cookies stay behind then. The nonce protects nothing by being sent less: the ticket names its hash.
 */
function nonceSameSite(route: Route, request: Request): string {
  if (route.host === null) return '; SameSite=Lax'
  return request.scheme === 'https' ? '; SameSite=None' : ''
}

function refuse(request: Request, detail: string): Answer {
  return problemAnswer(request, 'forbidden', detail)
}
