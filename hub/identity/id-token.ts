/** What makes an ID token believable (OpenID Connect Core 1.0, section 3.1.3.7), all of it, in one place. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose'
import { Problem } from '../domain/problem.ts'
import { type FailureReason, LoginFailure } from './failure.ts'

/** Signatures with a public key alone: never `none`, never an HMAC keyed with what everybody can read. */
export const signatureAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]

export const clockToleranceSeconds = 60
const oldestTokenSeconds = 600

export interface Expected {
  readonly keys: JWTVerifyGetKey
  readonly title: string
  readonly issuer: string
  readonly clientId: string
  /** Absent: a token of a refresh, which has none (section 12.2). */
  readonly nonce?: string
  readonly accessToken: string
  readonly now: number
}

export interface IdTokenClaims extends JWTPayload {
  readonly sub: string
}

/** The claims, once everything is checked. Throws LoginFailure; Problem 'providerUnreachable' when the keys can't be had. */
export async function verifyIdToken(idToken: string, expected: Expected): Promise<IdTokenClaims> {
  const { payload, protectedHeader } = await verifySignature(idToken, expected)
  const refuse = (reason: FailureReason, why: string): never => {
    throw untrusted(expected.title, reason, new Error(why))
  }
  if (expected.nonce !== undefined && !same(payload['nonce'], expected.nonce))
    refuse('nonce', 'the nonce is missing or another one')
  const parties = Array.isArray(payload.aud) ? payload.aud.length : 1
  const authorizedParty = payload['azp']
  if (authorizedParty === undefined ? parties > 1 : authorizedParty !== expected.clientId) {
    refuse('authorizedParty', `azp is ${JSON.stringify(authorizedParty)}`)
  }
  const hash = payload['at_hash']
  if (hash !== undefined && !same(hash, accessTokenHash(protectedHeader.alg, expected.accessToken))) {
    refuse('accessTokenHash', 'at_hash belongs to another access token')
  }
  const { sub } = payload
  if (!isIdentifier(sub)) return refuse('subject', 'sub is empty, too long or not ASCII')
  return { ...payload, sub }
}

/** What `sub` may be (OpenID Connect Core 1.0, section 2): at most 255 ASCII characters. `sid` is held to it too. */
export function isIdentifier(claim: unknown): claim is string {
  return typeof claim === 'string' && /^[ -~]{1,255}$/.test(claim)
}

async function verifySignature(idToken: string, expected: Expected) {
  try {
    return await jwtVerify(idToken, expected.keys, {
      algorithms: signatureAlgorithms,
      issuer: expected.issuer,
      audience: expected.clientId,
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', ...(expected.nonce === undefined ? [] : ['nonce'])],
      clockTolerance: clockToleranceSeconds,
      maxTokenAge: oldestTokenSeconds,
      currentDate: new Date(expected.now),
    })
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    // Not the error itself: jose's carries the token's claims, which have no business in a log.
    throw untrusted(expected.title, reasonOf(cause), new Error(cause instanceof Error ? cause.message : 'not an error'))
  }
}

export function untrusted(title: string, reason: FailureReason, cause: unknown): LoginFailure {
  return new LoginFailure(
    reason,
    `${title} sent an answer that can not be trusted. Log in again; if it stays, tell your administrator.`,
    { cause },
  )
}

const reasonOfClaim: Readonly<Record<string, FailureReason>> = {
  iss: 'issuer',
  aud: 'audience',
  nonce: 'nonce',
  sub: 'subject',
  exp: 'expired',
  iat: 'expired',
  nbf: 'expired',
}

function reasonOf(error: unknown): FailureReason {
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return 'algorithm'
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JWTClaimValidationFailed) return reasonOfClaim[error.claim] ?? 'tokenAnswer'
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
    return 'signature'
  }
  return 'tokenAnswer'
}

/** Section 3.1.3.6: the left half of the access token's hash, by the hash of the signature's algorithm. */
function accessTokenHash(algorithm: string, accessToken: string): string {
  const bits = /^(?:Ed|.+512$)/.test(algorithm) ? 512 : algorithm.endsWith('384') ? 384 : 256
  const digest = createHash(`sha${bits}`).update(accessToken).digest()
  return digest.subarray(0, digest.length / 2).toString('base64url')
}

function same(claim: unknown, expected: string): boolean {
  if (typeof claim !== 'string') return false
  const [a, b] = [claim, expected].map((text) => createHash('sha256').update(text).digest())
  return a !== undefined && b !== undefined && timingSafeEqual(a, b)
}
