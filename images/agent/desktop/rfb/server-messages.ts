/**
 * What Xvnc sends to somebody who may only look, without the clipboard: its text is its owner's. The clipboard's
 * message can stand between any two others, so all of them are read; rectangles stream through.
 */
import { mustBePlain } from './client-messages.ts'
import { drop, pass, read, RfbError, write, type Program, type Step } from './cutter.ts'
import { encodings } from './encodings.ts'

type Steps = Generator<Step, void, Buffer>

const pixelBytes = 4
/** Of a pixel in Tight, which leaves out the byte that means nothing. */
const colourBytes = 3
/** Shorter than this, Tight does not compress, and gives no length. */
const leastCompressedBytes = 12
const longestReasonBytes = 200

export function* serverMessages(): Program {
  yield* greeting()
  for (;;) {
    const type = yield read(1)
    switch (type[0]) {
      case 0: {
        const head = yield read(3)
        yield write(Buffer.concat([type, head]))
        yield* rectangles(head.readUInt16BE(1))
        break
      }
      case 1: {
        const head = yield read(5)
        yield write(Buffer.concat([type, head]))
        yield pass(6 * head.readUInt16BE(3))
        break
      }
      case 2:
      case 150:
        yield write(type)
        break
      case 3: {
        const head = yield read(7)
        yield drop(Math.abs(head.readInt32BE(3)))
        break
      }
      case 248: {
        const head = yield read(8)
        yield write(Buffer.concat([type, head]))
        yield pass(head[7] ?? 0)
        break
      }
      case undefined:
      default:
        throw new RfbError(`a message of type ${type[0]} from the server`)
    }
  }
}

function* greeting(): Steps {
  yield pass(12)
  const count = yield read(1)
  if (count[0] === 0) throw yield* refusal()
  yield write(count)
  yield pass(count[0] ?? 0)
  const result = yield read(4)
  if (result.readUInt32BE(0) !== 0) throw yield* refusal()
  yield write(result)
  const init = yield read(24)
  mustBePlain(init.subarray(4, 20))
  yield write(init)
  yield pass(init.readUInt32BE(20))
}

/** RFC 6143, 7.1.2: with a reason, for the log. */
function* refusal(): Generator<Step, RfbError, Buffer> {
  const length = (yield read(4)).readUInt32BE(0)
  const reason = yield read(Math.min(length, longestReasonBytes))
  return new RfbError(`the server refuses: ${reason.toString('latin1')}`)
}

function* rectangles(count: number): Steps {
  // 65535: as many as come before a last one.
  const most = count === 0xffff ? Infinity : count
  for (let index = 0; index < most; index += 1) {
    const head = yield read(12)
    yield write(head)
    const [width, height] = [head.readUInt16BE(4), head.readUInt16BE(6)]
    const encoding = head.readInt32BE(8)
    switch (encoding) {
      case encodings.raw:
        yield pass(width * height * pixelBytes)
        break
      case encodings.copyRectangle:
        yield pass(4)
        break
      case encodings.tight:
        yield* tight(width, height)
        break
      case encodings.cursor:
        yield pass(width * height * pixelBytes + Math.ceil(width / 8) * height)
        break
      case encodings.desktopSize:
        break
      case encodings.lastRectangle:
        return
      case encodings.extendedDesktopSize: {
        const screens = yield read(4)
        yield write(screens)
        yield pass(16 * (screens[0] ?? 0))
        break
      }
      case encodings.desktopName: {
        const length = yield read(4)
        yield write(length)
        yield pass(length.readUInt32BE(0))
        break
      }
      default:
        throw new RfbError(`a rectangle of encoding ${encoding}`)
    }
  }
}

/** RFC 6143 leaves it to the community's rfbproto, "Tight Encoding". */
function* tight(width: number, height: number): Steps {
  const control = yield read(1)
  yield write(control)
  const kind = (control[0] ?? 0) >> 4
  if (kind === 8) return void (yield pass(colourBytes))
  if (kind === 9) return yield* withLength()
  if (kind > 9) throw new RfbError(`Tight of kind ${kind}`)
  let bytes = width * height * colourBytes
  if ((kind & 4) !== 0) {
    const filter = yield read(1)
    yield write(filter)
    if ((filter[0] ?? 0) > 2) throw new RfbError(`Tight with filter ${filter[0]}`)
    if (filter[0] === 1) {
      const size = yield read(1)
      yield write(size)
      const colours = (size[0] ?? 0) + 1
      yield pass(colours * colourBytes)
      bytes = colours === 2 ? Math.ceil(width / 8) * height : width * height
    }
  }
  if (bytes < leastCompressedBytes) yield pass(bytes)
  else yield* withLength()
}

/** Seven bits in each of at most three bytes, the lowest first. */
function* withLength(): Steps {
  let length = 0
  for (let index = 0; index < 3; index += 1) {
    const byte = yield read(1)
    yield write(byte)
    const value = byte[0] ?? 0
    length |= (index === 2 ? value : value & 0x7f) << (7 * index)
    if ((value & 0x80) === 0) break
  }
  yield pass(length)
}
