/** The last bytes of a stream, by their place in it, so that a reader that was away gets only what it missed. */

export interface Scrollback {
  push(chunk: Buffer): void
  /** Bytes ever pushed. */
  readonly end: number
  /** From `offset` on if that is still kept, otherwise everything that is; `start` is the place of the first byte. */
  since(offset: number): Readonly<{ start: number; data: Buffer }>
}

export function createScrollback(mostBytes: number): Scrollback {
  let chunks: Buffer[] = []
  let keptBytes = 0
  let end = 0
  return {
    push(chunk) {
      chunks.push(chunk)
      keptBytes += chunk.length
      end += chunk.length
      while (keptBytes > mostBytes) {
        const oldest = chunks.shift()
        if (oldest === undefined) break
        keptBytes -= oldest.length
        const excess = mostBytes - keptBytes
        // One chunk may be larger than all that is kept, or only partly too old.
        if (excess > 0) {
          const rest = Buffer.from(oldest.subarray(-excess))
          chunks.unshift(rest)
          keptBytes += rest.length
        }
      }
      // Many tiny chunks would cost more than what they hold.
      if (chunks.length > 1_024) chunks = [Buffer.concat(chunks)]
    },
    get end() {
      return end
    },
    since(offset) {
      const all = Buffer.concat(chunks)
      const first = end - all.length
      if (offset >= first && offset <= end) return { start: offset, data: all.subarray(offset - first) }
      // A cut in the middle of a line may be in the middle of a character or of an escape sequence.
      const newline = first === 0 ? -1 : all.subarray(0, 16_384).indexOf(0x0a)
      return { start: first + newline + 1, data: all.subarray(newline + 1) }
    },
  }
}
