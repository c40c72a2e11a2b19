/** HTTP to slurmrestd, by TCP or by a unix socket: a deadline on every call, a most of every answer. */
import { Agent, fetch as send } from 'undici'

export interface Transport {
  readonly baseUrl: string
  /** For openapi-fetch. */
  readonly fetch: (request: Request) => Promise<Response>
  close(): Promise<void>
}

/** 100,000 jobs with all that is told of each. */
const mostBytes = 512 * 1024 * 1024
const headersTimeoutMs = 60_000

/** `endpoint`: http://host:port, https://…, or unix:/path. */
export function createTransport(endpoint: string): Transport {
  const path = /^unix:(\/.*)$/.exec(endpoint)?.[1]
  const dispatcher = new Agent({
    connections: 16,
    headersTimeout: headersTimeoutMs,
    bodyTimeout: headersTimeoutMs,
    maxResponseSize: mostBytes,
    ...(path === undefined ? {} : { connect: { socketPath: path } }),
  })
  return {
    baseUrl: path === undefined ? endpoint.replace(/\/+$/, '') : 'http://localhost',
    // The body as one text: slurmrestd refuses chunked ones (406).
    async fetch(request) {
      const body = request.body === null ? {} : { body: await request.text() }
      const answer = await send(request.url, {
        method: request.method,
        headers: [...request.headers].map(([name, value]): [string, string] => [name, value]),
        signal: request.signal,
        dispatcher,
        ...body,
      })
      // undici's own Response and Node's, which is undici's as well, differ in a declaration alone.
      // oxlint-disable-next-line typescript/no-unnecessary-type-assertion
      return answer as unknown as Response
    },
    close: async () => {
      if (!dispatcher.closed && !dispatcher.destroyed) await dispatcher.destroy()
    },
  }
}
