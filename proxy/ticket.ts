/**
 * What the hub signs and the proxy checks, both with the admission key (HMAC-SHA256, 32 bytes).
 * A ticket opens an environment once, within 30 s, in the browser that holds the nonce; an entry is the
 * cookie that it is exchanged for. Text form: base64url(JSON) "." base64url(MAC); the MAC covers "type." too.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'

const common = {
  /** Environment id. */
  environment: z.string(),
  /** The login (its public id, not its cookie) that this is bound to. */
  login: z.string(),
  user: z.strictObject({ id: z.string(), name: z.string() }),
  role: z.enum(['owner', 'guest', 'viewer', 'administrator']),
  /** The share that lets a guest in. */
  share: z.string().optional(),
  /** ms since the epoch. */
  issuedAt: z.number(),
  expiresAt: z.number(),
}

const ticketSchema = z.strictObject({
  ...common,
  /** Random, redeemed once. */
  id: z.string(),
  /** sha256 (base64url) of the nonce cookie that the proxy set before. */
  nonceHash: z.string(),
  /** Until when the entry cookie may last: the login's own end, at most. ms since the epoch. */
  entryExpiresAt: z.number(),
})
const entrySchema = z.strictObject(common)

export type Ticket = z.infer<typeof ticketSchema>
export type Entry = z.infer<typeof entrySchema>

export const ticketLifetimeMs = 30_000

export const signTicket = (key: Buffer, ticket: Ticket): string => sign(key, 'ticket', ticket)
export const signEntry = (key: Buffer, entry: Entry): string => sign(key, 'entry', entry)

/** Undefined when forged, malformed or expired. Single use and revocation are the caller's to check. */
export const verifyTicket = (key: Buffer, text: string, now: number): Ticket | undefined =>
  verify(key, 'ticket', ticketSchema, text, now)
export const verifyEntry = (key: Buffer, text: string, now: number): Entry | undefined =>
  verify(key, 'entry', entrySchema, text, now)

/** What a ticket carries of the nonce cookie, so that an attacker's ticket can't log a victim in. */
export const nonceHash = (nonce: string): string => createHash('sha256').update(nonce).digest('base64url')

const longestText = 4_096

function sign(key: Buffer, type: string, claims: object): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
  return `${payload}.${mac(key, type, payload).toString('base64url')}`
}

function verify<T extends { expiresAt: number }>(
  key: Buffer,
  type: string,
  schema: z.ZodType<T>,
  text: string,
  now: number,
): T | undefined {
  const dot = text.indexOf('.')
  if (dot < 1 || text.length > longestText) return undefined
  const payload = text.slice(0, dot)
  const given = Buffer.from(text.slice(dot + 1), 'base64url')
  const expected = mac(key, type, payload)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
  const claims = schema.safeParse(parseJson(Buffer.from(payload, 'base64url').toString()))
  return claims.success && claims.data.expiresAt > now ? claims.data : undefined
}

function mac(key: Buffer, type: string, payload: string): Buffer {
  return createHmac('sha256', key).update(`${type}.${payload}`).digest()
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
