/**
 * The wire between hub and proxy: one WebSocket that the proxy opens to the hub's private listener
 * (GET /proxy/feed, Authorization: Bearer <feed secret>), JSON text messages.
 * The hub sends a whole table on every connection, then changes in order; the proxy acknowledges.
 */
import { z } from 'zod'
import { isPlainPath } from './http/path.ts'

/** Where a route leads. `psk`: TLS 1.3 with a pre-shared key, identity = environment id (images/agent/link.ts). */
const targetSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('psk'), host: z.string(), port: z.int().min(1).max(65_535), identity: z.string() }),
  z.strictObject({ kind: z.literal('http'), url: z.url() }),
  z.strictObject({ kind: z.literal('unix'), path: z.string() }),
])
export type Target = z.infer<typeof targetSchema>

/** A path below the route's prefix, without a slash before it; empty: everything. */
const place = z
  .string()
  .regex(/^(?![/])[\x21-\x7e]*$/)
  .refine((path) => isPlainPath(`/${path}`) && !/[?#]/.test(path))
const places = z.array(place).max(32)

/**
 * Where those may go who may only look (role viewer), each place with all below it. Whoever answers gets the header
 * X-Hutch-Role, which a browser can not forge.
 */
const viewersSchema = z.strictObject({
  /** GET and HEAD. */
  read: places,
  /** WebSockets that only listen: the proxy drops what the viewer sends, and nobody else has to. */
  listen: places,
  /** WebSockets both ways, where who answers lets a viewer change nothing. */
  speak: places,
})

export const routeSchema = z.strictObject({
  /** The environment's id. */
  id: z.string(),
  /** Counts up whenever the target changes: connection pools belong to (id, generation), never to an origin. */
  generation: z.int().nonnegative(),
  /** /user/alice/e7f3k2/ */
  prefix: z.string(),
  /** Host name (no port) that this route answers on; null: the hub's own origin. */
  host: z.string().nullable(),
  /** The owner's user id and name. */
  owner: z.strictObject({ id: z.string(), name: z.string() }),
  target: targetSchema,
  /** Absent: nobody enters who may only look. */
  viewers: viewersSchema.optional(),
})
export type Route = z.infer<typeof routeSchema>

/** What no longer counts, until it would have expired anyhow. `subject` is a login id, a user id or a share id. */
export const revocationSchema = z.strictObject({
  kind: z.enum(['login', 'user', 'share']),
  subject: z.string(),
  /** ms since the epoch; entries older than this are forgotten. */
  until: z.number(),
  /** What was issued at or before this moment (ms since the epoch) is refused. */
  at: z.number(),
})
export type Revocation = z.infer<typeof revocationSchema>

export const hubMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('table'),
    seq: z.int(),
    routes: z.array(routeSchema),
    revocations: z.array(revocationSchema),
  }),
  z.strictObject({ type: z.literal('put'), seq: z.int(), route: routeSchema }),
  z.strictObject({ type: z.literal('delete'), seq: z.int(), id: z.string() }),
  z.strictObject({ type: z.literal('revoke'), seq: z.int(), revocation: revocationSchema }),
])
export type HubMessage = z.infer<typeof hubMessageSchema>

export const proxyMessageSchema = z.discriminatedUnion('type', [
  /** All workers have everything up to and including `seq`. */
  z.strictObject({ type: z.literal('ack'), seq: z.int() }),
  /** What people did, by environment id: the newest activity in ms since the epoch. At most every 10 s. */
  z.strictObject({
    type: z.literal('activity'),
    at: z.record(z.string(), z.number()),
    /** Long uploads and downloads, which nobody need attend: the newest moment at which one was under way, alike. */
    transfers: z.record(z.string(), z.number()).optional(),
  }),
])
export type ProxyMessage = z.infer<typeof proxyMessageSchema>
