/**
 * The proxy's own file: the hub writes it for a proxy that it manages, an administrator for one apart. Lengths of
 * time are in ms and sizes in bytes, because mostly a program writes it.
 */
import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { readDocument } from '../config/document.ts'
import { nearest } from '../config/nearest.ts'
import { trustedAddresses } from './forward/request.ts'

const port = z.int().min(0).max(65_535)
const file = z.string().min(1)
const positive = z.int().positive()
const address = z.strictObject({ host: z.string().min(1), port })
const server = z.union([
  z.strictObject({ socket: file.describe('Path of a unix socket.') }),
  z.strictObject({ url: z.url().describe('http://…, or https://… with a certificate of a public authority.') }),
])

const limits = z
  .strictObject({
    headBytes: positive.default(32_768).describe('Longest head of a request; beyond it 431.'),
    headMs: positive.default(15_000).describe('A head must be whole this long after its first byte; then 408.'),
    keepAliveMs: positive.default(75_000).describe("How long a browser's connection may wait for its next request."),
    stallMs: positive
      .default(300_000)
      .describe('A transfer in which not one byte moves for this long is broken off. WebSockets may be silent.'),
    connectMs: positive.default(10_000).describe('How long a connection to an environment or the hub may take.'),
    responseHeadMs: positive.default(600_000).describe('How long the answer to a whole request may take to begin.'),
    upstreamIdleMs: positive
      .default(4_000)
      .describe('How long a connection to an environment is kept for the next request; below what servers keep.'),
    connections: positive.default(20_000).describe('Most connections of browsers, of each worker.'),
    streamsPerConnection: positive.default(100).describe('Most requests at once on one connection of HTTP/2.'),
    requestsPerTarget: positive.default(512).describe('Most requests at once to one environment, of each worker.'),
    waitingPerTarget: positive.default(1_024).describe('Most requests that wait for one of those; beyond it 503.'),
  })
  .prefault({})

export const proxyConfigurationSchema = z.strictObject({
  listen: address.describe('Where browsers connect.'),
  publicUrl: z.url().describe("What browsers see: the hub's origin, with its path prefix if it has one."),
  hub: server.describe('Where everything under /hub/ goes.'),
  feed: z
    .union([
      z.strictObject({ socket: file, secretFile: file }),
      z.strictObject({ url: z.url().describe('ws:// or wss://, without the path.'), secretFile: file }),
    ])
    .describe("The hub's private listener, and the secret for it (a file, chmod 600)."),
  admissionKeyFile: file.describe('32 bytes, base64url (chmod 600): tickets and entries are signed with it.'),
  agentsKeyFile: file.describe("32 bytes, base64url (chmod 600): each agent's key is derived from it."),
  services: z
    .record(z.string().regex(/^[a-z][a-z0-9-]*$/), z.url())
    .default({})
    .describe('Where programs of the facility listen, by the name that their path /services/NAME/ has.'),
  hosts: z
    .string()
    .refine((text) => text.split('{user}').length === 2, 'must hold {user} once')
    .optional()
    .describe("Host names of environments, such as {user}.envs.example.org. Absent: the hub's own origin."),
  snapshotFile: file.describe('The last table is kept here, so that the proxy serves while the hub is away.'),
  workers: z.int().min(1).max(64).default(1).describe('Processes that share the port.'),
  tls: z
    .strictObject({ certificateFile: file, keyFile: file })
    .optional()
    .describe('PEM files; read again on SIGHUP and when they change. Absent: plain HTTP.'),
  trustedProxies: z
    .array(z.string())
    .superRefine((entries, context) => {
      try {
        trustedAddresses(entries)
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message })
      }
    })
    .default([])
    .describe('Addresses or ranges whose X-Forwarded-* are believed.'),
  drainMs: z.int().nonnegative().default(30_000).describe('How long a stopping proxy waits for what goes on.'),
  control: z
    .union([z.strictObject({ socket: file }), address])
    .describe('GET /health and /metrics: a unix socket, or an address that is not public.'),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('The least important lines to keep.'),
      access: z.boolean().default(true).describe('One line for each request, without its query.'),
    })
    .prefault({}),
  limits,
})

