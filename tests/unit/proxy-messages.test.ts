/** Laws of reading messages: where the network cuts them makes no difference, and nothing throws but what is named. */
import test from 'ava'
import * as fc from 'fast-check'
import { viewOf, type View } from '../../proxy/admission/viewers.ts'
import { routeSchema } from '../../proxy/feed.ts'
import { followFrames } from '../../proxy/forward/frames.ts'
import { dropMessages } from '../../proxy/forward/listening.ts'
import { readBody } from '../../proxy/http/body.ts'
import { cookiesWithout, cookieValues, isReservedCookie, mayEnvironmentSet } from '../../proxy/http/cookies.ts'
import { MessageError, parseRequestHead } from '../../proxy/http/head.ts'
import { isPlainPath, pathBelow } from '../../proxy/http/path.ts'

/** The bytes cut into pieces at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length))
}

const places = fc.array(fc.nat(100_000), { maxLength: 12 })

test('a chunked body ends where it ends, however it is cut', (t) => {
  const chunk = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.array(chunk), fc.boolean(), fc.uint8Array(), places, (chunks, trailer, after, at) => {
      const body = Buffer.concat([
        ...chunks.flatMap((data) => [Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]),
        Buffer.from(trailer ? '0\r\nX-Sum: 1\r\n\r\n' : '0\r\n\r\n'),
      ])
      const reader = readBody({ kind: 'chunked' })
      let taken = 0
      for (const piece of cut(Buffer.concat([body, after]), at)) taken += reader.take(piece, 0)
      return reader.done && taken === body.length
    }),
  )
  t.pass()
})

test('frames are counted alike, however they are cut, and the boundary is where a frame may go in', (t) => {
  const frame = fc.record({
    opcode: fc.constantFrom(0, 1, 2, 8, 9, 10),
    size: fc.constantFrom(0, 1, 125, 126, 127, 300, 65_535, 65_536),
    masked: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 6 }), places, (frames, at) => {
      const bytes = Buffer.concat(frames.map(rendered))
      const follower = followFrames()
      let data = false
      for (const piece of cut(bytes, at)) if (follower.take(piece)) data = true
      return follower.atBoundary && data === frames.some(({ opcode }) => opcode < 8)
    }),
  )
  const half = followFrames()
  half.take(Buffer.from([0x82]))
  t.false(half.atBoundary)
})

test('of frames that only listen the control frames go on, whole, however they are cut', (t) => {
  const frame = fc.record({
    opcode: fc.constantFrom(0, 1, 2, 8, 9, 10),
    size: fc.constantFrom(0, 1, 125, 126, 300, 65_536),
    masked: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 6 }), places, (frames, at) => {
      const passed = dropMessages()
      const kept = cut(Buffer.concat(frames.map(rendered)), at).map((piece) => passed(piece))
      return Buffer.concat(kept).equals(Buffer.concat(frames.filter(({ opcode }) => opcode >= 8).map(rendered)))
    }),
  )
  t.pass()
})

test('viewers go where the route says, with methods that change nothing', (t) => {
  const prefix = '/user/a/e1/'
  const viewers = { read: ['lab', 'files/'], listen: ['api/kernels'], speak: ['desktop/'] }
  const all = { read: [''], listen: [''], speak: [] }
  const rows: [path: string, method: string, socket: boolean, view: View | undefined, everywhere: View | undefined][] =
    [
      ['lab', 'GET', false, 'read', 'read'],
      ['lab/tree', 'HEAD', false, 'read', 'read'],
      ['labs', 'GET', false, undefined, 'read'],
      ['files/a', 'GET', false, 'read', 'read'],
      ['files', 'GET', false, undefined, 'read'],
      ['lab', 'POST', false, undefined, undefined],
      ['lab', 'OPTIONS', false, undefined, undefined],
      ['lab', 'PROPPATCH', false, undefined, undefined],
      ['lab', 'GET', true, undefined, 'listen'],
      ['api/kernels/1/channels', 'GET', true, 'listen', 'listen'],
      ['api/kernels/1', 'GET', false, undefined, 'read'],
      ['desktop/ws', 'GET', true, 'speak', 'listen'],
    ]
  for (const [path, method, socket, view, everywhere] of rows) {
    const request = { path: prefix + path, method, upgrade: socket ? ('websocket' as const) : undefined }
    t.is(viewOf(request, { prefix, viewers }), view, `${method} ${path}`)
    t.is(viewOf(request, { prefix, viewers: all }), everywhere, `${method} ${path}, everywhere`)
    t.is(viewOf(request, { prefix }), undefined, 'not open to viewers')
  }
  const target = { kind: 'unix', path: '/s' } as const
  const good = { id: 'e1', generation: 1, prefix, host: null, owner: { id: 'u', name: 'u' }, target }
  for (const bad of ['/lab', '../x', 'a/%2e%2e/b', 'a?b', 'a b', 'a\\b']) {
    t.false(routeSchema.safeParse({ ...good, viewers: { ...all, read: [bad] } }).success, bad)
  }
  t.true(routeSchema.safeParse({ ...good, viewers }).success)
})

function rendered({ opcode, size, masked }: { opcode: number; size: number; masked: boolean }): Buffer {
  const mask = masked ? 0x80 : 0
  const header =
    size < 126
      ? Buffer.from([0x80 | opcode, mask | size])
      : size < 65_536
        ? Buffer.from([0x80 | opcode, mask | 126, size >> 8, size & 0xff])
        : Buffer.concat([Buffer.from([0x80 | opcode, mask | 127, 0, 0, 0, 0]), uint32(size)])
  return Buffer.concat([header, Buffer.alloc(masked ? 4 : 0), Buffer.alloc(size, 0xff)])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

test('any bytes as a head are read or refused, never anything else', (t) => {
  const piece = fc.oneof(
    fc.constantFrom('GET / HTTP/1.1', '\r\n', '\n', '\r', ':', ' ', 'Host: a', 'Content-Length: 1', '\t', '\0', 'é'),
    fc.string({ maxLength: 10 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const bytes = Buffer.from(`${pieces.join('')}\r\n\r\n`, 'latin1')
      try {
        const head = parseRequestHead(bytes, bytes.length)
        return (
          head.values.every((value) => !/[\r\n\0]/.test(value)) && head.names.every((name) => /^[^\s:]+$/.test(name))
        )
      } catch (error) {
        return error instanceof MessageError
      }
    }),
    { numRuns: 5_000 },
  )
  t.pass()
})

test('a path that is plain is the same to whoever resolves it', (t) => {
  const part = fc.constantFrom(
    'a',
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5C',
    '\\',
    '%00',
    ';x',
    '',
    '.hidden',
    'a..b',
    '%41',
  )
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), fc.constantFrom('/', ''), (parts, joint) => {
      const path = `/${parts.join(joint)}`
      if (!isPlainPath(path)) return true
      const resolved = new URL(path.replaceAll('//', '/x/'), 'http://h').pathname
      const decoded = decodeURIComponent(path).split(/[/\\]/)
      return resolved === path.replaceAll('//', '/x/') && !decoded.includes('..') && !decoded.includes('.')
    }),
    { numRuns: 5_000 },
  )
  t.true(isPlainPath('/user/a/files/.hidden/a%20b..c'))
})

test('next stays below the prefix', (t) => {
  const prefix = '/user/alice/e1/'
  const rows: [next: string, stays: boolean][] = [
    ['/user/alice/e1/', true],
    ['/user/alice/e1/lab?x=/../y#z', true],
    ['/user/alice/e1', false],
    ['/user/alice/e1/../e2/', false],
    ['/user/alice/e1/%2e%2e/e2/', false],
    ['/user/alice/e1/\\evil', false],
    ['//evil/user/alice/e1/', false],
    ['https://evil/user/alice/e1/', false],
    ['/user/alice/e1/\r\nSet-Cookie: a=b', false],
    ['/user/alice/e1/é', false],
    [`/user/alice/e1/${'a'.repeat(10_000)}`, false],
    ['', false],
  ]
  for (const [next, stays] of rows) t.is(pathBelow(prefix, next), stays ? next : undefined, next)
})

test('reserved cookies stay behind, others go on as they were', (t) => {
  const name = fc.constantFrom(
    'a',
    'hutch-entry',
    'hutch-nonce',
    '__Host-hutch-x',
    '__Secure-hutch',
    'hutchinson',
    '_xsrf',
    'HUTCH-x',
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.stringMatching(/^[a-z=]{0,5}$/))), (pairs) => {
      const kept = cookiesWithout(pairs.map((pair) => pair.join('=')).join('; '), isReservedCookie)
      const expected = pairs.filter(([each]) => !/^(hutch-|__host-hutch|__secure-hutch)/i.test(each))
      return (kept ?? '') === expected.map((pair) => pair.join('=')).join('; ')
    }),
  )
  t.deepEqual(cookieValues('a=1; b=2; a=3; aa=4', 'a'), ['1', '3'])
  t.false(mayEnvironmentSet('a=1; path=/user/alice/e10/', '/user/alice/e1/'))
})
