/**
 * The way to one API server. Logins of every kind (certificates, tokens, token files, exec plug-ins) are the client
 * library's; requests are plain JSON over connections that are kept: its generated classes drop fields that they do
 * not know, and open a connection for each call.
 */
import { createHash } from 'node:crypto'
import type { RequestOptions } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, ProxyAgent, request, type Dispatcher } from 'undici'
import { z } from 'zod'
import { readItems } from './items.ts'

export interface Api {
  /** @throws ApiError for what the server refuses; anything else when it can't be reached. */
  call(method: Method, path: string, options: CallOptions): Promise<unknown>
  /** A list: its `items` one by one, and then the answer without them. */
  list(path: string, options: CallOptions, each: (item: unknown) => void): Promise<unknown>
  /** The last `mostBytes` of a text that may be longer. */
  tail(path: string, mostBytes: number, options: CallOptions): Promise<string>
  /** Lines of JSON as they come, until the server, the signal or `silenceMs` without a byte ends it. */
  stream(path: string, options: StreamOptions): AsyncGenerator
  close(): Promise<void>
}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

interface CallOptions {
  readonly signal: AbortSignal
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  /** Of a PATCH: what is merged (RFC 7396). */
  readonly body?: object
}

interface StreamOptions extends CallOptions {
  readonly silenceMs: number
  /** The server has begun to answer. */
  readonly opened: () => void
}

/** What the API server answered, as its own Status object says it. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  /** NotFound, AlreadyExists, Invalid, Forbidden, Expired … */
  readonly reason: string
  readonly causes: readonly Readonly<{ field: string; message: string }>[]
  /** When the server wants to be asked again. ms; absent: it does not say. */
  readonly retryAfterMs: number | undefined
  constructor(status: number, body: z.output<typeof statusSchema>, retryAfter?: string) {
    super(body.message)
    this.status = status
    this.reason = body.reason
    this.causes = body.details?.causes ?? []
    this.retryAfterMs = retryAfter !== undefined && /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1_000 : undefined
  }
}

const statusSchema = z.object({
  message: z.string().default('the API server gave no reason'),
  reason: z.string().default(''),
  details: z
    .object({
      causes: z.array(z.object({ field: z.string().default(''), message: z.string().default('') })).nullish(),
    })
    .nullish(),
})

/** What of KubeConfig is used. */
export interface ClusterLogin {
  getCurrentCluster(): Readonly<{ server: string; proxyUrl?: string }> | null
  applyToHTTPSOptions(options: RequestOptions): Promise<void>
}

const mostBodyBytes = 512 * 2 ** 20
const mostTextBytes = 2 ** 20
const callTimeoutMs = 30_000
/** A server that has too much to do says when to ask again (429): then the call itself does, so often and no longer. */
const mostTries = 4
const longestRetryAfterMs = 10_000

