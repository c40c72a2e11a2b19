/** Logout at the provider: RP-initiated (the browser goes there) and back-channel (the provider calls the hub). */
import { jwtVerify } from 'jose'
import { Problem } from '../domain/problem.ts'
import { clockToleranceSeconds, isIdentifier, signatureAlgorithms } from './id-token.ts'
import type { Provider } from './provider.ts'

const oldestLogoutTokenSeconds = 600
/** Addresses beyond 8 KiB are refused by many servers. */
const longestHint = 6_000
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/**
 * Where the browser goes to end its session at the provider too (OpenID Connect RP-Initiated Logout 1.0). Undefined
 * when the provider has no such place or can't be reached: the hub's own logout counts without it.
 */
export async function providerLogoutUrl(
  provider: Provider,
  returnTo: string,
  idToken: string | undefined,
): Promise<URL | undefined> {
  if (provider.form !== undefined) return undefined
  const { metadata } = await provider.discover()
  if (metadata.end_session_endpoint === undefined) return undefined
  const url = new URL(metadata.end_session_endpoint)
  url.searchParams.set('client_id', provider.configuration.clientId)
  url.searchParams.set('post_logout_redirect_uri', returnTo)
  // With it the provider need not ask whether this is meant. Not in a form: the provider's cookies would stay behind.
  if (idToken !== undefined && idToken.length <= longestHint) url.searchParams.set('id_token_hint', idToken)
  return url
}

export interface LogoutToken {
  readonly jti: string
  /** The provider's `sub`. */
  readonly subject?: string
  readonly sid?: string
  /** ms since the epoch; what was authenticated later is not meant. */
  readonly at: number
  /** ms since the epoch; by then the token is too old to be taken again. */
  readonly until: number
}

/** What a logout token ends (OpenID Connect Back-Channel Logout 1.0, section 2.6). Throws Problem 'badRequest'. */
export async function readLogoutToken(provider: Provider, token: string): Promise<LogoutToken> {
  const { keys } = await provider.discover()
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    algorithms: signatureAlgorithms,
    issuer: provider.issuer,
    audience: provider.configuration.clientId,
    requiredClaims: ['iss', 'aud', 'iat', 'jti', 'events'],
    clockTolerance: clockToleranceSeconds,
    maxTokenAge: oldestLogoutTokenSeconds,
    currentDate: new Date(provider.now()),
  }).catch((cause: unknown) => {
    throw cause instanceof Problem ? cause : refused(cause instanceof Error ? cause.message : 'not an error')
  })
  const { sub, iat = 0, jti, events } = payload
  const sid = payload['sid']
  // An ID token has a nonce and no events: what one login brought must not end another.
  const named = typeof events === 'object' && events !== null && logoutEvent in events
  if (!named || payload['nonce'] !== undefined) throw refused('it is not a logout token')
  if (!['logout+jwt', 'application/logout+jwt', 'jwt', undefined].includes(protectedHeader.typ?.toLowerCase())) {
    throw refused(`its type is ${protectedHeader.typ}`)
  }
  // One that is there and is no identifier would be as if it were not there: and then more would end than is meant.
  for (const claim of [sub, sid])
    if (claim !== undefined && !isIdentifier(claim)) throw refused('sub or sid is no text')
  if (sub === undefined && sid === undefined) throw refused('it names neither sub nor sid')
  if (!isIdentifier(jti)) throw refused('its jti is no text')
  return {
    jti,
    until: (iat + oldestLogoutTokenSeconds + clockToleranceSeconds) * 1000,
    ...(isIdentifier(sub) ? { subject: sub } : {}),
    ...(isIdentifier(sid) ? { sid } : {}),
    // What began after it was written is not what it speaks of: so a replay ends nothing new.
    at: (iat + clockToleranceSeconds) * 1000,
  }
}

const refused = (cause: unknown): Problem =>
  new Problem('badRequest', 'This is not a logout token of this provider for this hub.', { cause })