export type ProxyConfiguration = z.output<typeof proxyConfigurationSchema>
export type ProxyConfigurationInput = z.input<typeof proxyConfigurationSchema>

/** Something outside the program is wrong, and one line says what. */
export class StartError extends Error {
  override readonly name = 'StartError'
}

/** Throws StartError with one line for each mistake. Paths are relative to the file. */
export async function readConfiguration(path: string): Promise<ProxyConfiguration> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new StartError(`${path}: can not be read (${codeOf(error)})`)
  })
  const document = readDocument(text)
  if ('mistakes' in document) {
    throw new StartError(document.mistakes.map(({ line, message }) => `${path}:${line ?? 1}: ${message}`).join('\n'))
  }
  const result = proxyConfigurationSchema.safeParse(document.value)
  if (result.success) return withAbsolutePaths(result.data, dirname(resolve(path)))
  throw new StartError(result.error.issues.flatMap((issue) => mistakes(path, issue)).join('\n'))
}

/** Throws StartError when it is not 32 bytes, or others can read it. */
export async function readKey(path: string): Promise<Buffer> {
  const key = Buffer.from(await readSecret(path), 'base64url')
  if (key.length !== 32) throw new StartError(`${path}: must hold 32 bytes in base64url`)
  return key
}

/** Throws StartError. */
export async function readSecret(path: string): Promise<string> {
  const mode = await stat(path).then(
    (found) => found.mode,
    () => 0,
  )
  if ((mode & 0o077) !== 0 && (mode & 0o170_000) === 0o100_000) {
    throw new StartError(`${path}: can be read by others; chmod 600 ${path}`)
  }
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new StartError(`${path}: can not be read (${codeOf(error)})`)
  })
  if (text.trim() === '') throw new StartError(`${path}: is empty`)
  return text.trim()
}

export function codeOf(error: unknown): string {
  return (error as { code?: string } | undefined)?.code ?? (error instanceof Error ? error.message : String(error))
}

function mistakes(path: string, issue: z.core.$ZodIssue): string[] {
  const field = issue.path.map(String).join('.')
  if (issue.code !== 'unrecognized_keys') return [`${path}: ${field === '' ? '' : `${field}: `}${issue.message}`]
  const shape = fieldsAt(issue.path.map(String))
  return issue.keys.map((key) => {
    const meant = nearest(key, shape)
    return `${path}: ${[field, key].filter(Boolean).join('.')}: is not known${meant === undefined ? '' : `; did you mean ${meant}?`}`
  })
}

function fieldsAt(path: readonly string[]): string[] {
  if (path.length === 0) return Object.keys(proxyConfigurationSchema.shape)
  return path[0] === 'limits' ? Object.keys(limits.unwrap().shape) : []
}

function withAbsolutePaths(configuration: ProxyConfiguration, folder: string): ProxyConfiguration {
  const from = (path: string): string => resolve(folder, path)
  const socketOf = <T extends object>(where: T): T =>
    'socket' in where && typeof where.socket === 'string' ? { ...where, socket: from(where.socket) } : where
  const { hub, feed, control, tls } = configuration
  return {
    ...configuration,
    hub: socketOf(hub),
    feed: { ...socketOf(feed), secretFile: from(feed.secretFile) },
    control: socketOf(control),
    admissionKeyFile: from(configuration.admissionKeyFile),
    agentsKeyFile: from(configuration.agentsKeyFile),
    snapshotFile: from(configuration.snapshotFile),
    ...(tls === undefined ? {} : { tls: { certificateFile: from(tls.certificateFile), keyFile: from(tls.keyFile) } }),
  }
}