export function createApi(login: ClusterLogin): Api {
  const cluster = login.getCurrentCluster()
  if (cluster === null) throw new Error('the kubeconfig has no current cluster: set current-context')
  const server = cluster.server.replace(/\/$/, '')
  let current: { key: string; dispatcher: Dispatcher } | undefined

  /** Tokens and certificates may change while we run: connections are kept as long as they do not. */
  async function prepared(): Promise<{ headers: Record<string, string>; dispatcher: Dispatcher }> {
    const options: RequestOptions = {}
    await login.applyToHTTPSOptions(options)
    const { ca, cert, key, passphrase, rejectUnauthorized, servername } = options
    const tls = {
      ...(ca !== undefined && { ca: ca as Buffer }),
      ...(cert !== undefined && { cert: cert as Buffer }),
      ...(key !== undefined && { key: key as Buffer }),
      ...(passphrase !== undefined && { passphrase }),
      ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
      ...(servername !== undefined && { servername }),
    }
    const digest = createHash('sha256')
    for (const part of Object.values(tls)) digest.update(`${String(part)}\0`)
    const made = digest.digest('hex')
    if (current?.key !== made) {
      const old = current?.dispatcher
      current = { key: made, dispatcher: dispatcherOf(cluster?.proxyUrl, tls) }
      // What is under way on the old connections goes on.
      void old?.close()
    }
    const headers = { ...(options.headers as Record<string, string> | undefined) }
    if (typeof options.auth === 'string') {
      headers['Authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`
    }
    return { headers, dispatcher: current.dispatcher }
  }

  async function send(method: Method, path: string, options: CallOptions, accept = 'application/json') {
    for (let tries = 1; ; tries += 1) {
      try {
        return await sendOnce(method, path, options, accept)
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 429 || tries === mostTries) throw error
        const waitMs = Math.min(error.retryAfterMs ?? 1_000, longestRetryAfterMs)
        await sleep(waitMs, undefined, { signal: options.signal, ref: false })
      }
    }
  }

  async function sendOnce(method: Method, path: string, { signal, query, body }: CallOptions, accept: string) {
    signal.throwIfAborted()
    const { headers, dispatcher } = await prepared()
    const url = new URL(server + path)
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const answer = await request(url, {
      method,
      dispatcher,
      signal,
      headersTimeout: callTimeoutMs,
      headers: { ...headers, accept, ...(body !== undefined && { 'content-type': type }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (answer.statusCode < 300) return answer
    const text = await bounded(answer.body, mostTextBytes)
    throw new ApiError(
      answer.statusCode,
      statusSchema.catch({ message: text.slice(0, 300), reason: '' }).parse(json(text)),
      String(answer.headers['retry-after'] ?? ''),
    )
  }

  return {
    async call(method, path, options) {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(callTimeoutMs)])
      const answer = await send(method, path, { ...options, signal })
      return json(await bounded(answer.body, mostBodyBytes))
    },
    async list(path, options, each) {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(callTimeoutMs)])
      const answer = await send('GET', path, { ...options, signal })
      return readItems(await bounded(answer.body, mostBodyBytes), each)
    },
    async tail(path, mostBytes, options) {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(callTimeoutMs)])
      const { body } = await send('GET', path, { ...options, signal }, '*/*')
      let kept = Buffer.alloc(0)
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        const all = Buffer.concat([kept, chunk])
        kept = Buffer.from(all.subarray(Math.max(0, all.length - mostBytes)))
      }
      // A character that was cut in two at the beginning.
      return kept.toString().replace(/^\uFFFD+/, '')
    },
    async *stream(path, { silenceMs, opened, ...options }) {
      const silence = new AbortController()
      const fallSilent = () => silence.abort(new Error(`the watch said nothing for ${silenceMs} ms`))
      const timer = setTimeout(fallSilent, silenceMs)
      try {
        const signal = AbortSignal.any([options.signal, silence.signal])
        const { body } = await send('GET', path, { ...options, signal })
        opened()
        const decoder = new TextDecoder()
        let rest = ''
        for await (const chunk of body as AsyncIterable<Uint8Array>) {
          timer.refresh()
          const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
          rest = lines.pop() ?? ''
          if (rest.length > mostTextBytes * 4) throw new Error('the watch sent a line that is too long')
          for (const line of lines) if (line !== '') yield JSON.parse(line)
        }
      } finally {
        clearTimeout(timer)
      }
    },
    async close() {
      await current?.dispatcher.destroy()
    },
  }
}

function dispatcherOf(proxyUrl: string | undefined, tls: object): Dispatcher {
  if (proxyUrl !== undefined && proxyUrl !== '') return new ProxyAgent({ uri: proxyUrl, requestTls: tls })
  return new Agent({
    connect: { ...tls, keepAlive: true, keepAliveInitialDelay: 30_000, timeout: callTimeoutMs },
    connections: 16,
    bodyTimeout: 0,
  })
}

async function bounded(body: AsyncIterable<Uint8Array>, mostBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > mostBytes) throw new Error(`the API server sent more than ${mostBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON: what checks the answer says so.
    return undefined
  }
}
