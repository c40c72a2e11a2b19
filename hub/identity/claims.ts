/** What the provider's claims say of a person, through the provider's claim map. Pure. */
import { z } from 'zod'
import type { ProviderConfiguration } from '../../config/schema.ts'
import { LoginFailure } from './failure.ts'
import { isIdentifier } from './id-token.ts'

export interface Person {
  /** Unique, URL-safe: [a-z][a-z0-9._-]{0,63}. */
  readonly name: string
  readonly title: string
  readonly email?: string
}

export type Claims = Readonly<Record<string, unknown>>

const claimsSchema = z.record(z.string(), z.unknown())
const largestClaims = 64 * 1024
const mostGroups = 1_000

/**
 * Throws LoginFailure 'name' when the claim is missing or can't be a name here. It is lowercased and otherwise taken
 * as it is: a name is also the account's, so one that was "repaired" could be somebody else's.
 */
export function personOf(claims: Claims, provider: ProviderConfiguration): Person {
  const claim = claims[provider.claims.name]
  const name = typeof claim === 'string' ? claim.toLowerCase() : undefined
  if (name === undefined || !/^[a-z][a-z0-9._-]{0,63}$/.test(name)) {
    const detail = `${provider.title} names you ${JSON.stringify(claim ?? null).slice(0, 80)}, which can not be a user name here. Tell your administrator: the claim is “${provider.claims.name}”.`
    throw new LoginFailure('name', detail)
  }
  return { name, ...describe(claims, provider), title: line(claims[provider.claims.title]) ?? name }
}

/** What an identity says of itself, for people to read: never trusted. */
export function describe(claims: Claims, provider: ProviderConfiguration): { title?: string; email?: string } {
  const [title, email] = [line(claims[provider.claims.title]), line(claims[provider.claims.email])]
  return { ...(title === undefined ? {} : { title }), ...(email === undefined ? {} : { email }) }
}

/**
 * What somebody is known again by: the ID token's `sub`, or the claim that the configuration names. Throws
 * LoginFailure 'subject' when it is missing or no identifier: another one in its place would be somebody else.
 */
export function subjectOf(claims: Claims, provider: ProviderConfiguration): string {
  const claim = claims[provider.claims.subject]
  if (isIdentifier(claim)) return claim
  const detail = `${provider.title} did not say who you are: the claim “${provider.claims.subject}” is missing or is no short text. Tell your administrator.`
  throw new LoginFailure('subject', detail)
}

/** The EAAHash, a UUID; undefined when there is none or it is something else. */
export function legacyHashOf(claims: Claims, provider: ProviderConfiguration): string | undefined {
  const { legacyHash } = provider.claims
  const claim = legacyHash === undefined ? undefined : claims[legacyHash]
  return typeof claim === 'string' && /^[\da-f]{8}(?:-?[\da-f]{4}){3}-?[\da-f]{12}$/i.test(claim)
    ? claim.toLowerCase()
    : undefined
}

/** One string, or an array of strings; anything else is no group. */
export function groupsOf(claims: Claims, provider: ProviderConfiguration): readonly string[] {
  const claim = claims[provider.claims.groups]
  const groups = typeof claim === 'string' ? [claim] : Array.isArray(claim) ? claim : []
  return groups
    .filter((group): group is string => typeof group === 'string' && group.length <= 255)
    .slice(0, mostGroups)
}

/** For the identities table. Beyond 64 KiB only the groups are kept: the rest is for the record alone. */
export function claimsText(claims: Claims, provider: ProviderConfiguration): string {
  const whole = JSON.stringify(claims)
  if (whole.length <= largestClaims) return whole
  return JSON.stringify({ [provider.claims.groups]: groupsOf(claims, provider) })
}

export function parseClaims(text: string | null): Claims {
  return text === null ? {} : claimsSchema.parse(JSON.parse(text))
}

function line(claim: unknown): string | undefined {
  if (typeof claim !== 'string') return undefined
  const text = claim
    .replaceAll(/\p{C}+/gu, ' ')
    .trim()
    .slice(0, 200)
  return text === '' ? undefined : text
}
