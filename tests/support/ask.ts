import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request as rawRequest } from 'node:http'
import { text } from 'node:stream/consumers'

export interface Question {
  /** Whose cookie it carries. */
  readonly as?: string
  readonly method?: string
  readonly path: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** A stream that should have been refused never ends; the rest is for a machine that is busy with other tests. */
const longestAnswerMs = 60_000

/** Without fetch, which would put right what must arrive wrong: `%2e%2e` in paths. */
export async function ask(
  hub: { readonly url: string },
  { as, method = 'GET', path, headers = {}, body }: Question,
): Promise<Answer> {
  const cookie = as ? { Cookie: `fake-user=${as}` } : {}
  const request = rawRequest(hub.url, { method, headers: { ...headers, ...cookie }, agent: false })
  request.path = path
  request.on('error', () => {}) // after the answer; before it, `once` below throws it
  request.on('upgrade', (_response, socket) => socket.destroy(new Error(`${method} ${path} was given a socket`)))
  const deadline = setTimeout(
    () => request.destroy(new Error(`${method} ${path} has no whole answer`)),
    longestAnswerMs,
  )
  request.on('close', () => clearTimeout(deadline))
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}
