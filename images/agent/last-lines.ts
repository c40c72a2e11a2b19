/** What a process printed last, bounded, and passed on as it comes. */
import type { Readable, Writable } from 'node:stream'

const keptBytes = 16 * 1024
/** A reader of ours that stopped reading must not fill our memory: what it can't take is dropped. */
const mostWaitingBytes = 1024 * 1024

export interface LastLines {
  follow(stream: Readable): void
  /** The last lines that fit in `characters`. */
  text(characters: number): string
}

export function createLastLines(out: Writable): LastLines {
  let kept = Buffer.alloc(0)
  return {
    follow(stream) {
      stream.on('data', (chunk: Buffer) => {
        kept = Buffer.concat([kept, chunk]).subarray(-keptBytes)
        if (out.writableLength < mostWaitingBytes) out.write(chunk)
      })
      // The pipe breaks when the application dies; its exit is reported elsewhere.
      stream.on('error', () => undefined)
    },
    text(characters) {
      const all = kept.toString().trimEnd()
      if (all.length <= characters) return all
      const tail = all.slice(-characters)
      return tail.slice(tail.indexOf('\n') + 1)
    },
  }
}
