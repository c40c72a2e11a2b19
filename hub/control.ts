/** The hub's control socket (<state>/run/control.sock, 0600): for commands on this machine and for metrics. */
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Registry } from 'prom-client'
import { z } from 'zod'
import { Problem } from './domain/problem.ts'

const tokenRequestSchema = z.strictObject({
  user: z.string().min(1).max(64),
  scopes: z.array(z.string().min(1).max(200)).min(1).max(50),
  /** ms since the epoch; absent: does not expire. */
  expiresAt: z.number().positive().optional(),
  note: z.string().max(200).default(''),
})

export type TokenRequest = z.output<typeof tokenRequestSchema>

export interface ControlOptions {
  readonly socketPath: string
  readonly registry: Registry
  createToken(wanted: TokenRequest): Promise<string>
}

const longestBodyBytes = 16_384

/** POST /control/token → {token}; GET /metrics (Prometheus text); GET /health. */
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
  switch (`${request.method} ${request.url}`) {
    case 'GET /health':
      return json(200, { status: 'ok' })
    case 'GET /metrics':
      return { status: 200, type: options.registry.contentType, body: await options.registry.metrics() }
    case 'POST /control/token': {
      const wanted = tokenRequestSchema.safeParse(await readJson(request))
      if (!wanted.success) throw new Problem('badRequest', z.prettifyError(wanted.error))
      return json(201, { token: await options.createToken(wanted.data) })
    }
    default:
      throw new Problem('notFound', 'The control socket answers GET /health, GET /metrics and POST /control/token.')
  }
}

function failure(error: unknown): Answer {
  const problem = error instanceof Problem ? error : new Problem('internal', 'See the log of the hub.')
  return json(problem.status, { type: problem.type, title: problem.title, detail: problem.detail })
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > longestBodyBytes) throw new Problem('tooLarge', `At most ${longestBodyBytes} bytes.`)
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
