/** One request to Docker, by dockerode's client: every one can be aborted and has a deadline. */
import { createInterface } from 'node:readline'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type Dockerode from 'dockerode'
import type { RegistryLogin } from './registries.ts'

interface Request {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, unknown>>
  readonly body?: object | Buffer
  /** To the registry that Docker is to ask; a header, and in no log. */
  readonly login?: RegistryLogin | undefined
  readonly signal: AbortSignal
}

export interface Call {
  /** What it answered, as JSON where it is. @throws with `statusCode` and `json` when Docker refuses */
  answer(request: Request): Promise<unknown>
  /** What its answer says about itself, without a body. */
  headers(request: Request): Promise<IncomingHttpHeaders>
  /** The body as it comes, at most `most` bytes; undefined: it is not there. */
  bytes(request: Request, most: number): Promise<Buffer | undefined>
  /** One JSON object on each line, until it ends. The caller's signal alone says how long that may be. */
  lines(request: Request, onLine: (line: object) => void): Promise<void>
}

const timeoutMs = 30_000
const longestLine = 64 * 1024
/** 304: it runs already. */
const good = { 200: true, 201: true, 204: true, 304: true }

export function createCall({ modem }: Dockerode): Call {
  const dial = async (request: Request, signal: AbortSignal, isStream: boolean): Promise<unknown> => {
    signal.throwIfAborted()
    const { method = 'GET', path, query = {}, body, login } = request
    const isFile = Buffer.isBuffer(body)
    const options = {
      method,
      path: Object.keys(query).length === 0 ? path : `${path}?`,
      options: { _query: query, _body: isFile ? {} : (body ?? {}) },
      ...(isFile && { file: body }),
      ...(login && { authconfig: login }),
      abortSignal: signal,
      isStream,
      statusCodes: good,
    }
    return await new Promise((resolve, reject) => {
      modem.dial(options, (error: unknown, answer: unknown) => {
        if (error instanceof Error) reject(error)
        else resolve(answer)
      })
    })
  }
  const inTime = (signal: AbortSignal) => AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])

  return {
    answer: (request) => dial(request, inTime(request.signal), false),
    async headers(request) {
      const answer = (await dial({ ...request, method: 'HEAD' }, inTime(request.signal), true)) as IncomingMessage
      answer.destroy()
      return answer.headers
    },
    async bytes(request, most) {
      const signal = inTime(request.signal)
      const stream = (await dial(request, signal, true)) as Readable
      return await abortable(stream, signal, () => collected(stream, most))
    },
    async lines(request, onLine) {
      const stream = (await dial(request, request.signal, true)) as Readable
      await abortable(stream, request.signal, async () => {
        for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
          const value = line.length > longestLine ? undefined : parsed(line)
          if (value !== undefined) onLine(value)
        }
      })
    },
  }
}

async function abortable<T>(stream: Readable, signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  const stop = (): void => void stream.destroy(new Error('no longer wanted'))
  signal.addEventListener('abort', stop, { once: true })
  try {
    const value = await read()
    signal.throwIfAborted()
    return value
  } finally {
    signal.removeEventListener('abort', stop)
    stream.destroy()
  }
}

async function collected(stream: Readable, most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > most) throw new Error(`Docker answered with more than ${most} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Undefined: it is no JSON object. What it means is in the lines that follow. */
function parsed(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
