/** fetch() to a handler in this very process, through no network: the hub reaches its own issuer behind any proxy. */
import { createServer, request, type IncomingMessage, type RequestListener } from 'node:http'
import { duplexPair, Readable } from 'node:stream'

export function createInsideFetch(handler: RequestListener, prefixes: readonly string[]): typeof fetch {
  const server = createServer(handler)
  return async (input, init) => {
    const asked = new Request(input, init)
    if (!prefixes.some((prefix) => asked.url.startsWith(prefix))) {
      throw new TypeError(`only ${prefixes.join(' and ')} is inside, not ${asked.url}`)
    }
    const body = asked.body ? Buffer.from(await asked.arrayBuffer()) : undefined
    const answer = await exchange(server, asked, body)
    const status = answer.statusCode ?? 502
    if (asked.redirect === 'error' && status >= 300 && status < 400) {
      answer.destroy()
      throw new TypeError(`an unexpected redirect from ${asked.url}`)
    }
    const headers = Object.entries(answer.headersDistinct).flatMap(([name, values = []]) =>
      values.map((value): [string, string] => [name, value]),
    )
    const empty = status === 204 || status === 304
    return new Response(empty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>), { status, headers })
  }
}

function exchange(server: ReturnType<typeof createServer>, asked: Request, body?: Buffer): Promise<IncomingMessage> {
  const [near, far] = duplexPair()
  server.emit('connection', far)
  const { host, pathname, search } = new URL(asked.url)
  return new Promise((resolve, reject) => {
    // In clear also where the address begins with https: there is no network in between.
    const outgoing = request({
      method: asked.method,
      path: pathname + search,
      headers: { ...Object.fromEntries(asked.headers), host, connection: 'close' },
      createConnection: () => near,
      signal: asked.signal,
    })
    outgoing.on('response', resolve).on('error', reject)
    outgoing.end(body)
  })
}
