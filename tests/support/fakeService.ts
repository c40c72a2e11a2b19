/** A small HTTP service of JSON for fakes: keeps what it was asked, and misbehaves when told to. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ExecutionContext } from 'ava'

export interface FakeRequest {
  readonly method: string
  readonly url: URL
  readonly authorization: string | undefined
  readonly body: string
}

export interface FakeAnswer {
  readonly status?: number
  readonly body: unknown
}

export interface FakeService {
  readonly url: string
  readonly requests: FakeRequest[]
  /** Undefined: as documented. Else it answers instead, and undefined from it is as documented again. */
  fault: ((request: FakeRequest, response: ServerResponse) => true | undefined) | undefined
}

export async function fakeService(
  t: ExecutionContext,
  answer: (request: FakeRequest) => FakeAnswer,
): Promise<FakeService> {
  const server = createServer((request, response) => {
    void serve(request, response).catch((error: unknown) => {
      t.log(String(error))
      response.destroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const fake: FakeService = { url: `http://127.0.0.1:${port}`, requests: [], fault: undefined }

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const request: FakeRequest = {
      method: incoming.method ?? 'GET',
      url: new URL(incoming.url ?? '/', fake.url),
      authorization: incoming.headers.authorization,
      body: Buffer.concat(chunks).toString('utf8'),
    }
    fake.requests.push(request)
    if (fake.fault?.(request, response)) return
    const { status = 200, body } = answer(request)
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  return fake
}
