/** The hub's control socket (<state>/run/control.sock, 0600): for commands on this machine and for metrics. */
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Registry } from 'prom-client'
import { z } from 'zod'
import { type AuditQuery, auditQuerySchema } from './audit/export.ts'
import type { AuditLine } from './audit/entry.ts'
import type { Applied } from './quota/index.ts'
import { Problem } from './domain/problem.ts'

const tokenRequestSchema = z.strictObject({
  user: z.string().min(1).max(64),
  scopes: z.array(z.string().min(1).max(200)).min(1).max(50),
  /** ms since the epoch; absent: does not expire. */
  expiresAt: z.number().positive().optional(),
  note: z.string().max(200).default(''),
})

const blockSchema = z.strictObject({ user: z.string().min(1).max(64), reason: z.string().min(1).max(300).nullable() })
const limitsSchema = z.strictObject({ source: z.string().min(1).max(64), dryRun: z.boolean(), value: z.unknown() })

const userSchema = z.strictObject({ user: z.string().min(1).max(64) })

export type TokenRequest = z.output<typeof tokenRequestSchema>

export interface ControlOptions {
  readonly socketPath: string
  readonly registry: Registry
  createToken(wanted: TokenRequest): Promise<string>
  auditPage(query: AuditQuery): Promise<readonly AuditLine[]>
  /** By name; `reason`: blocked, and what the person reads; null: not blocked any more. */
  block(user: string, reason: string | null): Promise<void>
  /** By name; the uid that their account had before is forgotten. */
  renumber(user: string): Promise<void>
  /** The limits of a file become those of this source. */
  applyLimits(file: { source: string; dryRun: boolean; value: unknown }): Promise<Applied>
  /** By name; gives the pseudonym. */
  pseudonymise(user: string): Promise<string>
}

const longestBodyBytes = 16_384
const longestLimitsBytes = 4 * 1_048_576

/**
 * POST /control/token → {token}; GET /control/audit?after=… → {lines}; POST /control/pseudonymise {user} → {pseudonym};
 * POST /control/limits {source, dryRun, value} → {added, removed}; GET /metrics (Prometheus text); GET /health.
 */
export async function serveControl(options: ControlOptions): Promise<Server> {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    answer(options, request)
      .catch(failure)
      .then(({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body))
      .catch(() => response.destroy())
  })
  await rm(options.socketPath, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.socketPath, resolve)
  })
  await chmod(options.socketPath, 0o600)
  return server
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

async function answer(options: ControlOptions, request: IncomingMessage): Promise<Answer> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control.invalid')
  switch (`${request.method} ${pathname}`) {
    case 'GET /health':
      return json(200, { status: 'ok' })
    case 'GET /metrics':
      return { status: 200, type: options.registry.contentType, body: await options.registry.metrics() }
    case 'POST /control/token': {
      const wanted = parse(tokenRequestSchema, await readJson(request))
      return json(201, { token: await options.createToken(wanted) })
    }
    case 'GET /control/audit': {
      const query = parse(auditQuerySchema, Object.fromEntries(searchParams))
      return json(200, { lines: await options.auditPage(query) })
    }
    case 'POST /control/block': {
      const { user, reason } = parse(blockSchema, await readJson(request))
      await options.block(user, reason)
      return json(200, {})
    }
    case 'POST /control/renumber': {
      const { user } = parse(userSchema, await readJson(request))
      await options.renumber(user)
      return json(200, {})
    }
    case 'POST /control/limits':
      return json(200, await options.applyLimits(parse(limitsSchema, await readJson(request, longestLimitsBytes))))
    case 'POST /control/pseudonymise': {
      const { user } = parse(userSchema, await readJson(request))
      return json(200, { pseudonym: await options.pseudonymise(user) })
    }
    default:
      throw new Problem('notFound', 'The control socket has nothing at this address. Is the hub of another release?')
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new Problem('badRequest', z.prettifyError(parsed.error))
  return parsed.data
}

function failure(error: unknown): Answer {
  const problem = error instanceof Problem ? error : new Problem('internal', 'See the log of the hub.')
  return json(problem.status, { type: problem.type, title: problem.title, detail: problem.detail })
}

async function readJson(request: IncomingMessage, most = longestBodyBytes): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > most) throw new Problem('tooLarge', `At most ${most} bytes.`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch (cause) {
    throw new Problem('badRequest', 'The body is not JSON.', { cause })
  }
}

function json(status: number, body: object): Answer {
  return { status, type: 'application/json', body: JSON.stringify(body) }
}
