/** Messages of RFB for laws: every kind that both sides may send, with all that varies in them. */
import * as fc from 'fast-check'
import { encodings, isReadable } from '../../images/agent/desktop/rfb/encodings.ts'

export interface ClientMessage {
  readonly kind: string
  readonly bytes: Buffer
  /** It changes something in the desktop. */
  readonly acts: boolean
  /** Somebody typed, pointed or pasted. */
  readonly isInput: boolean
  /** How it goes on, when that is another way than it came. */
  readonly forViewers?: Buffer
  readonly forOwners?: Buffer
}

export const bytes = (...values: readonly number[]): Buffer => Buffer.from(values)

export const places = fc.array(fc.nat(20_000), { maxLength: 12 })

/** The bytes cut into pieces at these places. */
export function cut(whole: Buffer, at: readonly number[]): Buffer[] {
  const sorted = [...new Set(at.map((place) => place % (whole.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...sorted].map((from, index) => whole.subarray(from, sorted[index] ?? whole.length))
}

const plainFormat = bytes(32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0)
const name = Buffer.from('ada')

export const greetings = {
  client: Buffer.concat([Buffer.from('RFB 003.008\n'), bytes(1, 0)]),
  /** As it goes on: nobody has the desktop alone. */
  shared: Buffer.concat([Buffer.from('RFB 003.008\n'), bytes(1, 1)]),
  server: Buffer.concat([
    Buffer.from('RFB 003.008\n'),
    bytes(2, 1, 2),
    bytes(0, 0, 0, 0),
    bytes(5, 0, 3, 32),
    plainFormat,
    u32(name.length),
    name,
  ]),
}

const some = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((each) => Buffer.from(each))
const fixed = (kind: string, type: number, length: number, acts: boolean): fc.Arbitrary<ClientMessage> =>
  some(length).map((rest) => ({ kind, bytes: Buffer.concat([bytes(type), rest]), acts, isInput: acts }))

const setEncodings = fc
  .array(fc.oneof(fc.integer(), fc.constantFrom(-316, -23, -32, -247, -256, 16, ...Object.values(encodings))))
  .map((list): ClientMessage => {
    const message = (chosen: readonly number[]) => Buffer.concat([bytes(2, 0), u16(chosen.length), ...chosen.map(i32)])
    const forViewers = message(list.filter(isReadable))
    const forOwners = message(list.filter((each) => each !== -316))
    return { kind: 'encodings', bytes: message(list), acts: false, isInput: false, forViewers, forOwners }
  })

const cutText = fc.tuple(fc.integer({ min: 0, max: 3_000 }), fc.boolean()).chain(([length, isExtended]) =>
  some(length).map((text): ClientMessage => {
    const head = Buffer.concat([bytes(6, 0, 0, 0), i32(isExtended ? -length : length)])
    return { kind: 'cutText', bytes: Buffer.concat([head, text]), acts: true, isInput: true }
  }),
)

export const clientMessage: fc.Arbitrary<ClientMessage> = fc.oneof(
  fc.constant({ kind: 'format', bytes: Buffer.concat([bytes(0, 0, 0, 0), plainFormat]), acts: false, isInput: false }),
  setEncodings,
  fixed('ask', 3, 9, false),
  fixed('key', 4, 7, true),
  fixed('pointer', 5, 5, true),
  cutText,
  fixed('continuous', 150, 9, false),
  fc.nat(64).chain((length) =>
    some(length).map((data): ClientMessage => {
      const message = Buffer.concat([bytes(248, 0, 0, 0, 1, 2, 3, 4, length), data])
      return { kind: 'fence', bytes: message, acts: false, isInput: false }
    }),
  ),
  fc.nat(3).chain((screens) =>
    some(16 * screens).map((data): ClientMessage => {
      const message = Buffer.concat([bytes(251, 0, 4, 0, 3, 0, screens, 0), data])
      return { kind: 'size', bytes: message, acts: true, isInput: false }
    }),
  ),
  some(10).map((rest): ClientMessage => {
    return { kind: 'qemuKey', bytes: Buffer.concat([bytes(255, 0), rest]), acts: true, isInput: true }
  }),
)

export function framebufferUpdate(rectangles: readonly Buffer[], count = rectangles.length): Buffer {
  return Buffer.concat([bytes(0, 0), u16(count), ...rectangles])
}

const side = fc.integer({ min: 0, max: 20 })
const rectangle = (encoding: number, body: (width: number, height: number) => fc.Arbitrary<Buffer>) =>
  fc
    .tuple(side, side)
    .chain(([width, height]) =>
      body(width, height).map((data) =>
        Buffer.concat([bytes(0, 1, 0, 2), u16(width), u16(height), i32(encoding), data]),
      ),
    )

const compressed = fc.integer({ min: 0, max: 20_000 }).chain((length) =>
  some(Math.min(length, 300)).map((start) => {
    const data = Buffer.concat([start, Buffer.alloc(Math.max(0, length - 300), 3)])
    return Buffer.concat([compactLength(length), data])
  }),
)
const basic = (raw: number): fc.Arbitrary<Buffer> => (raw < 12 ? some(raw) : compressed)

function tight(width: number, height: number): fc.Arbitrary<Buffer> {
  const after = (head: Buffer, body: fc.Arbitrary<Buffer>) => body.map((data) => Buffer.concat([head, data]))
  return fc.oneof(
    after(bytes(0x80), some(3)),
    after(bytes(0x90), compressed),
    after(bytes(0x10), basic(width * height * 3)),
    fc.constantFrom(0, 2).chain((filter) => after(bytes(0x50, filter), basic(width * height * 3))),
    fc.oneof(fc.constantFrom(1, 2, 3), fc.integer({ min: 1, max: 256 })).chain((colours) =>
      some(colours * 3).chain((palette) => {
        const raw = colours === 2 ? Math.ceil(width / 8) * height : width * height
        return after(Buffer.concat([bytes(0x4f, 1, colours - 1), palette]), basic(raw))
      }),
    ),
  )
}

const rectangles = fc.oneof(
  rectangle(encodings.raw, (width, height) => some(width * height * 4)),
  rectangle(encodings.copyRectangle, () => some(4)),
  rectangle(encodings.tight, tight),
  rectangle(encodings.cursor, (width, height) => some(width * height * 4 + Math.ceil(width / 8) * height)),
  rectangle(encodings.desktopSize, () => fc.constant(Buffer.alloc(0))),
  rectangle(encodings.extendedDesktopSize, () =>
    fc.nat(3).chain((screens) => some(16 * screens).map((data) => Buffer.concat([bytes(screens, 0, 0, 0), data]))),
  ),
  rectangle(encodings.desktopName, () =>
    fc.nat(40).chain((length) => some(length).map((data) => Buffer.concat([u32(length), data]))),
  ),
)
const lastRectangle = Buffer.concat([Buffer.alloc(8), i32(encodings.lastRectangle)])

export const serverMessage: fc.Arbitrary<{ kind: string; bytes: Buffer }> = fc.oneof(
  fc.tuple(fc.array(rectangles, { maxLength: 5 }), fc.boolean()).map(([list, isOpen]) => ({
    kind: 'update',
    bytes: isOpen ? framebufferUpdate([...list, lastRectangle], 0xffff) : framebufferUpdate(list),
  })),
  fc
    .nat(4)
    .chain((count) =>
      some(6 * count).map((data) => ({ kind: 'colours', bytes: Buffer.concat([bytes(1, 0, 0, 0), u16(count), data]) })),
    ),
  fc.constant({ kind: 'bell', bytes: bytes(2) }),
  fc.constant({ kind: 'endOfContinuous', bytes: bytes(150) }),
  fc.tuple(fc.integer({ min: 0, max: 3_000 }), fc.boolean()).chain(([length, isExtended]) =>
    some(length).map((text) => ({
      kind: 'cutText',
      bytes: Buffer.concat([bytes(3, 0, 0, 0), i32(isExtended ? -length : length), text]),
    })),
  ),
  fc.nat(64).chain((length) =>
    some(length).map((data) => ({
      kind: 'fence',
      bytes: Buffer.concat([bytes(248, 0, 0, 0, 0, 0, 0, 1, length), data]),
    })),
  ),
)

function compactLength(length: number): Buffer {
  if (length < 0x80) return bytes(length)
  if (length < 0x4000) return bytes(0x80 | (length & 0x7f), length >> 7)
  return bytes(0x80 | (length & 0x7f), 0x80 | ((length >> 7) & 0x7f), length >> 14)
}

function u16(value: number): Buffer {
  return bytes(value >> 8, value & 0xff)
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

function i32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}
