/** Follows WebSocket frames (RFC 6455 5.2) in a byte stream by their headers alone; payloads are never copied. */
export interface Frames {
  /** Returns true when a text, binary or continuation frame began in this chunk: a person (or a program) did something. */
  take(chunk: Buffer): boolean
  /** Between two frames: a frame of our own may be put in here. */
  readonly atBoundary: boolean
}

const maskBit = 0x80
const firstControlOpcode = 8

export function followFrames(): Frames {
  /** Payload bytes still to come. */
  let left = 0
  /** Bytes of the header seen so far, and its whole length once that is known. */
  let seen = 0
  let headerBytes = 2
  let lengthBytes = 0
  let length = 0

  return {
    take(chunk) {
      let at = 0
      let data = false
      while (at < chunk.length) {
        if (left > 0) {
          const taken = Math.min(left, chunk.length - at)
          left -= taken
          at += taken
        } else {
          const byte = chunk[at] ?? 0
          at += 1
          if (seen === 0 && (byte & 0x0f) < firstControlOpcode) data = true
          header(byte)
        }
      }
      return data
    },
    get atBoundary() {
      return left === 0 && seen === 0
    },
  }

  function header(byte: number): void {
    if (seen === 1) {
      const short = byte & 0x7f
      lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0
      length = lengthBytes === 0 ? short : 0
      headerBytes = 2 + lengthBytes + ((byte & maskBit) === 0 ? 0 : 4)
    } else if (seen > 1 && seen < 2 + lengthBytes) {
      length = length * 256 + byte
    }
    seen += 1
    if (seen > 1 && seen === headerBytes) {
      left = length
      seen = 0
      headerBytes = 2
    }
  }
}

/** A close frame as a server sends it, unmasked. */
export function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.from(reason)
  const frame = Buffer.alloc(4 + text.length)
  frame[0] = 0x88
  frame[1] = 2 + text.length
  frame.writeUInt16BE(code, 2)
  text.copy(frame, 4)
  return frame
}
