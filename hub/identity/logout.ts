/** Logout at the provider: RP-initiated (the browser goes there) and back-channel (the provider calls the hub). */
import { jwtVerify } from 'jose'
import { Problem } from '../domain/problem.ts'
import { clockToleranceSeconds, signatureAlgorithms } from './id-token.ts'
import type { Provider } from './provider.ts'

const oldestLogoutTokenSeconds = 600
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/**
 * Where the browser goes to end its session at the provider too (OpenID Connect RP-Initiated Logout 1.0). Undefined
 * when the provider has no such place or can't be reached: the hub's own logout counts without it.
 */
export async function providerLogoutUrl(provider: Provider, returnTo: string): Promise<URL | undefined> {
  const { metadata } = await provider.discover()
  if (metadata.end_session_endpoint === undefined) return undefined
  const url = new URL(metadata.end_session_endpoint)
  url.searchParams.set('client_id', provider.configuration.clientId)
  url.searchParams.set('post_logout_redirect_uri', returnTo)
  return url
}

/** What a logout token ends (OpenID Connect Back-Channel Logout 1.0, section 2.6). Throws Problem 'badRequest'. */
export async function readLogoutToken(
  provider: Provider,
  token: string,
): Promise<{ subject?: string; sid?: string; at: number }> {
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
  const { sub, iat = 0, events } = payload
  const sid = payload['sid']
  // An ID token has a nonce and no events: what one login brought must not end another.
  const named = typeof events === 'object' && events !== null && logoutEvent in events
  if (!named || payload['nonce'] !== undefined) throw refused('it is not a logout token')
  if (!['logout+jwt', 'application/logout+jwt', 'jwt', undefined].includes(protectedHeader.typ?.toLowerCase())) {
    throw refused(`its type is ${protectedHeader.typ}`)
  }
  if (typeof sub !== 'string' && typeof sid !== 'string') throw refused('it names neither sub nor sid')
  return {
    ...(typeof sub === 'string' ? { subject: sub } : {}),
    ...(typeof sid === 'string' ? { sid } : {}),
    // What began after it was written is not what it speaks of: so a replay ends nothing new.
    at: (iat + clockToleranceSeconds) * 1000,
  }
}

const refused = (cause: unknown): Problem =>
  new Problem('badRequest', 'This is not a logout token of this provider for this hub.', { cause })
