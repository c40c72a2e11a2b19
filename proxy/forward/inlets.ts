/**
 * What sockets read, into buffers that are used again. By itself Node makes 64 KiB outside the heap for each read, and
 * V8, which does not count them, lets them pile up for a while: a sixth of the CPU of a small request, and with many
 * of them a hundred MiB.
 */
import { Socket } from 'node:net'

export interface Inlet {
  /** Gets what arrives; it owns each chunk. */
  take: (chunk: Buffer) => void
  /** Gives what was kept back for a moment: before an end or a close is told. */
  readonly flush: () => void
  /** For net.connect and tls.connect. */
  readonly onread: { readonly buffer: () => Uint8Array; readonly callback: (length: number) => boolean }
}

export interface Inlets {
  /** `records`: of a TLS connection, where no read is longer than one record. */
  open(kind: { readonly records: boolean }): Inlet
  /** For a socket that a server accepted; before anything was read from it. */
  attach(socket: Socket, take: (chunk: Buffer) => void): void
  /** Nobody needs this chunk any more but `to`, to which it was written: it is used again once `to` has copied it. */
  giveBack(chunk: Buffer, to: Socket): void
  /** Whatever was written to this socket is on its way. */
  drained(to: Socket): void
}

const bufferBytes = 65_536
/** Reads of this length are a transfer, which has a buffer of its own, so that nothing of it is copied. */
const transferBytes = 32_768
/** And reads below this length end it. */
const smallBytes = 8_192
const mostSpare = 16
/** The longest piece that TLS hands on at once (RFC 8446 5.1): of a transfer nearly all are this long. */
const recordBytes = 16_384

export function createInlets(): Inlets {
  // Between two reads nothing is in it: all connections read into the same.
  const shared = Buffer.allocUnsafeSlow(bufferBytes)
  const spare: Buffer[] = []
  // Others make buffers of this size too, and go on filling them: HTTP/2 hands on pieces of one.
  const made = new WeakSet<ArrayBufferLike>()
  const lent = new WeakMap<Socket, ArrayBufferLike[]>()
  let keys: Keys | undefined

  return {
    open: ({ records }) => (records ? openRecords() : open()),
    attach(socket, take) {
      keys ??= keysOf(socket)
      const { _handle: handle } = socket as unknown as WithHandle
      if (keys === undefined || typeof handle?.useUserBuffer !== 'function' || 'encrypted' in socket) {
        socket.on('data', take)
        return
      }
      const { onread } = Object.assign(open(), { take })
      const parts = socket as unknown as Record<symbol, unknown>
      parts[keys.buffer] = shared
      parts[keys.callback] = onread.callback
      parts[keys.next] = onread.buffer
      handle.useUserBuffer(shared)
    },
    giveBack(chunk, to) {
      // Other streams than sockets may hold what they say is written.
      if (!(to instanceof Socket) || chunk.byteOffset !== 0 || !made.has(chunk.buffer)) return
      if (to.writableLength === 0) keep(chunk.buffer)
      else lent.set(to, [...(lent.get(to) ?? []), chunk.buffer].slice(-mostSpare))
    },
    drained(to) {
      const buffers = lent.get(to)
      if (buffers === undefined) return
      lent.delete(to)
      if (to.writableLength === 0) buffers.forEach(keep)
    },
  }

  function keep(buffer: ArrayBufferLike): void {
    if (spare.length < mostSpare) spare.push(Buffer.from(buffer, 0, bufferBytes))
  }

  function make(): Buffer {
    const buffer = Buffer.allocUnsafeSlow(bufferBytes)
    made.add(buffer.buffer)
    return buffer
  }

  function open(): Inlet {
    let own: Buffer | undefined
    let transfers = false
    const inlet: Inlet = {
      take() {},
      flush() {},
      onread: {
        buffer: () => {
          own = transfers ? (spare.pop() ?? make()) : undefined
          return own ?? shared
        },
        callback: (length) => {
          const bytes = own ?? shared
          const isOwn = own !== undefined
          transfers = length >= (isOwn ? smallBytes : transferBytes)
          inlet.take(isOwn ? bytes.subarray(0, length) : copyOf(bytes, length))
          return true
        },
      },
    }
    return inlet
  }

  /** Whole records in a row are gathered in one buffer, and go on in one write instead of four. */
  function openRecords(): Inlet {
    let own: Buffer | undefined
    let givenTo = 0
    let filledTo = 0
    let flushing: NodeJS.Immediate | undefined
    const inlet: Inlet = {
      take() {},
      flush() {
        if (own === undefined || filledTo === givenTo) return
        // The next read still goes into what is left of it, so it is never anybody else's.
        made.delete(own.buffer)
        give(own)
      },
      onread: {
        buffer: () =>
          own === undefined ? shared.subarray(0, recordBytes) : own.subarray(filledTo, filledTo + recordBytes),
        callback: (length) => {
          const isWhole = length === recordBytes
          if (own === undefined && !isWhole) inlet.take(copyOf(shared, length))
          else gather(length, isWhole)
          return true
        },
      },
    }
    return inlet

    function gather(length: number, isWhole: boolean): void {
      if (own === undefined) {
        own = spare.pop() ?? make()
        shared.copy(own, 0, 0, length)
      }
      filledTo += length
      // What came in the same packets is read before an immediate.
      if (isWhole && filledTo + recordBytes <= bufferBytes) flushing ??= setImmediate(inlet.flush)
      else {
        const full = own
        own = undefined
        give(full)
        givenTo = 0
        filledTo = 0
      }
    }

    function give(buffer: Buffer): void {
      clearImmediate(flushing)
      flushing = undefined
      const gathered = buffer.subarray(givenTo, filledTo)
      givenTo = filledTo
      inlet.take(gathered)
    }
  }
}

function copyOf(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length)
  bytes.copy(copy, 0, 0, length)
  return copy
}

interface WithHandle {
  readonly _handle?: { useUserBuffer?: (buffer: Buffer) => void } | null
}

interface Keys {
  readonly buffer: symbol
  readonly callback: symbol
  readonly next: symbol
}

/** Node has the option `onread` for sockets that connect, and these same places, without a name, in those accepted. */
function keysOf(socket: Socket): Keys | undefined {
  const symbols = Object.getOwnPropertySymbols(socket)
  const named = (name: string): symbol | undefined => symbols.find(({ description }) => description === name)
  const [buffer, callback, next] = [named('kBuffer'), named('kBufferCb'), named('kBufferGen')]
  return buffer === undefined || callback === undefined || next === undefined ? undefined : { buffer, callback, next }
}
