/**
 * Any bytes at all, in any pieces: the proxy never ends, never hangs, and never takes one message for two. What a
 * strict server behind it reads must be exactly the requests that the proxy says it passed on.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'ava'
import * as fc from 'fast-check'
import { ask, route, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

const prefix = '/user/alice/e1/'
/** Broken off in front, so behind too; and methods that are well formed, but that Node does not know. */
const blameless: ReadonlySet<string> = new Set(['HPE_INVALID_EOF_STATE', 'HPE_INVALID_METHOD'])

/** Sends the pieces one after the other and the end; what came back until the proxy ends the connection. */
async function exchange(port: number, pieces: readonly Buffer[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  const closed = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it hangs after ${JSON.stringify(text.slice(-300))}`)), 20_000)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    socket.on('data', (data: Buffer) => (text += data.toString('latin1')))
    socket.on('end', done)
    socket.on('close', done)
    // A reset after the answer is an answer too.
    socket.on('error', done)
  })
  await once(socket, 'connect')
  for (const piece of pieces) {
    socket.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  socket.end()
  await closed
  socket.destroy()
  return text
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length))
}

test('bytes of every kind: no crash, no hang, and nothing behind that was not asked for in clear words', async (t) => {
  t.timeout(170_000)
  const seen: { url: string; marks: string[]; body: string }[] = []
  const server = createServer({ insecureHTTPParser: false }, (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    request.on('data', (data: Buffer) => (body += data.toString('latin1')))
    request.on('error', () => {})
    request.on('end', () => {
      const marks = request.rawHeaders.filter((_, index) => request.rawHeaders[index - 1]?.toLowerCase() === 'x-mark')
      seen.push({ url: request.url ?? '', marks, body })
      response.end('behind')
    })
  })
  const misread: string[] = []
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const code = error.code ?? ''
    if (code.startsWith('HPE_') && !blameless.has(code)) misread.push(code)
    socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const to = route('e1', { kind: 'http', url: `http://127.0.0.1:${port}` })
  const proxy = await startProxy(t, { log: { access: false }, limits: { headMs: 2_000 } }, { routes: [to] })
  const cookie = proxy.entry(to)

  const field = fc.constantFrom(
    'Content-Length: 5',
    'Content-Length: 0',
    'Content-Length: 5, 5',
    'content-length:5',
    'Content-Length : 5',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding:\tchunked',
    'Transfer-Encoding: \x0bchunked',
    'TRANSFER-ENCODING: CHUNKED',
    'Transfer-Encoding: identity',
    'TE: trailers',
    'Connection: close',
    'Connection: keep-alive, Content-Length',
    'Connection: Transfer-Encoding, Cookie',
    'Host: evil',
    'X-Mark: a\rX-Mark: b',
    'X-Mark: a\nX-Mark: b',
    'X-Mark: a\0',
    ' folded',
    '\tfolded: x',
    ': x',
    'Expect: 100-continue',
    'Upgrade: websocket',
    'Upgrade: h2c',
    'X_Forwarded_For: 1',
    'Range: bytes=0-1',
  )
  const end = fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n')
  const body = fc.constantFrom(
    '',
    'hello',
    '5\r\nhello\r\n0\r\n\r\n',
    '5\nhello\n0\n\n',
    '5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
    '0\r\n\r\n',
    'ffffffffffffffff\r\nhello',
    '05\r\nhello\r\n00\r\n\r\n',
    '-5\r\nhello\r\n0\r\n\r\n',
    '5\r\nhelloX',
    '0x5\r\nhello\r\n0\r\n\r\n',
    '5 \r\nhello\r\n0\r\n\r\n',
    '0\r\nContent-Length: 5\r\n\r\n',
    '+5\r\nhello\r\n0\r\n\r\n',
  )
  const version = fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'http/1.1')
  const target = fc.constantFrom(
    'real',
    'real',
    'real?a=1',
    '../x',
    '%2e%2e/x',
    'a b',
    'a\tb',
    '\x00',
    '#x',
    '%zz',
    '//x',
    'a\\b',
    'http://evil/',
  )
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'get', 'G(T', 'CONNECT', 'TRACE')
  const message = fc
    .record({ method, target, version, fields: fc.array(fc.tuple(field, end), { maxLength: 4 }), line: end, body })
    .map(({ method, target, version, fields, line, body }) => {
      const own = `Host: 127.0.0.1\r\nCookie: ${cookie}\r\nX-Mark: real\r\n`
      const more = fields.map(([text, after]) => text + after).join('')
      return `${method} ${target.startsWith('http') ? target : prefix + target} ${version}${line}${own}${more}\r\n${body}`
    })
  const noise = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  const stream = fc.array(fc.oneof({ weight: 5, arbitrary: message }, { weight: 1, arbitrary: noise }), {
    minLength: 1,
    maxLength: 3,
  })
  const hidden = `GET ${prefix}hidden HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${cookie}\r\nX-Mark: hidden\r\n\r\n`

  await fc.assert(
    fc.asyncProperty(stream, fc.array(fc.nat(2_000), { maxLength: 4 }), async (parts, places) => {
      seen.length = 0
      misread.length = 0
      const text = await exchange(proxy.port, cut(Buffer.from(parts.join('') + hidden, 'latin1'), places))
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
      const passed = statuses.filter((status) => status === 200).length
      // One answer at most for each message that could be read, and each request behind has an answer in front.
      if (statuses.filter((status) => status !== 100).length > parts.length + 1) return false
      if (misread.length > 0) throw new Error(`the server behind could not read it: ${misread.join()}`)
      if (seen.length < passed) return false
      return seen.every(({ url, marks, body: got }) => {
        const isClean = url.startsWith(prefix) && !/\.\.|[\0\r\n\\ ]/.test(url)
        // No length here is more than 5; what it covers may be the beginning of the next message.
        const isWhole = got.length <= 5
        return isClean && isWhole && marks.every((mark) => /^(?:real|hidden)$/.test(mark)) && marks.length === 1
      })
    }),
    { numRuns: 3_000, interruptAfterTimeLimit: 90_000 },
  )
  t.is((await ask(`${proxy.url}${prefix}real`, { headers: { cookie, 'x-mark': 'real' } })).status, 200)
  t.is(proxy.process.exitCode, null)
  t.notRegex(proxy.output(), /because of an error in the proxy/)
  await until('nothing is left open', async () => {
    const metrics = await proxy.control('/metrics')
    return /hutch_proxy_connections 0\n/.test(metrics) && /live\{kind="http"\} 0\n/.test(metrics)
  })
})
