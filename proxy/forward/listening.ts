/** WebSocket frames from somebody who may only listen: of control frames all, of messages nothing (RFC 6455 5.2). */

/** Returns what of a chunk goes on. Never holds more than the header of one frame. */
export function dropMessages(): (chunk: Buffer) => Buffer {
  let header: number[] = []
  let left = 0
  let passes = false
  return (chunk) => {
    const kept: Buffer[] = []
    let at = 0
    while (at < chunk.length) {
      if (left > 0) {
        const end = Math.min(chunk.length, at + left)
        if (passes) kept.push(chunk.subarray(at, end))
        left -= end - at
        at = end
      } else {
        header.push(chunk[at] ?? 0)
        at += 1
        if (header.length === headerBytes(header)) {
          passes = ((header[0] ?? 0) & 0x0f) >= firstControlOpcode
          if (passes) kept.push(Buffer.from(header))
          left = payloadBytes(header)
          header = []
        }
      }
    }
    const [only] = kept
    return kept.length === 1 && only !== undefined ? only : Buffer.concat(kept)
  }
}

const firstControlOpcode = 8
const maskBit = 0x80

/** As far as is known: at least one more than there are while the length has not come. */
function headerBytes(header: readonly number[]): number {
  const second = header[1]
  if (second === undefined) return 2
  return 2 + lengthBytes(second) + ((second & maskBit) === 0 ? 0 : 4)
}

function lengthBytes(second: number): 0 | 2 | 8 {
  const short = second & 0x7f
  return short === 127 ? 8 : short === 126 ? 2 : 0
}

function payloadBytes(header: readonly number[]): number {
  const second = header[1] ?? 0
  const bytes = lengthBytes(second)
  if (bytes === 0) return second & 0x7f
  return header.slice(2, 2 + bytes).reduce((length, byte) => length * 256 + byte, 0)
}
