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

/** Without fetch, which would put right what must arrive wrong: `%2e%2e` in paths. */
export async function ask(
  hub: { readonly url: string },
  { as, method = 'GET', path, headers = {}, body }: Question,
): Promise<Answer> {
  const cookie = as ? { Cookie: `fake-user=${as}` } : {}
  const request = rawRequest(hub.url, { method, headers: { ...headers, ...cookie }, agent: false, timeout: 60_000 })
  request.path = path
  request.on('error', () => {}) // after the answer; before it, `once` below throws it
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}
