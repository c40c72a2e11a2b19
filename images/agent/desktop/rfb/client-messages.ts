/**
 * What a viewer sends (RFC 6143, 7.1 and 7.5, and the extensions that noVNC and TigerVNC share). Each message is read
 * here, whoever sends it: what is no message of these ends the connection, and of who may only look no message that
 * changes anything comes through.
 */
import { drop, pass, read, RfbError, write, type Program, type Step } from './cutter.ts'
import { changesMessages, isReadable } from './encodings.ts'

export interface ClientRules {
  readonly looksOnly: boolean
  /** Somebody typed, pointed or pasted: evidence of use. */
  readonly onInput: () => void
}

/** Xvnc is told the same: a longer text is dropped here, so that it never waits in memory there. */
export const longestCutTextBytes = 1024 * 1024
const mostEncodings = 256
const longestFenceBytes = 64

export function* clientMessages({ looksOnly, onInput }: ClientRules): Program {
  yield* greeting()
  let hasAsked = false
  const act = function* (head: Buffer, bytes: number, isInput: boolean): Generator<Step, void, Buffer> {
    if (looksOnly) return void (yield drop(bytes))
    if (isInput) onInput()
    yield write(head)
    yield pass(bytes)
  }

  for (;;) {
    const type = yield read(1)
    switch (type[0]) {
      case 0: {
        // SetPixelFormat. When the server heeds it can't be seen, so a viewer's comes before anything is asked for.
        const rest = yield read(19)
        if (looksOnly && hasAsked) break
        if (looksOnly) mustBePlain(rest.subarray(3))
        yield write(Buffer.concat([type, rest]))
        break
      }
      case 2: {
        const count = (yield read(3)).readUInt16BE(1)
        if (count > mostEncodings) throw new RfbError(`${count} encodings`)
        const list = yield read(4 * count)
        yield write(setEncodings(chosen(list, looksOnly ? isReadable : (one) => !changesMessages(one))))
        break
      }
      case 3:
        hasAsked = true
        yield write(type)
        yield pass(9)
        break
      case 4:
        yield* act(type, 7, true)
        break
      case 5:
        yield* act(type, 5, true)
        break
      case 6: {
        const head = yield read(7)
        // Negative: the extended form of the same length.
        const bytes = Math.abs(head.readInt32BE(3))
        if (bytes > longestCutTextBytes) yield drop(bytes)
        else yield* act(Buffer.concat([type, head]), bytes, true)
        break
      }
      case 150:
        yield write(type)
        yield pass(9)
        break
      case 248: {
        const head = yield read(8)
        const bytes = head[7] ?? 0
        if (bytes > longestFenceBytes) throw new RfbError('a fence that is too long')
        yield write(Buffer.concat([type, head]))
        yield pass(bytes)
        break
      }
      case 251: {
        // SetDesktopSize. A window that is drawn larger is no evidence that somebody works.
        const head = yield read(7)
        yield* act(Buffer.concat([type, head]), 16 * (head[5] ?? 0), false)
        break
      }
      case 255: {
        const kind = yield read(1)
        if (kind[0] !== 0) throw new RfbError(`a message of QEMU's, ${kind[0]}`)
        yield* act(Buffer.concat([type, kind]), 10, true)
        break
      }
      case undefined:
      default:
        throw new RfbError(`a message of type ${type[0]}`)
    }
  }
}

/** Version 3.8 without a password: the socket's own mode is the lock. Everybody shares the desktop. */
function* greeting(): Generator<Step, void, Buffer> {
  const version = yield read(12)
  if (version.toString('latin1') !== 'RFB 003.008\n') throw new RfbError('another version of RFB')
  yield write(version)
  const security = yield read(1)
  if (security[0] !== 1) throw new RfbError('another type of security')
  yield write(security)
  yield drop(1)
  yield write(Buffer.from([1]))
}

/** 32 bits, 24 of them colour, 8 for each: then every rectangle's length can be told. */
export function mustBePlain(format: Buffer): void {
  const [bits, depth, , isTrueColour] = format
  const isPlain = [4, 6, 8].every((at) => format.readUInt16BE(at) === 255)
  if (bits !== 32 || depth !== 24 || isTrueColour !== 1 || !isPlain) throw new RfbError('another pixel format')
}

function chosen(list: Buffer, isWanted: (encoding: number) => boolean): Buffer {
  const kept: Buffer[] = []
  for (let at = 0; at < list.length; at += 4) {
    if (isWanted(list.readInt32BE(at))) kept.push(list.subarray(at, at + 4))
  }
  return Buffer.concat(kept)
}

function setEncodings(list: Buffer): Buffer {
  const head = Buffer.from([2, 0, 0, 0])
  head.writeUInt16BE(list.length / 4, 2)
  return Buffer.concat([head, list])
}
