/** An answer of the proxy's own: at once, or when its promise is kept. */
import { renderAnswer, type Answer } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import type { Client } from './client.ts'
import type { Decision, Done, Forwarding } from './forwarding.ts'
import type { Request } from './request.ts'

export interface Respond {
  readonly forwarding: Forwarding
  readonly client: Client
  readonly request: Request
  readonly answer: Answer | Promise<Answer>
  /** What came after the request's body. */
  readonly rest: Buffer
  /** The body was read to its end; if not, the connection can't be kept. */
  readonly bodyDone: boolean
  readonly bytesIn?: number
  readonly route?: Done['route']
  readonly entry?: Done['entry']
  readonly cause?: string | undefined
}

const broken: Answer = {
  status: 500,
  fields: [['Content-Type', 'text/plain; charset=utf-8']],
  body: 'Something went wrong in the proxy.\n',
}

export function respond(options: Respond): void {
  const { client, answer, rest } = options
  if (!(answer instanceof Promise)) return send(options, answer, rest, undefined)
  let gone = false
  let extra = rest
  client.socket.pause()
  client.handler = {
    data: (chunk) => (extra = Buffer.concat([extra, chunk])),
    drained() {},
    ended() {},
    closed: () => (gone = true),
  }
  const later = (ready: Answer, cause: string | undefined): void => {
    if (!gone) send(options, ready, extra, cause)
  }
  answer
    .then(
      (ready) => later(ready, undefined),
      (error: unknown) => later(broken, String(error)),
    )
    .catch(() => client.socket.destroy())
  return undefined
}

/** Reads a body of at most `mostBytes`, then answers. */
export function collect(
  options: Omit<Respond, 'answer' | 'bodyDone'>,
  { mostBytes, answer }: Extract<Decision, { do: 'collect' }>,
): void {
  const { client, request } = options
  const reader = readBody(request.framing)
  const chunks: Buffer[] = []
  let size = 0
  client.deadlineAt = options.forwarding.deadlines.nowMs + options.forwarding.limits.headMs
  client.handler = { data: take, drained() {}, ended: () => client.socket.destroy(), closed() {} }
  if (request.framing.kind === 'chunked') respond({ ...options, bodyDone: false, answer: refusal(411) })
  else take(options.rest)

  function take(chunk: Buffer): void {
    const end = reader.take(chunk, 0)
    size += end
    chunks.push(chunk.subarray(0, end))
    if (size > mostBytes) respond({ ...options, bodyDone: false, answer: refusal(413) })
    else if (reader.done) {
      client.deadlineAt = 0
      const body = Buffer.concat(chunks)
      respond({ ...options, rest: chunk.subarray(end), bodyDone: true, bytesIn: size, answer: answer(body) })
    }
  }
}

function refusal(status: number): Answer {
  return { status, fields: [], body: '' }
}

function send(options: Respond, answer: Answer, rest: Buffer, failed: string | undefined): void {
  const { forwarding, client, request } = options
  const keep = options.bodyDone && request.keepAlive && request.head.minor === 1 && !forwarding.draining
  const bytes = renderAnswer(withId(answer, request.id), { head: request.method === 'HEAD', close: !keep })
  if (client.socket.writable) client.socket.write(bytes)
  forwarding.done({
    request,
    status: answer.status,
    kind: 'http',
    route: options.route,
    entry: options.entry,
    bytesIn: options.bytesIn ?? 0,
    bytesOut: bytes.length,
    cause: failed ?? options.cause,
  })
  client.finished({ keep, rest })
}

function withId(answer: Answer, id: string): Answer {
  return { ...answer, fields: [...answer.fields, ['X-Request-Id', id]] }
}
